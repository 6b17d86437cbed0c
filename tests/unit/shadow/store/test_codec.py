"""Bodies: whatever is stored is read back; large ones take less room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.store import codec


@given(st.binary(max_size=5000))
def test_a_body_reads_back(content: bytes) -> None:
    assert codec.decode(codec.encode(content)) == content
    assert codec.decode(memoryview(codec.encode(content))) == content


def test_a_large_body_is_compressed_and_a_small_one_is_not() -> None:
    assert len(codec.encode(b'{"a":1}' * 500)) < 500
    assert len(codec.encode(b'{"a":1}')) == 8


def test_an_unknown_marker_is_an_error() -> None:
    with pytest.raises(ValueError, match="stored body starts with"):
        codec.decode(b"\x07abc")

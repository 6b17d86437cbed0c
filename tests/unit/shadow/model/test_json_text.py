"""JSON is read and written without loss."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.model.json_text import parse, write_json


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"123456789012345678901", 123456789012345678901),  # past 64 bits: not rounded
        (b'"\\ud800"', "\ud800"),  # half a surrogate pair
        (b'{"id": "1234567890123456789"}', {"id": "1234567890123456789"}),
        (b"[" * 300 + b"]" * 300, json.loads("[" * 300 + "]" * 300)),
    ],
)
def test_what_one_parser_would_lose_the_other_keeps(content: bytes, value: Any) -> None:
    assert parse(content) == value


@pytest.mark.parametrize("content", [b"", b"<html>", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_every_value_comes_back_as_it_was_said(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(write_json(value)) == value


@pytest.mark.parametrize("value", [10**21, -(10**300), {"text": "\ud800"}])
def test_what_one_writer_refuses_the_other_writes(value: Any) -> None:
    assert parse(write_json(value)) == value


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        write_json({"when": object()})

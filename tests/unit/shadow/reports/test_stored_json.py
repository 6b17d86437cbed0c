"""Stored bodies are shown as the JSON they are, and as text when they are none."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.reports.stored_json import shown
from shadow.store import codec


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b"null", None),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"NaN", "NaN"),  # some senders write it; no JSON answer can
        (b"plain text", "plain text"),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_is_stored_is_shown(content: bytes, value: Any) -> None:
    assert shown(codec.encode(content)) == value


def test_what_is_not_stored_is_nothing() -> None:
    assert shown(None) is None

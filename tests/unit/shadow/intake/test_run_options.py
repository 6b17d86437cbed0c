"""What a call asks of its run besides its payload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shadow.intake.run_options import RunOptions, run_options

START = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RunOptions()),
        ({"tags": "a", "ttl": "10m", "test": True}, RunOptions(("a",), "10m", None, True)),
        ({"tags": ["b", "a", "b", "", 1], "ttl": 90}, RunOptions(("a", "b"), "90s")),
        ({"metadata": '{"a":1}'}, RunOptions(metadata={"a": 1})),
        ({"metadata": {"a": 1}, "ttl": True}, RunOptions(metadata={"a": 1})),
        ({"metadata": "{", "ttl": 0}, RunOptions()),
    ],
)
def test_options_are_read_as_the_sdk_sends_them(options: dict[str, Any], expected: RunOptions) -> None:
    assert run_options(orjson.dumps({"payload": {}, "options": options})) == expected


@pytest.mark.parametrize("request_", [None, b"", b"{", b"[]", b'{"options": 1}'])
def test_what_cannot_be_read_has_none(request_: bytes | None) -> None:
    assert run_options(request_) == RunOptions()


@pytest.mark.parametrize(
    ("ttl", "after"),
    [("10m", timedelta(minutes=10)), ("1h30m", timedelta(minutes=90)), ("60s", timedelta(minutes=1)), ("x", None)],
)
def test_a_time_to_live_counts_from_the_start(ttl: str, after: timedelta | None) -> None:
    assert RunOptions(ttl=ttl).expires_at(START) == (START + after if after else None)

"""Durations, moments and Retry-After are read as the real server reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.inngest.durations import parse_duration, parse_retry_after, rfc3339, seconds_until

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("30s", 30), ("1d12h", 129600), ("1w", 604800), ("1.5h", 5400)],
)
def test_a_duration_is_a_sum_of_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "5y", "1s?"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_a_sleep_is_named_by_a_duration_or_by_its_end() -> None:
    assert seconds_until("2s", NOW) == 2
    assert seconds_until("2026-11-24T01:00:05.500Z", NOW) == 5.5
    assert seconds_until("2026-11-24T00:00:00Z", NOW) == 0  # already over


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("0", 1),  # held to the minimum
        ("9999999", 86400),  # held to the maximum
        ("2026-11-24T01:00:10Z", 10),
        ("Tue, 24 Nov 2026 01:00:20 GMT", 20),
        ("soon", None),
    ],
)
def test_retry_after_is_read_and_clamped(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


def test_a_moment_is_printed_without_trailing_zeros() -> None:
    assert rfc3339(NOW) == "2026-11-24T01:00:00Z"
    assert rfc3339(NOW.replace(microsecond=120_000)) == "2026-11-24T01:00:00.12Z"

"""Cron expressions are due at the minutes they name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.inngest.schedules import Schedule

TUESDAY_NINE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        ("* * * * *", True),
        ("0 9 * * *", True),
        ("*/15 * * * *", True),
        ("5-59/5 * * * *", False),
        ("0 9 * * mon-fri", True),
        ("0 9 * nov,dec *", True),
        ("0 9 1 * tue", True),  # day of month or of week
        ("0 9 1 * *", False),
        ("0 9 * * 7", False),  # Sunday
        ("TZ=Europe/Paris 0 10 * * *", True),
        ("TZ=Europe/Paris 0 9 * * *", False),
    ],
)
def test_a_schedule_is_due_or_not(cron: str, due: bool) -> None:
    assert Schedule.parse(cron).is_due(TUESDAY_NINE) is due


@pytest.mark.parametrize("cron", ["* * * *", "61 * * * *", "x * * * *", "*/0 * * * *"])
def test_an_unreadable_cron_is_quoted_in_the_error(cron: str) -> None:
    with pytest.raises(ValueError, match="cron expression") as refused:
        Schedule.parse(cron)
    assert cron in str(refused.value)

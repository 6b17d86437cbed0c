"""What recurs goes on whatever goes wrong, and ends when it is told to."""

from __future__ import annotations

import asyncio

import psycopg
from structlog.testing import capture_logs

from shadow.store.recurring import Recurring


class Told(Recurring):
    """Fails as it is told to, then says that it has come through."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__("told", "told.failed", rest_after_failure=0)
        self.failures = list(failures)
        self.turns = 0
        self.through = asyncio.Event()

    async def turn(self) -> float:
        self.turns += 1
        if self.failures:
            raise self.failures.pop(0)
        self.through.set()
        return 3600


async def test_it_goes_on_whatever_goes_wrong() -> None:
    told = Told(psycopg.OperationalError("away"), ValueError("wrong"))
    await told.start()
    await asyncio.wait_for(told.through.wait(), 10)
    await told.stop()
    assert told.turns == 3


async def test_a_database_that_is_away_or_read_only_is_told_in_a_line_and_all_else_with_its_place() -> None:
    told = Told(psycopg.OperationalError("away"), psycopg.errors.ReadOnlySqlTransaction("standby"), OSError("full"))
    with capture_logs() as lines:
        await told.start()
        await asyncio.wait_for(told.through.wait(), 10)
        await told.stop()
    assert [(line["log_level"], "exc_info" in line) for line in lines] == [
        ("warning", False),
        ("warning", False),
        ("error", True),
    ]


async def test_it_rests_as_long_as_a_turn_says_and_ends_at_once() -> None:
    told = Told()
    await told.start()
    await asyncio.wait_for(told.through.wait(), 10)
    await asyncio.wait_for(told.stop(), 10)
    assert told.turns == 1
    await told.stop()  # harmless

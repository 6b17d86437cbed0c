"""What recurs goes on whatever goes wrong, and ends when it is told to."""

from __future__ import annotations

import asyncio

import psycopg

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


async def test_it_rests_as_long_as_a_turn_says_and_ends_at_once() -> None:
    told = Told()
    await told.start()
    await asyncio.wait_for(told.through.wait(), 10)
    await asyncio.wait_for(told.stop(), 10)
    assert told.turns == 1
    await told.stop()  # harmless

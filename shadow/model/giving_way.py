"""Long pieces of work in a process that has others waiting: they give way every few milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")

LONGEST_SECONDS = 0.003
"""Of work at a stretch. Producers are answered by the same event loop, and shall not notice."""


class Turns:
    """Takes the time of a piece of work."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def give_way(self) -> bool:
        """Let others have their turn, if this has had its time; whether it did."""
        if perf_counter() - self._since < LONGEST_SECONDS:
            return False
        await asyncio.sleep(0)
        self._since = perf_counter()
        return True


async def giving_way(steps: Generator[None, None, Result]) -> Result:
    """What a piece of work returns that may be interrupted where it yields."""
    turns = Turns()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result
        await turns.give_way()

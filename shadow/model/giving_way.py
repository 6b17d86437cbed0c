"""Long pieces of work in a process that has others waiting: they give way every millisecond, and go on one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

Result = TypeVar("Result")

LONGEST_SECONDS = 0.001
"""Of work at a stretch. Producers are answered by the same event loop, and shall not notice."""

_WAITING: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[asyncio.Future[None]]] = WeakKeyDictionary()
"""By event loop: the pieces of work that have given way and wait to go on."""


class Turns:
    """Takes the time of a piece of work."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def give_way(self) -> bool:
        """Let others have their turn, if this has had its time; whether it did."""
        if perf_counter() - self._since < LONGEST_SECONDS:
            return False
        await _others()
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


async def _others() -> None:
    """Return when it is this piece of work's turn: in each round of the event loop one of all that wait goes on.

    To answer a producer takes half a dozen rounds. Were each as long as all that is under way may work at a stretch,
    it would wait for their product.
    """
    loop = asyncio.get_running_loop()
    waiting = _WAITING.get(loop)
    if waiting is None:
        waiting = _WAITING[loop] = deque()
    turn = loop.create_future()
    waiting.append(turn)
    if len(waiting) == 1:
        loop.call_soon(_next, loop, waiting)
    await turn


def _next(loop: asyncio.AbstractEventLoop, waiting: deque[asyncio.Future[None]]) -> None:
    """Let one go on, and in the next round another."""
    turn = waiting.popleft()
    if waiting:
        loop.call_soon(_next, loop, waiting)
    if not turn.done():  # else it was cancelled
        turn.set_result(None)

"""Rounds: what is asked for while a question is under way is asked together in the next one.

Workers and platforms come in bursts, and each call needs a look-up and some rows: together they cost a few connections,
not one each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from psycopg import OperationalError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 100


class Rounds(Generic[Item, Result]):
    """Answers items in rounds, one round at a time. It runs only while somebody waits: there is nothing to stop."""

    def __init__(
        self, answer: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, pause: float | None = None
    ) -> None:
        """
        Args:
            answer: gives a result for each item, in order. When it raises, each item is tried alone, unless the
                database is away or busy: then all that wait for that round are told.
            pause: seconds between two rounds, for what nobody waits for: rounds get larger, and cost less. The first
                of a quiet time is not kept back.
        """
        self._answer = answer
        self._pause = pause
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Result:
        """The result for that item, or what `answer` raises for it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            await self._round(taken)
            if self._pause is not None:
                await asyncio.sleep(self._pause)

    async def _round(self, taken: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._answer([item for item, _future in taken])
        except Exception as error:
            if len(taken) > 1 and not isinstance(error, OperationalError):
                for one in taken:
                    await self._round([one])
                return
            for _item, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        for (_item, future), result in zip(taken, results, strict=True):
            if not future.done():  # whoever asked may have gone away
                future.set_result(result)

"""Group commit: what many callers wait for is written by one transaction, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Overloaded(Exception):
    """More is waiting to be written than the service will hold in memory."""


class GroupCommit(Generic[Item, Result]):
    """Collects items while a write is under way and writes all of them with the next one.

    A lone caller waits for nothing but its own write; under load the batches grow by themselves.

    Args:
        write: makes a batch durable and returns a result for each item, in order. If it raises, every caller
            of that batch gets the exception and nothing of the batch is stored.
        max_batch: items written at once.
        max_waiting: items that may wait; beyond it `submit` raises `Overloaded`.
        writers: batches under way at once.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_batch: int = 1000,
        max_waiting: int = 20_000,
        writers: int = 1,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = []
        self._waiting_items = 0
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writers = writers
        self._stopping = False

    async def start(self) -> None:
        self._stopping = False
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._writers)]

    async def stop(self) -> None:
        """Write what waits, then end. Later submissions raise RuntimeError."""
        self._stopping = True
        self._work.set()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Make `items` durable together, in one transaction.

        Raises:
            Overloaded: too much is waiting.
            RuntimeError: not started, or stopped.
        """
        if self._stopping or not self._tasks:
            raise RuntimeError("the group commit is not running")
        if self._waiting_items + len(items) > self._max_waiting:
            raise Overloaded
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        self._waiting_items += len(items)
        self._work.set()
        return await future

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]:
        """The longest prefix of what waits that fits a batch, at least one submission."""
        size = count = 0
        for items, _future in self._waiting:
            if count and size + len(items) > self._max_batch:
                break
            size += len(items)
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_items -= size
        return taken

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            taken = self._take()
            if not self._waiting and not self._stopping:
                self._work.clear()
            if not taken:
                if self._stopping:
                    return
                continue
            batch = [item for items, _future in taken for item in items]
            try:
                results = await self._write(batch)
            except Exception as error:
                for _items, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            position = 0
            for items, future in taken:
                if not future.done():  # a caller that went away is none of the others' business
                    future.set_result(results[position : position + len(items)])
                position += len(items)

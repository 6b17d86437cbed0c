"""Group commit: what many callers wait for is written by one transaction, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MIB = 1 << 20


class Overloaded(Exception):
    """More is waiting to be written than the service will hold in memory."""


class _Submission(NamedTuple, Generic[Item, Result]):
    """What one caller waits for."""

    items: Sequence[Item]
    size: int
    """Bytes of its items."""
    future: asyncio.Future[Sequence[Result]]


class GroupCommit(Generic[Item, Result]):
    """Collects items while a write is under way and writes all of them with the next one.

    A lone caller waits for nothing but its own write; under load the batches grow by themselves.

    Args:
        write: makes a batch durable and returns a result for each item, in order. If it raises, nothing of the
            batch may be stored: the batch is written again in halves, until what can't be written stands alone.
        size: the bytes of an item, for the caps below.
        splits: whether the items may be to blame for that error of `write`. If not (the disk is away), every
            caller of the batch gets the error at once and nothing is written again.
        max_batch: items written at once.
        max_batch_bytes: bytes written at once. A submission beyond either cap is still written whole, by itself.
        max_waiting: items that may wait; beyond it `submit` raises `Overloaded`.
        max_waiting_bytes: bytes that may wait, likewise.
        writers: batches under way at once.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        size: Callable[[Item], int],
        splits: Callable[[Exception], bool],
        max_batch: int = 1000,
        max_batch_bytes: int = 32 * MIB,
        max_waiting: int = 20_000,
        max_waiting_bytes: int = 256 * MIB,
        writers: int = 1,
    ) -> None:
        self._write = write
        self._size = size
        self._splits = splits
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: list[_Submission[Item, Result]] = []
        self._waiting_items = 0
        self._waiting_bytes = 0
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
        size = sum(map(self._size, items))
        if self._waiting_items + len(items) > self._max_waiting or self._waiting_bytes + size > self._max_waiting_bytes:
            raise Overloaded
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Submission(items, size, future))
        self._waiting_items += len(items)
        self._waiting_bytes += size
        self._work.set()
        return await future

    def _take(self) -> list[_Submission[Item, Result]]:
        """The longest prefix of what waits that fits a batch, at least one submission."""
        items = size = count = 0
        for submission in self._waiting:
            items += len(submission.items)
            size += submission.size
            if count and (items > self._max_batch or size > self._max_batch_bytes):
                items -= len(submission.items)
                size -= submission.size
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_items -= items
        self._waiting_bytes -= size
        return taken

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            taken = self._take()
            if not self._waiting and not self._stopping:
                self._work.clear()
            if taken:
                await self._store(taken)
            elif self._stopping:
                return

    async def _store(self, submissions: Sequence[_Submission[Item, Result]]) -> None:
        """Write them together; what can't be written fails its own caller only."""
        try:
            results = await self._write([item for submission in submissions for item in submission.items])
        except Exception as error:
            if len(submissions) > 1 and self._splits(error):
                half = len(submissions) // 2
                await self._store(submissions[:half])
                await self._store(submissions[half:])
                return
            for submission in submissions:
                if not submission.future.done():
                    submission.future.set_exception(error)
            return
        position = 0
        for items, _size, future in submissions:
            if not future.done():  # a caller that went away is none of the others' business
                future.set_result(results[position : position + len(items)])
            position += len(items)

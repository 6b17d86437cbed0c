"""Group commit: what many callers wait for is written by one transaction, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MIB = 1 << 20
_ENOUGH = 0.5
"""Share of the batch under way that must wait before another is begun beside it. Measured with `benchmarks.accept`:
with all of it the process waits for the disk at times, with a quarter batches get small."""


class Overloaded(Exception):
    """More is waiting to be written than the service will hold in memory."""


class WrittenInPart(Exception):
    """A batch is durable, but not everybody can be told of it what there is to tell."""

    def __init__(self, results: Sequence[Any]) -> None:
        """
        Args:
            results: for each item its result, or the error that its caller gets.
        """
        super().__init__("written, but some results could not be read")
        self.results = results


_Submission = tuple[Sequence[Item], int, Callable[[Sequence[Result] | Exception], None]]
"""What one caller waits for: its items, their bytes, and how it is told. A plain tuple, as there is one a request."""


class GroupCommit(Generic[Item, Result]):
    """Collects items while a write is under way and writes all of them with the next one.

    A lone caller waits for nothing but its own write; under load the batches grow by themselves.

    Args:
        write: makes a batch durable and returns a result for each item, in order. If it raises, nothing of the
            batch may be stored: the batch is written again in halves, until what can't be written stands alone. But
            for `WrittenInPart`, after which nothing is written again.
        size: the bytes of an item, for the caps below.
        splits: whether the items may be to blame for that error of `write`. If not (the disk is away), every
            caller of the batch gets the error at once and nothing is written again.
        max_batch: items written at once.
        max_batch_bytes: bytes written at once. A submission beyond either cap is still written whole, by itself.
        max_waiting: items that may wait; beyond it `submit` raises `Overloaded`.
        max_waiting_bytes: bytes that may wait, likewise.
        writers: batches under way at once, of which another one begins only when half as much waits as one holds.
        gather: seconds from the beginning of a batch of several to that of the next, at least: batches get larger,
            and cost less. Whoever comes alone is not kept back.
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
        gather: float = 0.0,
    ) -> None:
        self._write = write
        self._size = size
        self._splits = splits
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._writers = writers
        self._gather = gather
        self._not_before = float("-inf")
        self._waiting: list[_Submission[Item, Result]] = []
        self._waiting_items = 0
        self._waiting_bytes = 0
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._begins = False
        self._running = False

    async def start(self) -> None:
        # Asking for the running loop is a system call on Python 3.11, and `submit` is on the doors' path.
        self._loop = asyncio.get_running_loop()
        self._running = True

    async def stop(self) -> None:
        """Write what waits, then end. Later submissions raise RuntimeError."""
        self._running = False
        while self._waiting or self._under_way:
            self._begin()
            await asyncio.wait(self._under_way)

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Make `items` durable together, in one transaction.

        Raises:
            Overloaded: too much is waiting.
            RuntimeError: not started, or stopped.
        """
        if not self._running:
            raise RuntimeError("the group commit is not running")
        future: asyncio.Future[Sequence[Result]] = self._loop.create_future()
        self.hand_in(items, partial(_tell, future))
        try:
            return await future
        finally:
            # An error holds this frame, which would hold the error by the future: what was brought would stay until the
            # garbage collector comes by.
            del future, items

    def hand_in(self, items: Sequence[Item], settle: Callable[[Sequence[Result] | Exception], None]) -> None:
        """`submit` without a task that waits: of thousands a second, waking them would be felt.

        Args:
            settle: called once, from the event loop, with what `submit` would return or with the error of the write.

        Raises:
            Overloaded: too much is waiting.
            RuntimeError: not started, or stopped.
        """
        if not self._running:
            raise RuntimeError("the group commit is not running")
        size = self._size(items[0]) if len(items) == 1 else sum(map(self._size, items))
        if self._waiting_items + len(items) > self._max_waiting or self._waiting_bytes + size > self._max_waiting_bytes:
            raise Overloaded
        self._waiting.append((items, size, settle))
        self._waiting_items += len(items)
        self._waiting_bytes += size
        if not self._begins:
            # Not at once: what else this turn of the event loop brings goes along.
            self._begins = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Begin what writes may begin."""
        self._begins = False
        while self._waiting and len(self._under_way) < self._writers:
            if self._under_way and self._running and self._waiting_items < max(self._under_way.values()) * _ENOUGH:
                return  # too little for a write of its own: every one costs its share of disk and processor
            if (
                self._running
                and (now := self._loop.time()) < self._not_before
                and self._waiting_items < self._max_batch
            ):
                self._begins = True
                self._loop.call_later(self._not_before - now, self._begin)
                return
            taken = self._take()
            if self._gather and len(taken) > 1:
                self._not_before = self._loop.time() + self._gather
            task = asyncio.create_task(self._store(taken))
            self._under_way[task] = sum([len(items) for items, _, _ in taken])
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._begin()

    def _take(self) -> list[_Submission[Item, Result]]:
        """The longest prefix of what waits that fits a batch, at least one submission."""
        items = size = count = 0
        for submitted, its_size, _ in self._waiting:
            items += len(submitted)
            size += its_size
            if count and (items > self._max_batch or size > self._max_batch_bytes):
                items -= len(submitted)
                size -= its_size
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_items -= items
        self._waiting_bytes -= size
        return taken

    async def _store(self, submissions: Sequence[_Submission[Item, Result]]) -> None:
        """Write them together; what can't be written fails its own caller only."""
        failed = False
        try:
            results = await self._write([item for items, _, _ in submissions for item in items])
        except WrittenInPart as some:
            failed, results = True, some.results
        except Exception as error:
            if len(submissions) > 1 and self._splits(error):
                half = len(submissions) // 2
                await self._store(submissions[:half])
                await self._store(submissions[half:])
                return
            for _, _, settle in submissions:
                self._settle(settle, error)
            return
        position = 0
        for items, _, settle in submissions:
            end = position + len(items)
            outcome = results[position:end]
            errors = [result for result in outcome if isinstance(result, Exception)] if failed else ()
            self._settle(settle, errors[0] if errors else outcome)
            position = end

    def _settle(
        self, settle: Callable[[Sequence[Result] | Exception], None], outcome: Sequence[Result] | Exception
    ) -> None:
        try:
            settle(outcome)
        except Exception as error:  # the others of the batch still have to hear
            told = {"message": "a caller of the group commit failed to settle", "exception": error}
            self._loop.call_exception_handler(told)


def _tell(future: asyncio.Future[Sequence[Result]], outcome: Sequence[Result] | Exception) -> None:
    """Tell a caller who waits; one who went away is none of the others' business."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

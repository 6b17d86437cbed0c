"""Group commit: callers share writes, get their own results, and fail together only with their own batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shadow.intake.group_commit import GroupCommit, Overloaded


class Disk:
    """Remembers each batch; can be slow and can fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.poison: int | None = None

    async def write(self, items: Sequence[int]) -> list[int]:
        await self.open.wait()
        if self.poison in items:
            raise OSError("disk full")
        self.batches.append(list(items))
        return [item * 10 for item in items]


async def test_a_lone_caller_waits_for_its_own_write_only() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    await commits.start()
    assert await commits.submit([1, 2]) == [10, 20]
    assert disk.batches == [[1, 2]]
    await commits.stop()


async def test_what_arrives_during_a_write_shares_the_next() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    await commits.start()
    disk.open.clear()
    first = asyncio.create_task(commits.submit([1]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(commits.submit([item])) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    disk.open.set()
    assert await first == [10]
    assert [await other for other in others] == [[20], [30], [40]]
    assert disk.batches == [[1], [2, 3, 4]]
    await commits.stop()


async def test_a_batch_is_bounded_but_a_submission_is_never_split() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write, max_batch=3)
    await commits.start()
    tasks = [asyncio.create_task(commits.submit(items)) for items in ([1, 2], [3, 4], [5, 6, 7, 8], [9])]
    await asyncio.gather(*tasks)
    assert disk.batches == [[1, 2], [3, 4], [5, 6, 7, 8], [9]]
    await commits.stop()


async def test_a_failed_write_fails_its_batch_and_no_other() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write, max_batch=1)
    await commits.start()
    disk.poison = 2
    results = await asyncio.gather(*(commits.submit([item]) for item in (1, 2, 3)), return_exceptions=True)
    assert results[0] == [10]
    assert isinstance(results[1], OSError)
    assert results[2] == [30]
    await commits.stop()


async def test_too_much_waiting_is_refused_at_once() -> None:
    disk = Disk()
    disk.open.clear()
    commits = GroupCommit(disk.write, max_waiting=2)
    await commits.start()
    waiting = [asyncio.create_task(commits.submit([item])) for item in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await commits.submit([3, 4, 5])
    disk.open.set()
    await asyncio.gather(*waiting)
    await commits.stop()


async def test_stopping_writes_what_waits_and_refuses_what_comes_after() -> None:
    disk = Disk()
    commits = GroupCommit(disk.write)
    await commits.start()
    waiting = [asyncio.create_task(commits.submit([item])) for item in range(5)]
    await asyncio.sleep(0)
    await commits.stop()
    assert [await task for task in waiting] == [[item * 10] for item in range(5)]
    with pytest.raises(RuntimeError):
        await commits.submit([6])


async def test_a_caller_that_gives_up_disturbs_nobody() -> None:
    disk = Disk()
    disk.open.clear()
    commits = GroupCommit(disk.write)
    await commits.start()
    quitter = asyncio.create_task(commits.submit([1]))
    stayer = asyncio.create_task(commits.submit([2]))
    await asyncio.sleep(0)
    quitter.cancel()
    disk.open.set()
    assert await stayer == [20]
    await commits.stop()

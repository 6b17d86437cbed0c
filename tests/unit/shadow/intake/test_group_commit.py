"""Group commit: callers share writes, get their own results, and fail alone unless the disk is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from shadow.intake.group_commit import GroupCommit, Overloaded, WrittenInPart


class Away(Exception):
    """The disk is away."""


def commits_to(disk: Disk, **caps: Any) -> GroupCommit[int, int]:
    """Items are as many bytes as they count."""
    return GroupCommit(disk.write, size=int, splits=lambda error: not isinstance(error, Away), **caps)


class Disk:
    """Remembers each batch; can be slow and can fail."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.poison: set[int] = set()
        self.away = False
        self.tries = 0

    async def write(self, items: Sequence[int]) -> list[int]:
        self.begun.append(list(items))
        await self.open.wait()
        self.tries += 1
        if self.away:
            raise Away
        if bad := self.poison.intersection(items):
            raise ValueError(f"can't write {min(bad)}")
        self.batches.append(list(items))
        return [item * 10 for item in items]


async def test_a_lone_caller_waits_for_its_own_write_only() -> None:
    disk = Disk()
    commits = commits_to(disk)
    await commits.start()
    assert await commits.submit([1, 2]) == [10, 20]
    assert disk.batches == [[1, 2]]
    await commits.stop()


async def test_after_a_batch_of_several_the_next_gathers_and_whoever_comes_alone_is_not_kept_back() -> None:
    disk = Disk()
    commits = commits_to(disk, gather=3600.0)
    await commits.start()
    assert await commits.submit([1]) == [10]
    assert await commits.submit([2]) == [20]
    await asyncio.gather(commits.submit([3]), commits.submit([4]))
    kept_back = [asyncio.create_task(commits.submit([item])) for item in (5, 6)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert disk.begun == [[1], [2], [3, 4]]
    await commits.stop()
    assert [await one for one in kept_back] == [[50], [60]]
    assert disk.batches[3:] == [[5, 6]]


async def test_a_full_batch_gathers_no_longer() -> None:
    disk = Disk()
    commits = commits_to(disk, gather=3600.0, max_batch=3)
    await commits.start()
    await asyncio.gather(commits.submit([1]), commits.submit([2]))
    await asyncio.gather(*(commits.submit([item]) for item in (3, 4, 5)))
    assert disk.batches == [[1, 2], [3, 4, 5]]
    await commits.stop()


async def test_what_arrives_during_a_write_shares_the_next() -> None:
    disk = Disk()
    commits = commits_to(disk)
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


async def test_another_writer_begins_beside_the_first_once_half_as_much_waits() -> None:
    disk = Disk()
    commits = commits_to(disk, writers=2)
    await commits.start()
    disk.open.clear()
    first = [asyncio.create_task(commits.submit([item])) for item in (1, 2, 3, 4)]
    await turns()
    few = asyncio.create_task(commits.submit([5]))
    await turns()
    assert disk.begun == [[1, 2, 3, 4]]
    enough = asyncio.create_task(commits.submit([6]))
    await turns()
    assert disk.begun == [[1, 2, 3, 4], [5, 6]]
    rest = [asyncio.create_task(commits.submit([item])) for item in (7, 8, 9, 10)]
    await turns()
    assert len(disk.begun) == 2  # both are busy
    disk.open.set()
    await asyncio.gather(*first, few, enough, *rest)
    assert disk.begun[2] == [7, 8, 9, 10]
    await commits.stop()


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_batch_is_bounded_but_a_submission_is_never_split() -> None:
    disk = Disk()
    commits = commits_to(disk, max_batch=3)
    await commits.start()
    tasks = [asyncio.create_task(commits.submit(items)) for items in ([1, 2], [3, 4], [5, 6, 7, 8], [9])]
    await asyncio.gather(*tasks)
    assert disk.batches == [[1, 2], [3, 4], [5, 6, 7, 8], [9]]
    await commits.stop()


@pytest.mark.parametrize(
    "poison",
    [
        {0},  # the first
        {7},  # the last
        {3, 4},  # on both sides of a half
        set(range(8)),  # all
    ],
    ids=str,
)
async def test_a_poison_submission_fails_its_own_caller_only(poison: set[int]) -> None:
    disk = Disk()
    disk.poison = poison
    commits = commits_to(disk)
    await commits.start()
    results = await asyncio.gather(*(commits.submit([item, item + 100]) for item in range(8)), return_exceptions=True)
    for item, result in enumerate(results):
        if item in poison:
            assert isinstance(result, ValueError)
            assert str(result) == f"can't write {item}"
        else:
            assert result == [item * 10, item * 10 + 1000]
    await commits.stop()


async def test_one_poison_among_many_costs_few_writes() -> None:
    disk = Disk()
    disk.poison = {700}
    commits = commits_to(disk)
    await commits.start()
    results = await asyncio.gather(*(commits.submit([item]) for item in range(1000)), return_exceptions=True)
    assert sum(isinstance(result, ValueError) for result in results) == 1
    assert disk.tries <= 21  # two for each halving of 1000
    await commits.stop()


async def test_a_disk_that_is_away_fails_the_whole_batch_at_once() -> None:
    disk = Disk()
    disk.away = True
    commits = commits_to(disk)
    await commits.start()
    results = await asyncio.gather(*(commits.submit([item]) for item in range(50)), return_exceptions=True)
    assert all(isinstance(result, Away) for result in results)
    assert disk.tries == 1
    disk.away = False
    assert await commits.submit([1]) == [10]
    await commits.stop()


async def test_a_batch_is_bounded_in_bytes_but_a_submission_is_never_split() -> None:
    disk = Disk()
    commits = commits_to(disk, max_batch_bytes=10)
    await commits.start()
    tasks = [asyncio.create_task(commits.submit(items)) for items in ([4], [6], [1], [5, 6], [2], [3])]
    await asyncio.gather(*tasks)
    assert disk.batches == [[4, 6], [1], [5, 6], [2, 3]]
    await commits.stop()


async def test_too_many_bytes_waiting_are_refused_until_some_are_written() -> None:
    disk = Disk()
    disk.open.clear()
    commits = commits_to(disk, max_waiting_bytes=100)
    await commits.start()
    waiting = [asyncio.create_task(commits.submit([item])) for item in (60, 40)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await commits.submit([1])
    disk.open.set()
    await asyncio.gather(*waiting)
    assert await commits.submit([100]) == [1000]
    await commits.stop()


async def test_too_much_waiting_is_refused_at_once() -> None:
    disk = Disk()
    disk.open.clear()
    commits = commits_to(disk, max_waiting=2)
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
    commits = commits_to(disk)
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
    commits = commits_to(disk)
    await commits.start()
    quitter = asyncio.create_task(commits.submit([1]))
    stayer = asyncio.create_task(commits.submit([2]))
    await asyncio.sleep(0)
    quitter.cancel()
    disk.open.set()
    assert await stayer == [20]
    await commits.stop()


async def test_what_is_handed_in_is_settled_once_with_its_own_results_or_errors() -> None:
    disk = Disk()
    disk.poison = {2}
    commits = commits_to(disk)
    await commits.start()
    first, second, third = (list[object]() for _ in range(3))
    disk.open.clear()
    commits.hand_in([1], first.append)
    commits.hand_in([2], second.append)
    commits.hand_in([3, 4], third.append)
    assert first == []
    disk.open.set()
    await commits.stop()
    assert (first, third) == ([[10]], [[30, 40]])
    assert [type(error) for error in second] == [ValueError]
    with pytest.raises(RuntimeError):
        commits.hand_in([1], first.append)


async def test_one_that_fails_to_settle_is_none_of_the_others_business() -> None:
    commits = commits_to(Disk())
    await commits.start()
    noticed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: noticed.append(told["exception"]))
    settled: list[object] = []

    def fail(_outcome: object) -> None:
        raise LookupError

    commits.hand_in([1], fail)
    commits.hand_in([2], settled.append)
    await commits.stop()
    assert settled == [[20]]
    assert [type(error) for error in noticed] == [LookupError]


async def test_what_is_written_in_part_fails_those_only_who_cannot_be_told_and_is_not_written_again() -> None:
    writes: list[list[int]] = []

    async def write(items: Sequence[int]) -> list[int]:
        writes.append(list(items))
        raise WrittenInPart([LookupError(str(item)) if item == 3 else item * 10 for item in items])

    commits: GroupCommit[int, int] = GroupCommit(write, size=int, splits=lambda _error: True)
    await commits.start()
    told = await asyncio.gather(*(commits.submit(items) for items in ([1], [2, 3], [4])), return_exceptions=True)
    assert (told[0], repr(told[1]), told[2]) == ([10], "LookupError('3')", [40])
    assert writes == [[1, 2, 3, 4]]
    await commits.stop()

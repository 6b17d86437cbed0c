"""Long work lets others have their turn, and loses nothing by it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import perf_counter

from shadow.model.giving_way import LONGEST_SECONDS, Turns, giving_way


def work(steps: int, seconds: float) -> Generator[None, None, str]:
    for _ in range(steps):
        until = perf_counter() + seconds
        while perf_counter() < until:
            pass
        yield
    return "done"


async def test_others_have_their_turn_in_the_middle_of_it() -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    task = asyncio.create_task(other())
    assert await giving_way(work(5, LONGEST_SECONDS)) == "done"
    assert seen == ["other"]
    await task


async def test_short_work_is_not_interrupted() -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    task = asyncio.create_task(other())
    assert await giving_way(work(3, 0.0)) == "done"
    assert seen == []
    await task


async def test_it_says_whether_it_gave_way() -> None:
    turns = Turns()
    assert not await turns.give_way()
    until = perf_counter() + LONGEST_SECONDS
    while perf_counter() < until:
        pass
    assert await turns.give_way()
    assert not await turns.give_way()


async def test_of_several_that_have_given_way_one_goes_on_in_each_round() -> None:
    rounds: list[int] = []
    now = 0

    async def long() -> None:
        turns = Turns()
        for _ in range(3):
            until = perf_counter() + LONGEST_SECONDS
            while perf_counter() < until:
                pass
            assert await turns.give_way()
            rounds.append(now)

    several = [asyncio.create_task(long()) for _ in range(4)]
    while not all(task.done() for task in several):
        now += 1
        await asyncio.sleep(0)
    assert len(rounds) == 12
    assert len(set(rounds)) == 12


async def test_one_that_is_cancelled_keeps_nobody_waiting() -> None:
    async def long() -> str:
        return await giving_way(work(2, LONGEST_SECONDS))

    cancelled, others = asyncio.create_task(long()), [asyncio.create_task(long()) for _ in range(2)]
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await asyncio.gather(*others) == ["done", "done"]

"""What is done once calls have been answered."""

from __future__ import annotations

import asyncio

from api.front.afterwards import Afterwards


class Work:
    """Work that ends when it is let."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.done = False

    async def __call__(self) -> None:
        await self.may_end.wait()
        self.done = True


async def test_whoever_names_what_work_concerns_waits_for_it() -> None:
    afterwards, work = Afterwards(), Work()
    assert afterwards.begin(work, ["run_1", "run_2"])
    waiting = asyncio.create_task(afterwards.of("run_2"))
    await afterwards.of("run_3")
    assert not waiting.done()
    work.may_end.set()
    await waiting
    assert work.done


async def test_what_finds_no_room_is_not_begun() -> None:
    afterwards, works = Afterwards(most=2, most_bytes=100), [Work() for _ in range(4)]
    assert afterwards.begin(works[0], size=60)
    assert not afterwards.begin(works[1], size=60)
    assert afterwards.begin(works[2], size=40)
    assert not afterwards.begin(works[3])
    for work in works:
        work.may_end.set()
    await afterwards.finish()
    assert [work.done for work in works] == [True, False, True, False]
    assert afterwards.begin(works[1], size=60)
    await afterwards.finish()


async def test_work_that_fails_makes_room_and_hurts_nobody() -> None:
    afterwards = Afterwards(most=1)

    async def fails() -> None:
        raise OverflowError

    assert afterwards.begin(fails, ["run_1"], 10)
    await afterwards.of("run_1")
    assert afterwards.begin(fails)
    await afterwards.finish()


async def test_what_does_not_end_in_time_is_given_up() -> None:
    afterwards, work = Afterwards(), Work()
    afterwards.begin(work, ["run_1"])
    await afterwards.finish(0)
    await afterwards.of("run_1")
    assert not work.done

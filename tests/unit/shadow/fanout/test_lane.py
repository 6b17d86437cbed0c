"""When a lane asks its platform, and when it holds back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import pytest

from shadow.fanout.lane import Lane
from shadow.fanout.queue import Claimed, Fate, Queue
from shadow.fanout.write_back import WriteBack
from shadow.model.ids import new_id
from shadow.platforms.adapter import Adapter, Delivered, Delivery, Failed, Result, Throttled
from tests.unit.shadow.platforms.platforms import catalogue, delivery


class _Queue:
    """Has one dispatch due, always."""

    async def claim(self, platform: str, limit: int, lease_time: timedelta) -> list[Claimed]:
        due = delivery()
        return [Claimed(due.dispatch_id, due.event, due.stage, platform, "sync", 1, new_id(), due)]


class _Platform:
    name = "trigger"
    batch_size = 1
    concurrency = 1

    def __init__(self, result: Result) -> None:
        self._result = result
        self.asked = 0

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        return [[one] for one in deliveries]

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        self.asked += 1
        return [self._result] * len(group)


class _Results:
    def __init__(self) -> None:
        self.fates: list[Fate] = []
        self.some = asyncio.Event()

    def add(self, fates: Sequence[tuple[Claimed, Fate]]) -> None:
        self.fates += [fate for _claimed, fate in fates]
        if len(self.fates) > 1:
            self.some.set()


async def _asked(result: Result) -> tuple[int, float]:
    """How often the platform is asked while another dispatch is due, and for how long it is not any more."""
    platform, results, woken = _Platform(result), _Results(), asyncio.Event()
    lane = Lane(
        cast(Queue, _Queue()),
        cast(Adapter, platform),
        catalogue(),
        cast(WriteBack, results),
        woken,
        timeout=timedelta(seconds=1),
    )
    running = asyncio.create_task(lane.run())
    try:
        async with asyncio.timeout(0.5):
            await results.some.wait()
    except TimeoutError:
        pass
    held = lane.state.held_seconds
    lane.stop()
    await running
    return platform.asked, held


@pytest.mark.parametrize(
    "result",
    [
        Throttled(timedelta(seconds=9)),
        Delivered("run_1", rest=timedelta(seconds=9)),  # taken, but the quota is spent
        Failed("HTTP 503", timedelta(seconds=9)),  # with Retry-After
    ],
)
async def test_a_platform_that_wants_no_more_requests_gets_none_meanwhile(result: Result) -> None:
    asked, held = await _asked(result)
    assert asked == 1
    assert 8 < held <= 9


async def test_a_platform_that_has_room_is_asked_again_at_once() -> None:
    asked, held = await _asked(Delivered("run_1"))
    assert asked >= 2
    assert held == 0

"""Many small writes are spaced, a lone one is not kept waiting."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from shadow.store.pace import Pace


async def test_turns_are_apart() -> None:
    pace, loop = Pace(0.05), asyncio.get_running_loop()
    moments = []
    for _ in range(3):
        await pace.turn()
        moments.append(loop.time())
    assert all(later - earlier >= 0.049 for earlier, later in pairwise(moments))


async def test_the_first_and_who_comes_after_a_pause_need_not_wait() -> None:
    pace = Pace(3600)
    await asyncio.wait_for(pace.turn(), 60)
    pace = Pace(0.01)
    await pace.turn()
    await asyncio.sleep(0.02)
    await asyncio.wait_for(pace.turn(), 60)

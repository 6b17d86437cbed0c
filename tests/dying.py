"""A process of the test's own that dies at a fail point, as by `kill -9`: forked, so that it costs no start."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable

from shadow.observe import fail_points
from shadow.store.database import Database


async def dies_at(point: str, url: str, work: Callable[[Database], Awaitable[object]]) -> None:
    """Have a process do that on a database of its own; it has to die at the point before it is done."""
    number = os.fork()
    if number == 0:
        try:
            gc.freeze()  # what is the test's is not this process's to close
            fail_points._armed = fail_points._Armed(point)
            with contextlib.suppress(BaseException):
                asyncio.run(_work(url, work))
        finally:
            os._exit(1)
    _, status = await asyncio.to_thread(os.waitpid, number, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"it did not get to {point}"


async def _work(url: str, work: Callable[[Database], Awaitable[object]]) -> None:
    await work(Database(url))

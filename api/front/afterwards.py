"""What is done once a call has been answered, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from shadow.intake.arrival import DedupeKey

log = structlog.get_logger(__name__)

_MOST = 10_000
_MOST_BYTES = 64 * 1024 * 1024


class Afterwards:
    """Work under way that nobody's answer waits for. Bounded: what finds no room is not begun.

    Only what is made good without it belongs here: a process that is killed takes it along.
    """

    def __init__(self, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        """
        Args:
            most: pieces of work at once.
            most_bytes: that they may hold together.
        """
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._named: dict[str, asyncio.Task[None]] = {}

    def begin(self, work: Callable[[], Awaitable[None]], names: Sequence[str] = (), size: int = 0) -> bool:
        """Do that work, when this turn of the event loop is over.

        Args:
            names: what it concerns, for `of`.
            size: bytes that it holds.

        Returns:
            False when there is no room for it.
        """
        if len(self._under_way) >= self._most or self._bytes + size > self._most_bytes:
            return False
        self._bytes += size
        task = asyncio.create_task(self._do(work, names, size))
        self._under_way.add(task)
        for name in names:
            self._named[name] = task
        return True

    async def _do(self, work: Callable[[], Awaitable[None]], names: Sequence[str], size: int) -> None:
        task = asyncio.current_task()
        assert task is not None, "made by create_task"
        try:
            await work()
        except Exception:
            log.exception("front.afterwards_failed")
        finally:
            self._bytes -= size
            self._under_way.discard(task)
            for name in names:
                if self._named.get(name) is task:
                    del self._named[name]

    async def of(self, name: str) -> None:
        """Until what concerns that name has been done."""
        task = self._named.get(name)
        if task is not None:
            await asyncio.wait((task,))

    async def finish(self, within: float | None = None) -> None:
        """Until everything has been done that was begun.

        Args:
            within: seconds, after which the rest is given up.
        """
        try:
            async with asyncio.timeout(within):
                while self._under_way:
                    await asyncio.wait(tuple(self._under_way))
        except TimeoutError:
            log.error("front.afterwards_given_up", pieces=len(self._under_way))
            for task in tuple(self._under_way):
                task.cancel()
            if self._under_way:
                await asyncio.wait(tuple(self._under_way))


def about_key(dedupe: DedupeKey) -> str:
    """The name, in `Afterwards`, of what concerns that key."""
    return f"{dedupe.scope} {dedupe.key}"

"""What came in one turn of the event loop, begun a portion at a time.

Answers that were written together bring the next requests together. Begun in one go, all of them would be one batch of
the group commit: the process would wait while the database works, and the database while the process does. Between two
portions the event loop does what else is due, so that what the first ones brought is on its way while the others begin.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from uvicorn.server import ServerState

PORTION = 32
"""Requests begun in one go. Measured with `benchmarks.accept`, 64 in flight."""


class Turn:
    """The requests of one listener that wait to be begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    @classmethod
    def of(cls, state: ServerState, loop: asyncio.AbstractEventLoop) -> Turn:
        """That listener's."""
        found: Turn | None = getattr(state, "turn", None)
        if found is None:
            found = state.turn = cls(loop)  # type: ignore[attr-defined]  # it lives as long as the server's state does
        return found

    def add(self, begin: Callable[[], None]) -> None:
        """Call `begin` soon, after what was added before."""
        self._waiting.append(begin)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        try:
            for _ in range(min(PORTION, len(self._waiting))):
                self._waiting.popleft()()
        finally:  # whatever one of them raised
            self._is_due = bool(self._waiting)
            if self._is_due:
                self._loop.call_soon(self._begin)

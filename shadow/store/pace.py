"""A pace: what many ask for in small pieces is written a little more seldom, and more of it together."""

from __future__ import annotations

import asyncio


class Pace:
    """One turn in so many seconds, at most. Who asks after a pause waits for nothing.

    Every write costs its statements and a flush, however little it is of: at a few hundred pieces a second, writes at
    once would take most of a processor, and nobody needs them that soon.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    async def turn(self) -> None:
        """Return when it is time."""
        loop = asyncio.get_running_loop()
        if (wait := self._next - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._next = loop.time() + self._seconds

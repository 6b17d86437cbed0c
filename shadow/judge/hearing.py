"""Whether gateways can be heard: one that is there has no way to say so while the database is away."""

from __future__ import annotations

import time
from collections.abc import Callable

from shadow.model.attendance import SILENT_SECONDS

_PAUSE_SECONDS = 5.0
"""A judge that had no word from the database for longer knows nothing of who could reach it meanwhile."""


class Hearing:
    """Since when the database has answered this judge without a pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._since = self._last = clock()

    def note(self) -> None:
        """The database has just answered."""
        now = self._clock()
        if now - self._last > _PAUSE_SECONDS:
            self._since = now
        self._last = now

    @property
    def lasts(self) -> bool:
        """Whether it has done so for as long as a gateway has to be silent to be gone."""
        return self._clock() - self._since >= SILENT_SECONDS

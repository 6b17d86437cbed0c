"""Runs that a worker names and nobody knows, and since when.

One that was named for the first time a moment ago may be known in the next: its platform does not answer, or its event
lies on the disk of a process that is no more. Its calls stay here either way; whether its worker may come again is all
that this tells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

NEW_SECONDS = 60.0
"""How long a run may be new: longer than a process or a platform's API is mostly away."""
_REMEMBERED = 100_000


class Strangers:
    """The names of one process, each since it was heard first."""

    def __init__(self, *, new_seconds: float = NEW_SECONDS) -> None:
        self._new_seconds = new_seconds
        self._since: OrderedDict[int, float] = OrderedDict()
        """By the hash of the name: names are as long as a worker makes them, and nothing is let through by them."""

    def is_new(self, name: Hashable, now: float) -> bool:
        """Whether that unknown run was named for the first time less than `NEW_SECONDS` ago.

        Args:
            now: seconds of a clock that does not jump.
        """
        since = self._since.setdefault(hash(name), now)
        if len(self._since) > _REMEMBERED:
            self._since.popitem(last=False)
        return now - since < self._new_seconds

    def is_known(self, name: Hashable) -> None:
        """It is none any more."""
        self._since.pop(hash(name), None)

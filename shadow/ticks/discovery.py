"""One way to find a legacy run by its name: as the child of a run of ours, or as one of a tick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

Discover = Callable[[str], Awaitable[UUID | None]]
"""The run of ours that the platform calls so, written down by now; None where it is none."""


def first_of(*ways: Discover) -> Discover:
    """Tries one after the other."""

    async def discover(run: str) -> UUID | None:
        for way in ways:
            found = await way(run)
            if found is not None:
                return found
        return None

    return discover

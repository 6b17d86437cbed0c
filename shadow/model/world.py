"""What is said of the rows that a run without authority found (`runs.world`)."""

from __future__ import annotations

COPIED = "copied"
"""All of them are as they were on the other side when the twin had settled, and none was newer than the event."""
LATE = "late"
"""The run was started before its twin had settled, because its patience was over."""
STALE = "stale_world"
"""A row changed after the event: nothing was copied. Goes on after a colon."""
NOT_COPIED = "not_copied"
"""The rows could not be copied. Goes on after a colon."""


def is_another(world: str | None) -> bool:
    """Whether the run found other rows than its twin, as far as is known, so that what differs may come of them."""
    return world is not None and world.partition(":")[0] in (STALE, NOT_COPIED)

"""How long a process that is told to stop lets what is under way go on.

A call that is cut off is tried again by its platform, and may do a thing twice: so it is the longest that any target or
platform of the catalogue may take, and a little.
"""

from __future__ import annotations

from datetime import timedelta

from shadow.catalogue import ResolvedCatalogue
from shadow.intake.plan import PASSTHROUGH_PATIENCE

LEAST = timedelta(seconds=10)
MOST = timedelta(minutes=2)
"""However long a target may take: whoever stops a process waits no longer."""
_MARGIN = timedelta(seconds=2)


def drain_time(catalogue: ResolvedCatalogue, asked: timedelta | None = None) -> timedelta:
    """
    Args:
        asked: what whoever runs the process wants instead.
    """
    if asked is not None:
        return asked
    times = [target.timeout for target in catalogue.targets.values()]
    times += [min(platform.timeout, PASSTHROUGH_PATIENCE) for platform in catalogue.platforms.values()]
    return min(max([LEAST, *(time + _MARGIN for time in times)]), MOST)

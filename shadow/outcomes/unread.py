"""Which runs that have ended are read with the requests that are left, and of which it is told that they ended without
saying what they returned. Pure.

A run list tells status, times and cost of a hundred runs for one request; what a run returned, or why it failed, costs
a request of its own, and a platform allows far fewer than there may be runs. A run that nobody read in time would be
taken for one that never came. So it is told as the list shows it: then it is said of its pair that it is not known what
the run returned, and nothing wrong is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shadow.outcomes.outcome import Status
from shadow.outcomes.reader import Awaited
from shadow.platforms.trigger_api import Json

PATIENCE = timedelta(minutes=5)
"""How long after its end a run waits for a request, so that what a burst leaves is read in the quiet after it."""
_CROWDED = timedelta(seconds=30)
"""The same, while more runs are due than are looked at together: there is no quiet to wait for."""
_OF_THE_DEADLINE = 0.75
"""Share of its task's deadline after which a run waits no longer: at the deadline its pair would be told to lack it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A run that the list shows as ended."""

    name: str
    awaited: Awaited
    shown: Json
    status: Status | None
    """None where the list says something that we don't know."""
    ended_at: datetime | None
    is_compared: bool
    """Whether what it returned is compared."""
    deadline: timedelta
    """Of its task."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What becomes of them."""

    read: Sequence[Listed]
    """With a request each, in this order; those that can wait no longer although none was left for them."""
    told: Sequence[Listed]
    """Without what they returned."""
    waiting: int
    """Those that are left for another time."""


def portioned(ended: Sequence[Listed], room: int, now: datetime, *, crowded: bool) -> Portion:
    """Spend `room` requests on those of the most worth: why a run failed is always needed, since it can't be judged
    without; then what is compared; and of these the oldest first. A failure is read in time even where there is no
    room.

    Args:
        crowded: whether more runs are due than were asked for.
    """
    ordered = sorted(ended, key=lambda run: (_worth(run), run.awaited.starts_at, run.name))
    left = ordered[room:]
    told = [run for run in left if run.status is Status.COMPLETED and _is_over(run, now, crowded=crowded)]
    # Where producers use up the platform's quota there may be no room whenever it is asked for.
    urgent = [run for run in left if run.status not in (None, Status.COMPLETED) and _is_late(run, now)]
    return Portion([*ordered[:room], *urgent], told, len(left) - len(told) - len(urgent))


def _worth(run: Listed) -> int:
    if run.status is not Status.COMPLETED:
        return 0
    return 1 if run.is_compared else 2


def _is_over(run: Listed, now: datetime, *, crowded: bool) -> bool:
    """Whether it has waited long enough."""
    if _is_late(run, now) or not run.is_compared:
        return True
    return run.ended_at is None or now >= run.ended_at + (_CROWDED if crowded else PATIENCE)


def _is_late(run: Listed, now: datetime) -> bool:
    """Whether its pair will soon be told to lack it."""
    return now >= run.awaited.starts_at + run.deadline * _OF_THE_DEADLINE

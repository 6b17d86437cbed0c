"""Who has authority when: the benchmark's own record of the moves that it made."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase

MARGIN = timedelta(milliseconds=150)
"""So near to a move nobody can tell from outside which decision an event got."""


class Timeline:
    """The phases of every route since the beginning."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._catalogue = catalogue
        self._changes: defaultdict[str, list[tuple[datetime, Phase]]] = defaultdict(
            lambda: [(datetime.min.replace(tzinfo=UTC), Phase.LEGACY)]
        )

    def learn(self, route: str, decided_at: datetime, effective_at: datetime, phase: Phase) -> None:
        """A move was made. It takes the place of any that had not taken effect when it was decided."""
        changes = [change for change in self._changes[route] if change[0] <= decided_at]
        self._changes[route] = [*changes, (effective_at, phase)]

    def authority(self, task: str, begun: datetime, ended: datetime) -> Side | None:
        """The side that had authority all the while; None when that changed, or nearly did."""
        held = self.held(task, begun - MARGIN, ended + MARGIN)
        return next(iter(held)) if len(held) == 1 else None

    def held(self, task: str, begun: datetime, ended: datetime) -> set[Side]:
        """Every side that had authority for a while in that time."""
        changes = self._changes[self._catalogue.tasks[task].route]
        first = bisect_right(changes, begun, key=lambda change: change[0]) - 1
        last = bisect_right(changes, ended, key=lambda change: change[0])
        return {_authoritative(phase) for _at, phase in changes[max(first, 0) : last]}


def _authoritative(phase: Phase) -> Side:
    return Side.LEGACY if phase in (Phase.LEGACY, Phase.SHADOW) else Side.CANDIDATE

"""Who has authority when: the benchmark's own record of the moves that it made."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase

MARGIN = timedelta(milliseconds=150)
"""So near to a move nobody can tell from outside which decision an event got."""


@dataclass(frozen=True)
class Held:
    """Where a route stands. What a ramp takes is worked out here once more, by the words of the documentation."""

    phase: Phase
    share: int = 0
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def authority(self, key: str) -> Side:
        if self.phase is Phase.RAMP:
            hundredth = int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) % 100
            taken = key not in self.deny and (key in self.allow or hundredth < self.share)
            return Side.CANDIDATE if taken else Side.LEGACY
        return Side.LEGACY if self.phase in (Phase.LEGACY, Phase.SHADOW) else Side.CANDIDATE

    @property
    def is_legacys(self) -> bool:
        """Whether legacy has authority for every key."""
        return self.phase in (Phase.LEGACY, Phase.SHADOW)


class Timeline:
    """The phases of every route since the beginning."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._catalogue = catalogue
        self._changes: defaultdict[str, list[tuple[datetime, Held]]] = defaultdict(
            lambda: [(datetime.min.replace(tzinfo=UTC), Held(Phase.LEGACY))]
        )

    def learn(self, route: str, decided_at: datetime, effective_at: datetime, held: Held) -> None:
        """A move was made. It takes the place of any that had not taken effect when it was decided."""
        changes = [change for change in self._changes[route] if change[0] <= decided_at]
        self._changes[route] = [*changes, (effective_at, held)]

    def authority(self, task: str, key: str, begun: datetime, ended: datetime) -> Side | None:
        """The side that had authority for that key all the while; None when that changed, or nearly did."""
        sides = {held.authority(key) for held in self._held(task, begun - MARGIN, ended + MARGIN)}
        return next(iter(sides)) if len(sides) == 1 else None

    def was_legacys(self, task: str, begun: datetime, ended: datetime) -> bool:
        """Whether legacy had authority for every key for a while in that time."""
        return any(held.is_legacys for held in self._held(task, begun, ended))

    def _held(self, task: str, begun: datetime, ended: datetime) -> Sequence[Held]:
        changes = self._changes[self._catalogue.tasks[task].route]
        first = bisect_right(changes, begun, key=lambda change: change[0]) - 1
        last = bisect_right(changes, ended, key=lambda change: change[0])
        return [held for _at, held in changes[max(first, 0) : last]]

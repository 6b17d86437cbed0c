"""What runs used up. Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass

LIVE = "live"
"""The purpose of events that producers brought: what the projection is of."""
UNSOLICITED = "unsolicited"
"""Of runs that nothing of ours expected: started from a dashboard, by a cron, or a second time."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of some runs that have ended, or a change of that."""

    runs: int = 0
    priced: int = 0
    """Of them, those of which the platform said what they cost."""
    cents: float = 0.0
    """What it said."""
    told: int = 0
    """Of them, those of which somebody said how many executions they were: of themselves and their steps."""
    executions: int = 0
    """What they said."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.runs + other.runs,
            self.priced + other.priced,
            self.cents + other.cents,
            self.told + other.told,
            self.executions + other.executions,
        )

    @property
    def figures(self) -> tuple[int, int, float, int, int]:
        """In the order of the table's columns."""
        runs, priced, cents, told, executions = astuple(self)
        return runs, priced, cents, told, executions

    @property
    def cents_per_run(self) -> float | None:
        """By what the platform said of those of which it said anything."""
        return self.cents / self.priced if self.priced else None

    @property
    def executions_per_run(self) -> float | None:
        return self.executions / self.told if self.told else None

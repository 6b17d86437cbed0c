"""What a gate says: open or closed, and each of its conditions with its figure.

Pure data, with one JSON form (`as_json`, `from_json`), which is what table `gates` keeps, moves rest on (their evidence
hash is of it) and the API gives. Whoever shows a gate reads it from here; whoever moves a route asks for it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson


class ConditionName(StrEnum):
    """Every condition of a gate, in the order in which they are shown."""

    STATISTIC = "statistic"
    """The mismatch rate is shown to be below the budget, or two people signed off."""
    REGRESSION = "regression"
    """It has not been shown to be above it since."""
    NOT_COMPARABLE = "not_comparable"
    CRITICAL = "critical_signatures"
    LEAKS = "leaks"
    CONTAINMENT = "containment"
    FRESHNESS = "freshness"
    SOAK = "soak"
    TICKS = "ticks"
    COVERAGE = "coverage"
    FAILURES = "failures"
    LATENCY = "latency"
    ALLOWANCES = "allowances"


class State(StrEnum):
    MET = "met"
    UNMET = "unmet"
    INFORMATIONAL = "informational"
    """Shown only: it holds nothing shut, whatever its figure."""
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition."""

    name: ConditionName
    state: State
    figure: float | None
    """Its figure, in the unit that `says` names; None where there is none yet."""
    limit: float | None
    """What the figure is held against."""
    says: str
    """One sentence for people: the figure, the limit and what to do."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted within the epoch."""

    match: int = 0
    allowed: int = 0
    """Differences that were allowed when the pair's event was accepted: no mismatches."""
    mismatch: int = 0
    missing: int = 0
    """Either side's: mismatches, too."""
    not_comparable: int = 0

    @property
    def compared(self) -> int:
        """n of the statistic: all but those that can't be compared."""
        return self.match + self.allowed + self.mismatch + self.missing

    @property
    def mismatches(self) -> int:
        """k of the statistic."""
        return self.mismatch + self.missing


def person_of(actor: str) -> str:
    """The person that an actor on record is."""
    return actor.removeprefix("token:").strip().casefold()


@dataclass(frozen=True, slots=True)
class SignOff:
    """Somebody's word, on record, that stands in the statistic's place where there are too few pairs for it."""

    id: UUID
    actor: str
    reason: str
    made_at: datetime

    @property
    def person(self) -> str:
        """Who that is, by whatever way: `token:ann` of the API is `ann` of the command."""
        return person_of(self.actor)


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate of a task says now."""

    task: str
    category: str | None
    open: bool
    epoch: UUID | None
    """None while the task has none: nothing was counted yet."""
    epoch_number: int
    epoch_started_at: datetime | None
    candidate_version: str | None
    legacy_version: str | None
    live: Counted
    replayed: Counted
    """Pairs of recorded events that were run again; they count as well, and are shown apart."""
    pending: int
    """Resolved pairs that wait for an older one, which has no verdict yet."""
    budget: float
    alpha: float
    e_value: float
    """At most 1e300; the threshold is 1 / alpha."""
    upper_bound: float
    """The mismatch rate is below it with confidence 1 - alpha; 1 while nothing is known."""
    pairs_needed: int | None
    """How many more clean pairs open the statistic; 0: it is open; None: none do, since it has regressed."""
    pairs_a_day: float
    """At the volume of the last days."""
    opens_at: datetime | None
    """At that volume; None: never, or now."""
    conditions: tuple[Condition, ...]
    evaluated_at: datetime
    outlook: str = ""
    """One sentence: when it opens, or why it never does as things stand."""
    sign_offs: tuple[SignOff, ...] = ()
    """Those that stand, oldest first."""

    @property
    def blockers(self) -> tuple[Condition, ...]:
        """The conditions that hold it shut."""
        return tuple(condition for condition in self.conditions if condition.state is State.UNMET)

    def as_json(self) -> dict[str, Any]:
        """A JSON object: moments in ISO 8601, ids as text."""
        found: dict[str, Any] = orjson.loads(orjson.dumps(self))
        return found

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> GateReport:
        """The inverse of `as_json`."""
        moments = ("epoch_started_at", "opens_at", "evaluated_at")
        return cls(
            **{
                **value,
                **{name: None if value[name] is None else datetime.fromisoformat(value[name]) for name in moments},
                "epoch": None if value["epoch"] is None else UUID(value["epoch"]),
                "live": Counted(**value["live"]),
                "replayed": Counted(**value["replayed"]),
                "conditions": tuple(
                    Condition(**{**found, "name": ConditionName(found["name"]), "state": State(found["state"])})
                    for found in value["conditions"]
                ),
                "sign_offs": tuple(
                    SignOff(
                        UUID(found["id"]), found["actor"], found["reason"], datetime.fromisoformat(found["made_at"])
                    )
                    for found in value.get("sign_offs", ())
                ),
            }
        )

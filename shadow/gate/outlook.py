"""When a gate opens by itself, at today's volume, if every pair to come is clean; or why it never does. Pure.

Some conditions are met by pairs and time alone. Any other has to be dealt with by somebody, so there is no date then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shadow.gate import failing, slowness
from shadow.gate.known import TaskKnown
from shadow.gate.report import Condition, ConditionName, State
from shadow.gate.wording import count

FARTHEST = timedelta(days=3650)
"""A gate that opens later is said never to."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected."""

    opens_at: datetime | None
    """None: now, or never."""
    says: str
    """One sentence."""


def outlook(known: TaskKnown, conditions: Sequence[Condition]) -> Outlook:
    """When the gate with these conditions opens."""
    shut = [condition for condition in conditions if condition.state is State.UNMET]
    if not shut:
        return Outlook(None, "it is open")
    named = [condition for condition in shut if condition.name not in _BY_ITSELF]
    if named:
        listed = ", ".join(condition.name.value for condition in named)
        return Outlook(None, f"never, until somebody sees to {listed}")
    dates = {condition.name: _BY_ITSELF[condition.name](known) for condition in shut}
    never = [name for name, date in dates.items() if date is None]
    if never:
        listed = ", ".join(name.value for name in never)
        volume = f"with {known.pairs_a_day:.3g} pairs a day"
        hint = ""
        if ConditionName.STATISTIC in never and known.pairs_a_day < known.settings.sign_off_below:
            hint = "; two people may sign off instead"
        return Outlook(None, f"never {volume}: {listed} would need more{hint}")
    found = max(date for date in dates.values() if date is not None)
    listed = ", ".join(name.value for name in dates)
    volume = count(round(known.pairs_a_day), "pair")
    return Outlook(found, f"on {found:%Y-%m-%d} at {volume} a day, all of them clean: until then {listed}")


def _after(known: TaskKnown, pairs: int | None) -> datetime | None:
    """When that many pairs more have been counted."""
    if pairs is None or (pairs and known.pairs_a_day <= 0):
        return None
    lasts = pairs / known.pairs_a_day if pairs else 0.0
    return known.now + timedelta(days=lasts) if lasts <= FARTHEST.days else None


def _statistic(known: TaskKnown) -> datetime | None:
    return None if known.epoch is None else _after(known, known.epoch.statistic.pairs_needed)


def _soak(known: TaskKnown) -> datetime | None:
    began = known.now if known.epoch is None else known.epoch.started_at
    return began + known.settings.soak


def _freshness(known: TaskKnown) -> datetime | None:
    return _after(known, 1)


def _failures(known: TaskKnown) -> datetime | None:
    return _after(known, failing.pairs_needed(known))


def _latency(known: TaskKnown) -> datetime | None:
    return _after(known, slowness.pairs_needed(known))


def _not_comparable(known: TaskKnown) -> datetime | None:
    """Pairs that can be compared, as many as bring the share down."""
    if known.epoch is None or not known.settings.not_comparable:
        return None
    needed = known.epoch.not_comparable / known.settings.not_comparable - known.epoch.resolved
    return _after(known, max(0, math.ceil(needed - 1e-9)))


_BY_ITSELF: dict[ConditionName, Callable[[TaskKnown], datetime | None]] = {
    ConditionName.STATISTIC: _statistic,
    ConditionName.NOT_COMPARABLE: _not_comparable,
    ConditionName.FRESHNESS: _freshness,
    ConditionName.SOAK: _soak,
    ConditionName.FAILURES: _failures,
    ConditionName.LATENCY: _latency,
}

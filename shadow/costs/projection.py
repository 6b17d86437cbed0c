"""What a month of each task costs on either side, by the price book. Pure.

A task's volume is that of its live events: in shadow both sides run each of them, later only one does, and so it is the
larger of the two sides' live runs. What one run costs is measured over a longer time, so that a quiet week has a price.

    month of a task on a platform =
        volume * (what the platform says of a run + per_run)
        + its share, by executions, of what the platform's executions cost beyond the included ones
        + its share, by volume, of the platform's monthly price
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shadow.catalogue.price_settings import PlatformPrice
from shadow.costs.usage import Usage

DAYS_A_MONTH = 365.25 / 12


class Basis(StrEnum):
    """Where the figures of a side come from."""

    PLATFORM = "platform"
    """The platform says what its runs cost."""
    TOLD = "told"
    """Traces of the platform, or reports, say how many executions runs were."""
    DECLARED = "declared"
    """The price book says how many executions a run of the task is."""
    ASSUMED = "assumed"
    """Nobody said: a run counts as one execution, which is the least it can be."""
    PRICE_BOOK = "price_book"
    """By `per_run` and `monthly` alone."""
    NONE = "none"
    """Nothing says what a run costs."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs on one side, and what its runs there used up."""

    platform: str
    bills_runs: bool
    """Whether the platform itself says what a run cost (Trigger.dev)."""
    known: Usage
    """Live runs, of the days that say what a run costs."""
    declared: float | None
    """Executions of one run, as the price book says."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month of one task on one side, in the currency's unit."""

    platform: str
    basis: Basis
    runs: float
    """Expected."""
    executions: float | None
    """Expected; None where executions are not what is paid for."""
    variable: float | None
    """What grows with the volume; None: nothing says."""
    fixed: float
    """Its share of the platform's monthly price, which is saved only once the platform is left."""

    @property
    def total(self) -> float | None:
        return None if self.variable is None else self.variable + self.fixed

    @property
    def per_run(self) -> float | None:
        return self.variable / self.runs if self.variable is not None and self.runs else None


def volume(legacy: Usage, candidate: Usage, days: float) -> float:
    """Events of a task a month, by its live runs of so many days."""
    return max(legacy.runs, candidate.runs) / days * DAYS_A_MONTH


def months(
    places: Mapping[str, Place], volumes: Mapping[str, float], prices: Mapping[str, PlatformPrice]
) -> dict[str, Month]:
    """Task -> its month on the side of these places."""
    found: dict[str, Month] = {}
    for platform in sorted({place.platform for place in places.values()}):
        tasks = [task for task, place in places.items() if place.platform == platform]
        found.update(_of_platform(tasks, places, volumes, prices.get(platform)))
    return {task: found[task] for task in places}


def _of_platform(
    tasks: Sequence[str], places: Mapping[str, Place], volumes: Mapping[str, float], price: PlatformPrice | None
) -> dict[str, Month]:
    told = price or PlatformPrice()
    by_executions = told.per_execution > 0
    expected = {task: volumes[task] * executions(places[task])[0] for task in tasks}
    everything, all_runs = sum(expected.values()), sum(volumes[task] for task in tasks)
    charged = max(everything - told.included_executions, 0.0) * told.per_execution
    found = {}
    for task in tasks:
        place, runs = places[task], volumes[task]
        cents, basis = place.known.cents_per_run, _basis(place, price)
        variable = runs * (told.per_run + (cents or 0.0) / 100)
        if by_executions and everything:
            variable += charged * expected[task] / everything
        found[task] = Month(
            platform=place.platform,
            basis=basis,
            runs=runs,
            executions=expected[task] if by_executions else None,
            variable=None if basis is Basis.NONE else variable,
            fixed=told.monthly * (runs / all_runs if all_runs else 1 / len(tasks)),
        )
    return found


def executions(place: Place) -> tuple[float, Basis]:
    """How many executions a run is, and who says so."""
    if (told := place.known.executions_per_run) is not None:
        return told, Basis.TOLD
    if place.declared is not None:
        return place.declared, Basis.DECLARED
    return 1.0, Basis.ASSUMED


def _basis(place: Place, price: PlatformPrice | None) -> Basis:
    if place.bills_runs:
        return Basis.PLATFORM if place.known.priced else Basis.NONE
    if price is None:
        return Basis.PLATFORM if place.known.priced else Basis.NONE
    return executions(place)[1] if price.per_execution else Basis.PRICE_BOOK

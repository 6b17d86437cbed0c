"""What costs look like, for the API, the pages and the command alike. Money is in the currency's unit."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from shadow.catalogue.model import Side
from shadow.reports.shapes import Shape

BasisName = Literal["platform", "told", "declared", "assumed", "price_book", "none"]


class SideCost(Shape):
    """What a month of a task costs on one side, at today's volume."""

    platform: str
    basis: BasisName = Field(
        description="Where that comes from: `platform`: it says what its runs cost; of executions, that they were"
        " `told` (by traces or reports), are `declared` in the price book, or `assumed` to be one a run; `price_book`:"
        " its prices alone; `none`: nothing says."
    )
    recent_runs: int = Field(description="Live runs that ended within `volume_days`.")
    per_run: float | None = Field(description="What grows with the volume, for one run.")
    executions: float | None = Field(description="Expected a month; null where executions are not paid for.")
    variable: float | None = Field(description="A month, what grows with the volume; null: nothing says.")
    fixed: float = Field(description="A month, its share of the platform's monthly price.")
    total: float | None = Field(description="A month: both.")


class TaskCosts(Shape):
    """What a month of a task costs on either side."""

    task: str
    category: str | None
    runs: float = Field(description="Expected a month: the larger of both sides' live runs of the last days.")
    legacy: SideCost
    candidate: SideCost
    saving: float | None = Field(description="A month: what legacy costs more; negative: what the candidate does.")


class CostTotal(Shape):
    """All tasks together. Tasks of which a side's cost is not known are in neither sum."""

    tasks: int
    unknown: int = Field(description="Tasks of which one side's cost is not known.")
    legacy: float
    candidate: float
    saving: float


class Apart(Shape):
    """Runs that are in no projection: of replays, canaries, and those that nothing of ours expected."""

    side: Side
    purpose: str
    runs: int
    reported: float = Field(description="What their platforms said that they cost.")


class Costs(Shape):
    """What a month costs, by task."""

    currency: str
    volume_days: int = Field(description="The whole UTC days up to yesterday whose volume is projected: 7, or fewer.")
    price_days: int = Field(description="The days whose runs say what a run costs.")
    total: CostTotal
    items: list[TaskCosts] = Field(description="In the catalogue's order.")
    apart: list[Apart] = Field(description="Within `price_days`.")


class CostDay(Shape):
    """What runs that ended on a UTC day used up."""

    day: date
    side: Side
    platform: str
    purpose: str
    runs: int
    priced: int = Field(description="Of them, those of which the platform said what they cost.")
    reported: float = Field(description="What it said.")
    told: int = Field(description="Of them, those of which somebody said how many executions they were.")
    executions: int = Field(description="What they said.")


class CostsOfTask(Shape):
    """What a month of a task costs, and the days behind it."""

    currency: str
    volume_days: int
    month: TaskCosts
    days: list[CostDay] = Field(description="Oldest first; of the last 90 days.")

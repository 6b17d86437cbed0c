"""What the migration board looks like, for the API, the pages and the command alike."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from shadow.cutover.decision import Phase
from shadow.reports.shapes import Shape

GateState = Literal["open", "closed", "unknown"]


class Blocker(Shape):
    """What keeps a task from its next phase."""

    name: str = Field(
        description="The gate's condition, or `containment`, `gate` (not evaluated yet), `draining` (legacy has runs to"
        " finish), `route` (another task of it may not move)."
    )
    says: str


class NextStep(Shape):
    """Where a task may go from where it stands."""

    phase: Phase | None = Field(description="Null: it has arrived.")
    ready: bool = Field(description="Whether its whole route may take the step now.")
    on: datetime | None = Field(
        description="When that is to be expected, at today's volume; null: now, never, or nobody knows."
    )
    says: str


class BoardTask(Shape):
    """One task on the board."""

    task: str
    category: str | None
    route: str = Field(description="Tasks of one route change phase together.")
    phase: Phase
    share: int | None = Field(description="Ramp: percent of keys that go to the candidate; null in other phases.")
    since: datetime | None = Field(description="When its route last changed phase or share; null: never.")
    gate: GateState
    pairs_needed: int | None = Field(description="How many more clean pairs its gate's statistic needs.")
    upper_bound: float | None = Field(description="The mismatch rate is below it; null while nothing is known.")
    blockers: list[Blocker]
    next: NextStep


class BoardCategory(Shape):
    """The tasks of one category."""

    category: str | None = Field(description="Null: tasks without one.")
    tasks: int
    phases: dict[Phase, int] = Field(description="Tasks in each phase.")
    open: int = Field(description="Tasks whose gate is open.")
    ready: int = Field(description="Tasks whose route may take its next step now.")


class BurnUp(Shape):
    """Where the tasks stood at the end of a UTC day, or stand now."""

    day: date
    phases: dict[Phase, int]
    moved: int = Field(description="Tasks in live or retired.")


class Board(Shape):
    """How far the migration is."""

    total: BoardCategory = Field(description="All tasks; its category is null.")
    categories: list[BoardCategory]
    tasks: list[BoardTask] = Field(description="In the catalogue's order.")
    burn_up: list[BurnUp] = Field(
        description="A day each since the first move, oldest first; at most a year. Without any move: today alone."
    )

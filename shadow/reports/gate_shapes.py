"""What gates look like, for the API, the command, and whoever asks them before rolling out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from shadow.cutover.decision import Phase
from shadow.gate.report import ConditionName, State
from shadow.reports.shapes import Shape


class ConditionView(Shape):
    """One condition of a gate."""

    name: ConditionName
    state: State = Field(description="`informational` is shown only: it holds nothing shut.")
    figure: float | None = Field(description="In the unit that `says` names; null where there is none yet.")
    limit: float | None = Field(description="What the figure is held against.")
    says: str = Field(description="One sentence for people.")


class CountedView(Shape):
    """What was counted within the epoch, in pairs."""

    match: int
    allowed: int = Field(description="Their differences were allowed when their events were accepted.")
    mismatch: int
    missing: int = Field(description="Either side's run never came; mismatches to the statistic.")
    not_comparable: int


class SignOffView(Shape):
    """Somebody's word in the statistic's place, where a task has too few pairs for it."""

    id: UUID
    actor: str
    reason: str
    made_at: datetime


class GateView(Shape):
    """What a task's gate says."""

    task: str
    category: str | None
    route: str
    phase: Phase
    open: bool = Field(description="Whether the task may move on: none of its conditions is `unmet`.")
    outlook: str = Field(description="One sentence: when it opens, or why it never does as things stand.")
    opens_at: datetime | None = Field(description="At today's volume, if all pairs are clean; null: now, or never.")
    blockers: list[ConditionName] = Field(description="The conditions that hold it shut.")
    conditions: list[ConditionView] = Field(description="In lists those alone that hold it shut, unless all are asked.")
    epoch: UUID | None = Field(description="Null while nothing was counted yet.")
    epoch_number: int
    epoch_started_at: datetime | None
    candidate_version: str | None
    legacy_version: str | None
    live: CountedView
    replayed: CountedView = Field(description="Recorded events that were run again; they count as well.")
    pending: int = Field(description="Pairs with a verdict that wait for an older one, which has none.")
    budget: float = Field(description="The share of pairs that may differ.")
    alpha: float = Field(description="How likely it opens falsely at most, however often one looks.")
    e_value: float = Field(description="It opens when this reaches 1 / alpha.")
    upper_bound: float = Field(description="The mismatch rate is below it, with confidence 1 - alpha; 1: unknown.")
    pairs_needed: int | None = Field(description="How many more clean pairs the statistic needs; null: it regressed.")
    pairs_a_day: float = Field(description="Over the last seven days.")
    sign_offs: list[SignOffView] = Field(description="That stand, oldest first.")
    evaluated_at: datetime


class Gates(Shape):
    items: list[GateView]


class GateGroup(Shape):
    """The gates of several tasks, taken as one."""

    group: str = Field(description="The category's name, or `migration`.")
    open: bool = Field(description="Whether all its gates are open; tasks in `retired` have passed theirs.")
    tasks: int
    open_tasks: int = Field(description="Tasks whose gates are open, those in `retired` included.")
    retired: int
    opens_at: datetime | None = Field(description="When its last gate opens by itself; null: now, or never.")
    outlook: str
    blockers: dict[ConditionName, int] = Field(description="Condition -> how many gates it holds shut.")
    items: list[GateView] = Field(description="Its gates in the catalogue's order, without those of retired tasks.")

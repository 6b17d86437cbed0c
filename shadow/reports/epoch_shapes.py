"""What the API says of epochs and deployments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from shadow.catalogue.model import Side
from shadow.reports.shapes import Shape


class CountedView(Shape):
    """What was counted."""

    match: int
    allowed: int = Field(description="They differ, and that was allowed when their event was accepted.")
    mismatch: int
    missing: int = Field(description="Of either side: mismatches, too.")
    not_comparable: int = Field(description="In none of the figures of the statistic.")


class EpochView(Shape):
    """The evidence that counts together."""

    id: UUID
    task: str
    number: int = Field(description="1, 2, ... of the task.")
    legacy_version: str | None = Field(description="null while nobody told one.")
    candidate_version: str | None = Field(description="null while nobody told one.")
    rules: str = Field(description="Fingerprint of the task's rules.")
    because: str = Field(description="What began it, in words.")
    started_at: datetime = Field(description="Pairs of events accepted from then on count.")
    ended_at: datetime | None = Field(description="null while it lasts.")
    live: CountedView
    replayed: CountedView = Field(description="Recorded events that were run again; they count too.")
    left_out: dict[str, int] = Field(description="Why pairs were not counted, and how many those are.")
    pairs: int = Field(description="Compared, live and replayed.")
    mismatches: int = Field(description="Of them.")
    budget: float | None = Field(
        description="The rate is to be shown to be below it; null before anything was counted."
    )
    alpha: float | None = Field(description="With which the gate may open falsely in this epoch.")
    e_value: float | None = Field(description="It opens at 1 / alpha. At most 1e300.")
    upper_bound: float | None = Field(description="The mismatch rate is below it with confidence 1 - alpha.")
    opened_at: datetime | None = Field(description="When the statistic reached its threshold.")
    opened_after: int | None = Field(description="How many pairs had been compared then.")
    regressed_at: datetime | None = Field(description="When pairs after that showed the rate to be above the budget.")
    counted_until: datetime | None = Field(description="Pairs that started before are counted.")


class Epochs(Shape):
    items: list[EpochView]


class DeploymentView(Shape):
    """A version of one side's workers, as somebody told."""

    id: UUID
    side: Side
    app: str | None = Field(description="null: all apps of that side.")
    version: str
    tasks: list[str] = Field(description="That run in it.")
    actor: str
    note: str | None
    made_at: datetime


class DeploymentTold(DeploymentView):
    begun: list[str] = Field(description="Tasks of which an epoch began: those that had one, of another version.")


class Deployments(Shape):
    items: list[DeploymentView]

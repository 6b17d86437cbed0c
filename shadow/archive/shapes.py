"""What an evidence pack looks like."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from shadow.reports.epoch_shapes import DeploymentView, EpochView
from shadow.reports.shapes import (
    AllowanceView,
    ContainmentView,
    DifferenceView,
    IncidentView,
    MoveDetail,
    PairSummary,
    Parity,
    Shape,
    SignatureSummary,
    TaskRules,
    TaskSummary,
)

FORMAT = 1


class ExamplePair(Shape):
    """A pair that represents signatures, with what differs in it."""

    pair: PairSummary
    differences: list[DifferenceView] = Field(description="Of redacted evidence; at most 50.")


class SignOffView(Shape):
    """A person's word in the statistic's place."""

    epoch: UUID
    actor: str
    reason: str
    made_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None


class EvidencePack(Shape):
    """All that the migration of a task rests on. Nothing in it is an original or a secret: bodies are not part of it,
    and values of differences are redacted evidence."""

    format: int = Field(description=f"{FORMAT}; it grows when members change their meaning.")
    made_at: datetime
    made_for: UUID | None = Field(description="The move to `retired` that it was made for; null: on demand.")
    shadow_version: str
    task: TaskSummary
    parity: Parity = Field(description="Counts of all pairs, and by UTC day.")
    gate: dict[str, Any] | None = Field(
        description="What the gate said last: the bound, the statistic and each condition with its figure; null where"
        " it has said nothing."
    )
    epochs: list[EpochView]
    deployments: list[DeploymentView] = Field(description="That concern this task.")
    sign_offs: list[SignOffView]
    signatures: list[SignatureSummary] = Field(description="At most 200, those that most pairs show first.")
    allowances: list[AllowanceView] = Field(description="At most 500, newest first.")
    rules: TaskRules = Field(description="In force when it was made.")
    containment: list[ContainmentView] = Field(description="At most 50, newest first.")
    moves: list[MoveDetail] = Field(description="Of its route, newest first, with what the gates said and its hash.")
    incidents: list[IncidentView] = Field(description="At most 200, newest first.")
    examples: list[ExamplePair] = Field(description="Pairs that represent the signatures, at most 20.")

"""What proposals look like, for the API and the command alike."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, JsonValue

from shadow.learning.refusal import Refusal
from shadow.reports.shapes import Shape


class Share(Shape):
    """In how many of the pairs that were compared a place differs."""

    compared: int
    differed: int


class Sample(Shape):
    legacy: JsonValue
    candidate: JsonValue


class WouldHide(Shape):
    """What a proposed rule would have hidden in recorded live pairs."""

    tried_on: int = Field(description="Newest pairs that were judged with it, nothing being written.")
    pairs: int = Field(description="In which a difference would be gone.")
    to_match: int = Field(description="Mismatches that would be matches.")
    signatures: dict[str, int] = Field(description="In how many pairs each would be gone.")


class ProposalEvidence(Shape):
    live: Share
    legacy_twice: Share = Field(description="Of legacy's runs compared with themselves.")
    samples: list[Sample]
    hides: WouldHide | None = Field(None, description="Null where no rule could be tried out.")


class ProposalView(Shape):
    """A place at which values differ, and the rule that would explain it, or why there is none."""

    id: UUID
    task: str
    place: str
    state: Literal["open", "refused", "accepted", "expired", "rejected"]
    source: Literal["legacy_twice", "history"]
    settings: dict[str, JsonValue] | None = Field(description="The rule, as the catalogue would say it.")
    rule: str | None = Field(description="Its id; `GET /v1/tasks/{task}/rules` counts what it hides once accepted.")
    refusal: Refusal | None = Field(description="Why no rule is proposed.")
    because: str | None = Field(description="The same in words.")
    evidence: ProposalEvidence
    made_at: datetime
    seen_at: datetime = Field(description="When it was last looked at.")
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None = Field(description="Of the decision.")
    expires_at: datetime | None = Field(description="Until when the accepted rule is in force.")


class Proposals(Shape):
    items: list[ProposalView]

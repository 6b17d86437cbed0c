"""What people did that no table of its own tells of: secrets made and ended, dead letters sent again. Kept for ever.

A row is written in the transaction of what it tells, or before it where that is several. Never a secret: names and ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from shadow.model.ids import new_id
from shadow.store.database import Connection

NOBODY = "shadow"
"""Who acts where no person does: the demo makes keys of its own."""

_RECORD = b"""
INSERT INTO acts (id, at, actor, kind, tasks, says, reason, link)
VALUES (%(id)s, %(at)s, %(actor)s, %(kind)s, %(tasks)s, %(says)s, %(reason)s, %(link)s)
"""


class ActKind(StrEnum):
    """What an act is about."""

    TOKEN = "token"  # noqa: S105 - the word
    EGRESS_KEY = "egress_key"
    DEAD_LETTER = "dead_letter"
    SEALING = "sealing"
    """Keys of tenants and the master key."""
    JUDGEMENT = "judgement"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did."""

    actor: str
    kind: ActKind
    says: str
    """A predicate: "made a token ..."."""
    tasks: Sequence[str] = ()
    reason: str | None = None
    link: str | None = None
    """The id of what it was done to."""
    id: UUID = field(default_factory=new_id)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def row(self) -> dict[str, Any]:
        """As the table's columns."""
        return {
            "id": self.id,
            "at": self.at,
            "actor": self.actor,
            "kind": self.kind.value,
            "tasks": list(self.tasks),
            "says": self.says,
            "reason": self.reason,
            "link": self.link,
        }


async def record(connection: Connection, acts: Sequence[Act]) -> None:
    """Write them down, in the transaction that the connection is in, if any."""
    for act in acts:
        await connection.execute(_RECORD, act.row())


def until(expires_at: datetime | None) -> str:
    """How long a secret is valid, as the end of a sentence."""
    return "for ever" if expires_at is None else f"until {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

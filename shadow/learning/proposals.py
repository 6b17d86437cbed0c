"""Proposals as they are kept: found, accepted for a while, or rejected; who decided, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from shadow.learning.place import Place
from shadow.learning.proposing import Proposed
from shadow.learning.refusal import Refusal
from shadow.model.ids import new_id
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

LONGEST = timedelta(days=365)
"""How far ahead an accepted rule may expire. Noise changes: whoever still wants it then looks at it again."""
LONGEST_REASON = 2000

_UNDECIDED = "(known.state IN ('open', 'refused') OR (known.state = 'accepted' AND known.expires_at <= now()))"
_FOUND = ("state", "source", "settings", "rule", "refusal", "because")
_STORE = f"""
INSERT INTO proposals AS known (id, task, place, evidence, {", ".join(_FOUND)})
VALUES (%(id)s, %(task)s, %(place)s, %(evidence)s, {", ".join(f"%({name})s" for name in _FOUND)})
ON CONFLICT (task, place) DO UPDATE SET
    id = CASE WHEN {_UNDECIDED} AND known.rule IS DISTINCT FROM excluded.rule THEN excluded.id ELSE known.id END,
    seen_at = now(), evidence = excluded.evidence,
    {", ".join(f"{name} = CASE WHEN {_UNDECIDED} THEN excluded.{name} ELSE known.{name} END" for name in _FOUND)}
RETURNING id
"""  # noqa: S608  # of constants
"""Another rule is another proposal: whoever decides by id decides on the rule that he saw."""
_LOCK = b"SELECT task, place, state, expires_at <= now() FROM proposals WHERE id = %s FOR UPDATE"
_DECIDE = b"""
UPDATE proposals SET state = %s, decided_at = now(), decided_by = %s, reason = %s, expires_at = %s WHERE id = %s
"""


class Source(StrEnum):
    """Who bears witness."""

    LEGACY_TWICE = "legacy_twice"
    """Legacy's runs, compared with themselves."""
    HISTORY = "history"
    """Live pairs."""


class State(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    """To be decided."""
    REFUSED = "refused"
    """No rule is proposed, and it says why."""
    ACCEPTED = "accepted"
    """In force until it expires."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a place: a rule, or why there is none."""

    place: Place
    source: Source
    evidence: dict[str, Any]
    proposed: Proposed | None
    refusal: Refusal | None
    because: str | None


class DecisionRefused(ValueError):
    """It can't be decided like this: `field` of the request is wrong, and it says what is expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        super().__init__(f"{field}: found {found!s}, expected {expected}")
        self.field = field
        self.found = found
        self.expected = expected


class NothingToDecide(ValueError):
    """The proposal is in a state in which there is nothing to accept or reject."""


async def store(connection: Connection, task: str, findings: Sequence[Finding]) -> list[UUID]:
    """Keep what was found; what was decided about a place stands. The caller commits."""
    kept = []
    for found in findings:
        cursor = await connection.execute(
            _STORE,
            {
                "id": new_id(),
                "task": task,
                "place": str(found.place),
                "state": State.REFUSED if found.proposed is None else State.OPEN,
                "source": found.source,
                "settings": None if found.proposed is None else Jsonb(found.proposed.settings),
                "rule": None if found.proposed is None else found.proposed.rule.id,
                "refusal": found.refusal,
                "because": found.because,
                "evidence": Jsonb(found.evidence),
            },
        )
        row = await cursor.fetchone()
        assert row is not None
        kept.append(row[0])
    return kept


async def accept(
    database: Database, proposal: UUID, *, actor: str, reason: str, until: datetime, now: datetime
) -> None:
    """Put a proposed rule in force until then; judges have it within half a minute.

    Raises:
        LookupError: there is no such proposal.
        NothingToDecide: no rule is proposed, or it is in force already.
        DecisionRefused: the reason or the end.
    """
    _check_reason(reason)
    if not now < until <= now + LONGEST:
        raise DecisionRefused("until", until.isoformat(), f"a moment within the next {LONGEST.days} days")
    await _decide(database, proposal, State.ACCEPTED, actor, reason, until)


async def reject(database: Database, proposal: UUID, *, actor: str, reason: str) -> None:
    """Decide against a proposal, or take an accepted rule back; looking again does not bring it up any more.

    Raises:
        LookupError: there is no such proposal.
        NothingToDecide: it was rejected, or refused, before.
        DecisionRefused: the reason.
    """
    _check_reason(reason)
    await _decide(database, proposal, State.REJECTED, actor, reason, None)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise DecisionRefused("reason", "none", "why, for whoever reads it later")
    if len(reason) > LONGEST_REASON:
        raise DecisionRefused("reason", f"{len(reason)} characters", f"at most {LONGEST_REASON}")


async def _decide(
    database: Database, proposal: UUID, state: State, actor: str, reason: str, until: datetime | None
) -> None:
    async with database.connection(Work.CONTROL) as connection:
        row = await (await connection.execute(_LOCK, (proposal,))).fetchone()
        if row is None:
            raise LookupError(str(proposal))
        task, place, known, expired = row
        if known == State.REFUSED:
            raise NothingToDecide("no rule is proposed for this place; its refusal says why")
        if known == state and not (state is State.ACCEPTED and expired):
            raise NothingToDecide(f"this proposal is {state} already")
        await connection.execute(_DECIDE, (state, actor, reason.strip(), until, proposal))
    log.info("noise.decided", task=task, place=place, state=state.value, actor=actor)

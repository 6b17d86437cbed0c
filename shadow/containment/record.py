"""Containments on record: proofs and declarations, which of them hold, and how they end.

A proof holds for the version of the candidate that it was made with, and until a later one fails. A declaration holds
until somebody withdraws it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import orjson
import structlog

from shadow.containment.version import outdated
from shadow.model.ids import new_id
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

Leaks = Literal["none", "found", "unknown"]


class Kind(StrEnum):
    PROOF = "proof"
    DECLARATION = "declaration"


class State(StrEnum):
    PROVEN = "proven"
    RUNNING = "running"
    """A proof that is being tried."""
    FAILED = "failed"
    """A proof that was tried. It never held."""
    DECLARED = "declared"
    ENDED = "ended"


LONGEST = timedelta(hours=2)
"""How long a proof may be tried."""

HOLDS = frozenset({State.PROVEN, State.DECLARED})

_COLUMNS = "id, task, kind, version, state, parts, leaks, actor, reason, made_at, ended_at, ended_because"
_STORE = """
INSERT INTO containments (id, task, kind, version, state, parts, leaks, actor, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING made_at
"""
_FINISH = """
UPDATE containments SET state = %s, version = %s, parts = %s, leaks = %s WHERE id = %s AND state = 'running'
RETURNING made_at
"""
_PROGRESS = "UPDATE containments SET parts = %s WHERE id = %s AND state = 'running'"
# Who was wrong about harmlessness is not believed any longer.
_END_DECLARATIONS = """
UPDATE containments SET state = 'ended', ended_at = now(), ended_because = %s WHERE task = %s AND state = 'declared'
"""
_ABANDONED = """
UPDATE containments SET state = 'failed', ended_at = now(), ended_because = 'the process that tried it ended'
WHERE state = 'running' AND made_at < now() - %s
"""
_END_PROOFS = """
UPDATE containments SET state = 'ended', ended_at = now(), ended_because = %s
WHERE task = %s AND state = 'proven' AND id <> %s RETURNING id
"""
_WITHDRAW = """
UPDATE containments SET state = 'ended', ended_at = now(), ended_because = %s
WHERE task = %s AND state = 'declared' RETURNING id
"""
_END = (
    "UPDATE containments SET state = 'ended', ended_at = now(), ended_because = %s WHERE id = %s AND state = 'proven'"
)
# What holds comes before what was tried later, and a proof before a declaration.
_PRESENT = f"""
SELECT DISTINCT ON (task) {_COLUMNS} FROM containments WHERE task = ANY(%s)
ORDER BY task, CASE state WHEN 'proven' THEN 0 WHEN 'declared' THEN 1 ELSE 2 END, id DESC
"""  # noqa: S608  # of constants
_HISTORY = f"SELECT {_COLUMNS} FROM containments WHERE task = %s ORDER BY id DESC LIMIT %s"  # noqa: S608  # of constants


class DeclarationRefused(ValueError):
    """A declaration that may not be made or withdrawn; the message says why."""


@dataclass(frozen=True, slots=True)
class Containment:
    """One proof or declaration."""

    id: UUID
    task: str
    kind: Kind
    version: str | None
    """Of the candidate; a declaration has none."""
    state: State
    parts: Mapping[str, Any]
    """Of a proof: what each part showed (part.py), by its name."""
    leaks: Leaks
    actor: str
    reason: str | None
    made_at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None

    @property
    def holds(self) -> bool:
        return self.state in HOLDS


async def begin_proof(connection: Connection, task: str, *, actor: str) -> Containment:
    """Put on record that a proof is being tried."""
    return await _store(
        connection,
        task,
        Kind.PROOF,
        State.RUNNING,
        version=None,
        parts={},
        leaks="unknown",
        actor=actor,
        reason=None,
    )


async def note_progress(connection: Connection, proof: UUID, parts: Mapping[str, Any]) -> None:
    """What the parts showed so far of a proof that is being tried."""
    await connection.execute(_PROGRESS, (_text(parts), proof))


async def finish_proof(
    connection: Connection,
    proof: Containment,
    *,
    version: str | None,
    proven: bool,
    parts: Mapping[str, Any],
    leaks: Leaks,
) -> Containment:
    """Keep what a proof came to. It ends those before it, whether it succeeded or not; one that found a leak ends
    declarations as well.
    """
    state = State.PROVEN if proven else State.FAILED
    cursor = await connection.execute(_FINISH, (state.value, version, _text(parts), leaks, proof.id))
    if await cursor.fetchone() is None:
        raise LookupError(f"the proof {proof.id} is no longer being tried")
    because = "proven anew" if proven else f"the proof of {proof.made_at:%Y-%m-%d %H:%M} failed"
    cursor = await connection.execute(_END_PROOFS, (because, proof.task, proof.id))
    ended = cursor.rowcount
    if leaks == "found":
        because = f"the proof of {proof.made_at:%Y-%m-%d %H:%M} found a leak"
        ended += (await connection.execute(_END_DECLARATIONS, (because, proof.task))).rowcount
    if not proven and ended:
        log.warning("containment.ended", task=proof.task, because=because)
    log.info("containment.proof", task=proof.task, state=state.value, version=version, leaks=leaks, actor=proof.actor)
    return replace(proof, state=state, version=version, parts=orjson.loads(_text(parts)), leaks=leaks)


async def declare(database: Database, task: str, *, actor: str, reason: str) -> Containment:
    """Put on record that a person holds the task's candidate for harmless.

    Raises:
        DeclarationRefused: no reason was given.
    """
    if not reason.strip():
        raise DeclarationRefused("a declaration needs a reason, in words that a later reader understands")
    async with database.connection(Work.CONTROL) as connection:
        made = await _store(
            connection,
            task,
            Kind.DECLARATION,
            State.DECLARED,
            version=None,
            parts={},
            leaks="unknown",
            actor=actor,
            reason=reason.strip(),
        )
    log.info("containment.declared", task=task, actor=actor)
    return made


async def withdraw(database: Database, task: str, *, actor: str, reason: str) -> int:
    """End the task's declarations; how many there were. A task in shadow stays there, and is shown uncontained.

    Raises:
        DeclarationRefused: no reason was given.
    """
    if not reason.strip():
        raise DeclarationRefused("withdrawing needs a reason, in words that a later reader understands")
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_WITHDRAW, (f"withdrawn by {actor}: {reason.strip()}", task))
        ended = cursor.rowcount
    if ended:
        log.warning("containment.ended", task=task, because="withdrawn", actor=actor)
    return ended


async def end_outdated(connection: Connection) -> list[str]:
    """End the proofs of which another version of the candidate was seen since; the tasks that they were of.

    A proof that nobody can be trying any more has failed.
    """
    await connection.execute(_ABANDONED, (LONGEST,))
    ended = []
    for one in await outdated(connection):
        because = f"the candidate's version changed from {one.proven or 'none'} to {one.seen}"
        if (await connection.execute(_END, (because, one.proof))).rowcount:
            log.warning("containment.ended", task=one.task, because=because)
            ended.append(one.task)
    return ended


async def present(connection: Connection, tasks: Collection[str]) -> dict[str, Containment]:
    """Task -> what holds for it, or else what was tried or ended last; tasks without any are left out.

    Whether a proof is of the candidate's present version is not looked at: `end_outdated` ends those that are not.
    """
    cursor = await connection.execute(_PRESENT, (sorted(tasks),))
    return {row[1]: _containment(row) for row in await cursor.fetchall()}


async def history(connection: Connection, task: str, limit: int = 50) -> list[Containment]:
    """All that is on record of a task, newest first."""
    cursor = await connection.execute(_HISTORY, (task, limit))
    return [_containment(row) for row in await cursor.fetchall()]


async def uncontained(connection: Connection, tasks: Collection[str]) -> dict[str, str]:
    """The tasks for which neither a proof nor a declaration holds now, each with the reason."""
    known = await present(connection, tasks)
    past = {one.proof: one for one in await outdated(connection)}
    reasons = {}
    for task in sorted(tasks):
        found = known.get(task)
        if found is None:
            reasons[task] = "nothing is on record"
        elif found.id in past:
            reasons[task] = f"its proof is of version {found.version}, and the candidate runs {past[found.id].seen} now"
        elif found.state is State.RUNNING:
            reasons[task] = "its proof is still being tried"
        elif found.state is State.FAILED:
            wrong = [name for name, part in found.parts.items() if part.get("state") != "passed"]
            reasons[task] = f"its last proof failed ({', '.join(wrong) or found.ended_because})"
        elif found.state is State.ENDED:
            reasons[task] = f"its {found.kind} ended: {found.ended_because}"
    return reasons


def refusal(reasons: Mapping[str, str]) -> str:
    """What to tell who wants tasks in shadow that are not contained: why not, and both ways to it."""
    each = "; ".join(f"{task!r}: {reason}" for task, reason in reasons.items())
    first = next(iter(reasons))
    return (
        f"not contained, so the candidate could reach the world: {each}. Prove it with `shadow contain {first}`, or put"
        f' on record that it is harmless with `shadow contain {first} --declare-harmless --reason "..."`.'
        " Moving to legacy is always allowed"
    )


async def _store(
    connection: Connection,
    task: str,
    kind: Kind,
    state: State,
    *,
    version: str | None,
    parts: Mapping[str, Any],
    leaks: Leaks,
    actor: str,
    reason: str | None,
) -> Containment:
    identifier = new_id()
    cursor = await connection.execute(
        _STORE, (identifier, task, kind.value, version, state.value, _text(parts), leaks, actor, reason)
    )
    row = await cursor.fetchone()
    assert row is not None  # INSERT without ON CONFLICT: it returns, or raises
    return Containment(identifier, task, kind, version, state, dict(parts), leaks, actor, reason, row[0])


def _text(parts: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(parts), default=str).decode()


def _containment(row: tuple[Any, ...]) -> Containment:
    identifier, task, kind, version, state, parts, leaks, actor, reason, made_at, ended_at, because = row
    return Containment(
        identifier,
        task,
        Kind(kind),
        version,
        State(state),
        parts,
        leaks,
        actor,
        reason,
        made_at,
        ended_at,
        because,
    )

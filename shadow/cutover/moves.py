"""Writing a move down: all tasks of a route together, audited, and with a start time a little ahead.

Whether a move may be made is asked elsewhere (`steering/moving.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import orjson
import structlog

from shadow.catalogue import Route
from shadow.cutover.decision import WHOLE, Phase, Ramp
from shadow.cutover.routing import read_standings
from shadow.cutover.standing import NO_RAMP, Standing
from shadow.model.ids import new_id
from shadow.notices.record import Notice, note
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

LEAD = timedelta(seconds=2)
"""How far ahead a move takes effect: longer than any process needs to hear of it."""

Cause = Literal["person", "automatic"]

_LOCK = b"SELECT pg_advisory_xact_lock(hashtext('shadow_moves'))"
_SET = b"""
INSERT INTO phases AS known (task, phase, previous, effective_at, version, share, allow, deny, previous_share,
                             previous_allow, previous_deny, reverse)
SELECT task, %(phase)s, %(previous)s, %(effective_at)s, 1, %(share)s, %(allow)s, %(deny)s, %(previous_share)s,
       %(previous_allow)s, %(previous_deny)s, %(reverse)s
FROM unnest(%(tasks)s::text[]) AS task
ON CONFLICT (task) DO UPDATE SET phase = excluded.phase, previous = excluded.previous,
    effective_at = excluded.effective_at, version = known.version + 1, share = excluded.share, allow = excluded.allow,
    deny = excluded.deny, previous_share = excluded.previous_share, previous_allow = excluded.previous_allow,
    previous_deny = excluded.previous_deny, reverse = excluded.reverse
"""
# The hash is of the evidence as PostgreSQL writes it, so that anybody can check it there.
_AUDIT = b"""
INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, decided_at, effective_at, from_share,
                   to_share, allow, deny, cause, evidence, evidence_hash)
SELECT %(id)s, %(route)s, %(tasks)s, %(from_phase)s, %(to_phase)s, %(actor)s, %(reason)s, %(forced)s, %(decided_at)s,
       %(effective_at)s, %(from_share)s, %(to_share)s, %(allow)s, %(deny)s, %(cause)s, evidence,
       encode(sha256(convert_to(evidence::text, 'UTF8')), 'hex')
FROM (SELECT %(evidence)s::jsonb AS evidence) AS given
RETURNING evidence_hash
"""


class MoveRefused(ValueError):
    """A move that may not be made; the message says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a route stands: a phase, and what its ramp takes where that is `ramp`."""

    phase: Phase
    ramp: Ramp = NO_RAMP
    reverse: bool = False
    """Whether legacy runs without authority where the candidate has it."""

    @property
    def share(self) -> int:
        """Percent of keys for which the candidate has authority."""
        if self.phase is Phase.RAMP:
            return self.ramp.share
        return WHOLE if self.is_handed_over else 0

    @property
    def is_handed_over(self) -> bool:
        """Whether the candidate may have authority, if only over some keys."""
        return self.phase in (Phase.RAMP, Phase.LIVE, Phase.RETIRED)

    def __str__(self) -> str:
        if self.phase is not Phase.RAMP:
            return f"{self.phase} with a reverse shadow" if self.reverse else self.phase.value
        lists = [("allowed", self.ramp.allow), ("denied", self.ramp.deny)]
        said = [f"{len(keys)} {word}" for word, keys in lists if keys]
        return ", ".join([f"ramp {self.ramp.share} %", *said, *(["with a reverse shadow"] if self.reverse else [])])

    @classmethod
    def of(cls, standing: Standing, phase: Phase, ramp: Ramp) -> Stand:
        """The standing of a task in that phase."""
        reverse = standing.reverse and phase in (Phase.RAMP, Phase.LIVE)
        return cls(phase, ramp if phase is Phase.RAMP else NO_RAMP, reverse)


@dataclass(frozen=True, slots=True)
class Move:
    """One audited change of phase, or of what a ramp takes."""

    id: UUID
    route: str
    tasks: tuple[str, ...]
    from_phase: Phase
    to_phase: Phase
    actor: str
    reason: str
    decided_at: datetime
    effective_at: datetime
    from_share: int = 0
    to_share: int = 0
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    forced: bool = False
    """Past what would have refused it."""
    cause: Cause = "person"
    evidence_hash: str | None = None
    """SHA-256 of what the gates said, in hexadecimal."""
    together: tuple[str, ...] = ()
    """Other routes that moved with it; each has a row of its own."""


async def hold(connection: Connection) -> None:
    """Keep everybody else from moving anything until the transaction ends."""
    await connection.execute(_LOCK)


async def stand_of(connection: Connection, route: Route, now: datetime) -> tuple[Stand, Stand | None, datetime | None]:
    """Where the route stands now, and where it is about to, from when on; None where no move is under way."""
    standings = await read_standings(connection)
    known = [standings[task] for task in route.tasks if task in standings]
    if len(known) < len(route.tasks):
        return Stand(Phase.LEGACY), None, None
    # Tasks that a changed catalogue has joined may stand differently: the one nearest to legacy counts.
    order = list(Phase)
    nearest = min(known, key=lambda standing: order.index(standing.at(now)))
    current = Stand.of(nearest, nearest.at(now), nearest.ramp_at(now))
    if nearest.effective_at <= now:
        return current, None, None
    return current, Stand.of(nearest, nearest.phase, nearest.ramp), nearest.effective_at


async def write_move(
    connection: Connection,
    route: Route,
    phase: Phase,
    *,
    actor: str,
    reason: str,
    ramp: Ramp = NO_RAMP,
    reverse: bool = False,
    forced: bool = False,
    cause: Cause = "person",
    evidence: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Move:
    """Write it down, in the caller's transaction. It takes effect `LEAD` from now.

    Args:
        ramp: of the phase `ramp`.
        reverse: in `ramp` or `live`: legacy runs without authority where the candidate has it.
        now: the same for routes that move together.
        evidence: what the gates of the route's tasks said, by task; it goes into the audit with its hash.

    Raises:
        MoveRefused: the route stands there already, or is about to.
    """
    await hold(connection)
    now = now or datetime.now(UTC)
    current, coming, _at = await stand_of(connection, route, now)
    wanted = Stand(phase, ramp if phase is Phase.RAMP else NO_RAMP, reverse)
    if wanted == (coming or current):
        raise MoveRefused(f"route {route.name!r} is in phase {wanted} already")
    effective_at = now + LEAD
    await connection.execute(
        _SET,
        {
            "tasks": list(route.tasks),
            "phase": phase.value,
            "previous": current.phase.value,
            "effective_at": effective_at,
            "reverse": reverse,
            **_columns(wanted.ramp),
            **{f"previous_{name}": value for name, value in _columns(current.ramp).items()},
        },
    )
    move = Move(
        id=new_id(),
        route=route.name,
        tasks=route.tasks,
        from_phase=current.phase,
        to_phase=phase,
        actor=actor,
        reason=reason,
        decided_at=now,
        effective_at=effective_at,
        from_share=current.share,
        to_share=wanted.share,
        allow=_listed(wanted.ramp.allow),
        deny=_listed(wanted.ramp.deny),
        forced=forced,
        cause=cause,
    )
    kept = await _audited(connection, move, evidence)
    await note(connection, told(kept))
    await connection.execute(b"NOTIFY shadow_routing")
    log.info("route.moved", route=route.name, source=str(current), to=str(wanted), actor=actor, cause=cause)
    return kept


def told(move: Move) -> Notice:
    """A move as people are told of it."""
    source = str(Stand(move.from_phase)) if move.from_phase is not Phase.RAMP else f"ramp {move.from_share} %"
    wanted = str(Stand(move.to_phase)) if move.to_phase is not Phase.RAMP else f"ramp {move.to_share} %"
    by_itself = move.cause == "automatic"
    return Notice(
        "moved_back" if by_itself else "moved",
        f"Route {move.route} {'went back' if by_itself else 'was moved'} from {source} to {wanted}"
        f"{' by itself' if by_itself else f' by {move.actor}'}",
        route=move.route,
        facts={
            "from": source,
            "to": wanted,
            "reason": move.reason,
            "actor": move.actor,
            "forced": move.forced,
            "effective_at": move.effective_at.isoformat(),
            "move": str(move.id),
        },
        once=f"move:{move.id}",
    )


async def _audited(connection: Connection, move: Move, evidence: Mapping[str, Any] | None) -> Move:
    row = {name: getattr(move, name) for name in Move.__slots__}
    row |= {name: list(row[name]) for name in ("tasks", "allow", "deny")}
    row |= {"from_phase": move.from_phase.value, "to_phase": move.to_phase.value}
    row["evidence"] = None if evidence is None else orjson.dumps(evidence).decode()
    cursor = await connection.execute(_AUDIT, row)
    found = await cursor.fetchone()
    assert found is not None  # INSERT without ON CONFLICT: it returns, or raises
    return replace(move, evidence_hash=found[0])


def _columns(ramp: Ramp) -> dict[str, Any]:
    return {"share": ramp.share, "allow": list(_listed(ramp.allow)), "deny": list(_listed(ramp.deny))}


def _listed(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(keys))

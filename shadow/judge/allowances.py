"""Allowances: reviewed decisions that a signature is acceptable. Granted, revoked and expired here; never deleted.

Whoever writes verdicts reads which allowances stand under a shared lock, and whoever changes that holds it alone. So
the sweep that follows a change finds every verdict that was written without it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from comparators import Severity
from shadow.judge.deciding import Cover, Standing
from shadow.model.ids import new_id
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

LONGEST = timedelta(days=180)
"""How far ahead an allowance may expire. Whoever still wants it then looks at it again."""
LONGEST_REASON = 2000

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('shadow_allowances'))"
_LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtext('shadow_allowances'))"
_STANDING = """
SELECT id, signature, tenant, max_severity, expires_at FROM allowances
WHERE signature = ANY(%s) AND ended_at IS NULL AND expires_at > now()
"""
_SIGNATURE = "SELECT task, severity FROM signatures WHERE id = %s"
_GRANT = """
INSERT INTO allowances (id, signature, task, tenant, max_severity, acknowledged_critical, reason, actor, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_REVOKE = """
UPDATE allowances SET ended_at = now(), ended_by = %s WHERE id = %s AND ended_at IS NULL
RETURNING signature, task, tenant
"""
_EXPIRE = """
UPDATE allowances SET ended_at = expires_at
WHERE ended_at IS NULL AND expires_at <= coalesce(%s::timestamptz, now()) RETURNING id, signature, task
"""
_EXPIRED = """
SELECT EXISTS (SELECT FROM allowances
               WHERE ended_at IS NULL AND expires_at <= coalesce(%s::timestamptz, now()))
"""
_SWEEP = """
INSERT INTO allowance_sweeps (allowance, position)
SELECT unnest(%s::uuid[]), '00000000-0000-0000-0000-000000000000'
ON CONFLICT (allowance) DO UPDATE SET position = excluded.position
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody wants to be allowed."""

    signature: str
    reason: str
    until: datetime
    tenant: str | None = None
    """Only in pairs of this tenant; empty: of events without one."""
    acknowledge_critical: bool = False
    """Whether it is known that money, recipients or effects themselves are what differs."""


class AllowanceRefused(ValueError):
    """It can't be allowed like this: `field` of the request is wrong, and it says what is expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        super().__init__(f"{field.replace('_', ' ')}: found {found!s}, expected {expected}")
        self.field = field
        self.found = found
        self.expected = expected


class UnknownSignature(LookupError):
    """No pair ever showed it."""


async def grant(database: Database, wanted: Grant, *, actor: str, now: datetime) -> UUID:
    """Allow a signature; the pairs that show it get their verdict anew in a moment, by the loops.

    It covers differences up to the severity that the signature has now: worse ones are not what was reviewed.

    Raises:
        UnknownSignature: nobody ever saw it.
        AllowanceRefused: its reason, its end or the missing acknowledgement.
    """
    _check(wanted, now)
    identifier = new_id()
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(_LOCK)
        found = await (await connection.execute(_SIGNATURE, (wanted.signature,))).fetchone()
        if found is None:
            raise UnknownSignature(wanted.signature)
        task, severity = found
        if Severity[severity] is Severity.critical and not wanted.acknowledge_critical:
            raise AllowanceRefused(
                "acknowledge_critical",
                "false",
                "true: this signature is critical, so money, recipients or effects themselves are what differs",
            )
        await connection.execute(
            _GRANT,
            (
                identifier,
                wanted.signature,
                task,
                wanted.tenant,
                severity,
                wanted.acknowledge_critical,
                wanted.reason.strip(),
                actor,
                wanted.until,
            ),
        )
        await connection.execute(_SWEEP, ([identifier],))
    log.info(
        "allowance.granted",
        allowance=str(identifier),
        signature=wanted.signature,
        task=task,
        tenant=wanted.tenant,
        severity=severity,
        until=wanted.until.isoformat(),
        actor=actor,
    )
    return identifier


def _check(wanted: Grant, now: datetime) -> None:
    if not wanted.reason.strip():
        raise AllowanceRefused("reason", "none", "why this difference is acceptable, for whoever reads it later")
    if len(wanted.reason) > LONGEST_REASON:
        raise AllowanceRefused("reason", f"{len(wanted.reason)} characters", f"at most {LONGEST_REASON}")
    if not now < wanted.until <= now + LONGEST:
        expected = f"a moment within the next {LONGEST.days} days"
        raise AllowanceRefused("until", wanted.until.isoformat(timespec="seconds"), expected)


async def revoke(database: Database, allowance: UUID, *, actor: str) -> bool:
    """End an allowance before its time; it stays on record. False when none of that id stands."""
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(_LOCK)
        ended = await (await connection.execute(_REVOKE, (actor, allowance))).fetchone()
        if ended is None:
            return False
        await connection.execute(_SWEEP, ([allowance],))
    signature, task, tenant = ended
    log.info("allowance.revoked", allowance=str(allowance), signature=signature, task=task, tenant=tenant, actor=actor)
    return True


async def expire(connection: Connection, now: datetime | None) -> int:
    """End what has expired by `now` (the database's clock by default); returns how many that were."""
    # Asked without the lock first: it is seldom so, and nobody shall wait for the answer that it is not.
    row = await (await connection.execute(_EXPIRED, (now,))).fetchone()
    if row is None or not row[0]:
        return 0
    await connection.execute(_LOCK)
    ended = await (await connection.execute(_EXPIRE, (now,))).fetchall()
    if ended:
        await connection.execute(_SWEEP, ([allowance for allowance, _, _ in ended],))
    for allowance, signature, task in ended:
        log.info("allowance.expired", allowance=str(allowance), signature=signature, task=task)
    return len(ended)


async def hold(connection: Connection) -> None:
    """Until the end of this transaction nobody grants or ends an allowance. To be called before rows are locked."""
    await connection.execute(_LOCK_SHARED)


async def standing(connection: Connection, signatures: Collection[str]) -> Standing:
    """Which allowances of these signatures stand; the caller holds them."""
    cursor = await connection.execute(_STANDING, (list(signatures),))
    return Standing(
        Cover(allowance, signature, tenant, Severity[severity], expires_at)
        for allowance, signature, tenant, severity, expires_at in await cursor.fetchall()
    )

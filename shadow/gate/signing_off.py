"""Sign-offs: two people vouch for a task that has too few pairs for the statistic ever to say anything.

Each is on record with its author and reason, and ends with the epoch: who vouched for a version did not for the next.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from shadow.gate.report import SignOff, person_of
from shadow.model.ids import new_id
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

LONGEST_REASON = 2000

_EPOCH = "SELECT id FROM epochs WHERE task = %s AND ended_at IS NULL FOR SHARE"
_STAND = "SELECT actor FROM sign_offs WHERE epoch = %s AND revoked_at IS NULL"
_HOLD = "SELECT pg_advisory_xact_lock(hashtext('shadow_sign_offs'), hashtext(%s))"
_SIGN = "INSERT INTO sign_offs (id, task, epoch, actor, reason) VALUES (%s, %s, %s, %s, %s) RETURNING made_at"
_REVOKE = """
UPDATE sign_offs SET revoked_at = now(), revoked_by = %s WHERE id = %s AND task = %s AND revoked_at IS NULL
RETURNING actor
"""


class SignOffRefused(ValueError):
    """It can't be signed off like this; the message says why."""


async def sign_off(database: Database, task: str, *, actor: str, reason: str) -> SignOff:
    """Vouch for a task in its present epoch. It counts where the task has too few pairs, with somebody else's.

    Raises:
        SignOffRefused: no reason, nothing to sign off yet, or the same person again.
    """
    if not reason.strip():
        raise SignOffRefused("a sign-off needs a reason, in words that a later reader understands")
    if len(reason) > LONGEST_REASON:
        raise SignOffRefused(f"a reason has at most {LONGEST_REASON} characters; found {len(reason)}")
    identifier = new_id()
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(_HOLD, (task,))
        epoch = await (await connection.execute(_EPOCH, (task,))).fetchone()
        if epoch is None:
            raise SignOffRefused(f"task {task!r} has no epoch yet: it begins with its first pair in shadow")
        stand = await (await connection.execute(_STAND, (epoch[0],))).fetchall()
        if person_of(actor) in {person_of(other) for (other,) in stand}:
            raise SignOffRefused(f"{actor} signed off task {task!r} already: the other one must be somebody else")
        row = await (await connection.execute(_SIGN, (identifier, task, epoch[0], actor, reason.strip()))).fetchone()
        assert row is not None  # INSERT without ON CONFLICT: it returns, or raises
    log.info("gate.signed_off", task=task, actor=actor)
    return SignOff(identifier, actor, reason.strip(), row[0])


async def revoke(database: Database, task: str, sign_off: UUID, *, actor: str) -> bool:
    """Take a sign-off back, anybody's; it stays on record. False when none of that id stands for the task."""
    async with database.connection(Work.CONTROL) as connection:
        row = await (await connection.execute(_REVOKE, (actor, sign_off, task))).fetchone()
    if row is None:
        return False
    log.warning("gate.sign_off_revoked", task=task, of=row[0], actor=actor)
    return True

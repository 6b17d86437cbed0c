"""The data of a Trigger.dev call's event, written after it was stored: mapped anew, or its payload fetched by then.

Whoever works on it holds the candidate's dispatch (a lock, or its lease), so that there is one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.intake.arrival import State
from shadow.intake.plan import sequence_patience
from shadow.intake.storable import storable_or_none
from shadow.intake.trigger_arrival import Mapped
from shadow.intake.trigger_calls import CallRefused, TriggerCall, trigger_call
from shadow.model.ids import derived_id
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection

_EVENT = b"UPDATE events SET tenant = %s, mapping_error = NULL WHERE id = %s"
_ORIGINAL = b"UPDATE bodies SET content = %s WHERE id = %s AND part = %s"
_NO_EVIDENCE = b"DELETE FROM bodies WHERE id = %s AND part = 'evidence'"
_FAILED = b"UPDATE events SET mapping_error = %s WHERE id = %s"
# What legacy has not taken yet is not the candidate's: then it goes on being held. Sequenced, it is looked at now: its
# twin may have ended long ago, or there may be none to wait for. With authority it waits for nobody but its own time.
_GO = b"""
UPDATE dispatches AS dispatch
SET stage = %(stage)s, lease = NULL, attempts = 0, error = NULL, tenant = %(tenant)s,
    due_at = CASE event.authority WHEN 'candidate' THEN GREATEST(now(), event.scheduled_at) ELSE now() END,
    state = CASE WHEN event.authority = 'candidate' THEN 'due'
                 WHEN EXISTS (SELECT FROM dispatches AS other WHERE other.event_id = dispatch.event_id
                              AND other.side = 'legacy' AND other.stage = 'deliver') THEN 'held'
                 ELSE %(state)s END
FROM events AS event
WHERE dispatch.id = %(id)s AND event.id = dispatch.event_id
"""
_PAIR = b"""
UPDATE pairs SET tenant = %s WHERE id = %s AND tenant IS DISTINCT FROM %s AND verdict IS NULL RETURNING id
"""
_COUNTED = b"""
INSERT INTO tallies AS known (task, day, tenant, opened)
SELECT %s, %s, tenant, opened FROM unnest(%s::text[], %s::bigint[]) AS change (tenant, opened)
ORDER BY tenant
ON CONFLICT (task, day, tenant) DO UPDATE SET opened = known.opened + excluded.opened
"""


class NotMapped(Exception):
    """There is nothing by which the call could be mapped; `str()` says why."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call as its event keeps it."""

    event_id: UUID
    source: str
    name: str
    tenant: str | None
    accepted_at: datetime
    request: bytes | None

    @classmethod
    async def of(cls, conn: Connection, row: Sequence[Any]) -> StoredCall:
        """From a row with those columns in their order, the request as it is stored."""
        event_id, source, name, tenant, accepted_at, stored = row
        request = None
        if stored is not None:
            (opened,) = await conn.vault.open([(event_id, "request", stored)])
            request = None if isinstance(opened, Forgotten) else opened
        return cls(event_id, source, name, tenant, accepted_at, request)

    def understood(self, catalogue: ResolvedCatalogue) -> tuple[ResolvedTask, TriggerCall]:
        """The task it starts, and what it says.

        Raises:
            NotMapped: the catalogue has no such task any more, or the call is not there.
        """
        # A Trigger.dev call means one task only; the catalogue is refused where events are shared.
        task = next((task for task in catalogue.tasks_of_event(self.name) if self.source in task.sources), None)
        if task is None:
            raise NotMapped(f"the catalogue has no task that {self.source!r} feeds by {self.name!r} any more")
        if self.request is None:
            raise NotMapped("the call was not kept")
        try:
            return task, trigger_call(task.legacy.task, self.request, {})
        except CallRefused as error:
            raise NotMapped(str(error)) from error


async def write(
    conn: Connection,
    catalogue: ResolvedCatalogue,
    dispatch: UUID,
    call: StoredCall,
    task: ResolvedTask,
    mapped: Mapped,
) -> None:
    """Write what the call was mapped to, and let the candidate have it, once legacy has taken it.

    Args:
        task: that the call starts, as `StoredCall.understood` tells.
    """
    tenant = storable_or_none(catalogue.tenant_of(call.source, mapped.data))
    state = State.DUE if sequence_patience([task]) is None else State.SEQUENCED
    await conn.execute(_GO, {"stage": "deliver", "state": state.value, "tenant": tenant, "id": dispatch})
    await conn.execute(_EVENT, (tenant, call.event_id))
    await write_original(conn, call.event_id, tenant, "data", orjson.dumps(mapped.data))
    if tenant != call.tenant:
        await _move_pair(conn, call, task, tenant)
    await conn.execute(b"NOTIFY shadow_dispatches")


async def write_original(conn: Connection, event_id: UUID, tenant: str | None, part: str, content: bytes) -> None:
    """Replace an original of an event that is understood only now; evidence of what stood there before goes."""
    await conn.vault.ready([tenant])
    sealed = conn.vault.seal(tenant, event_id.bytes, part, content)
    await conn.execute(_ORIGINAL, (sealed, event_id, part))
    await conn.execute(_NO_EVIDENCE, (event_id,))


async def fetch_again(conn: Connection, dispatch: UUID, tenant: str | None) -> None:
    """Have an offloaded payload fetched and mapped anew."""
    await conn.execute(_GO, {"stage": "map", "state": State.DUE.value, "tenant": tenant, "id": dispatch})
    await conn.execute(b"NOTIFY shadow_dispatches")


async def still_wrong(conn: Connection, event_id: UUID, reason: str) -> None:
    """The event has no data, for that reason."""
    await conn.execute(_FAILED, (reason, event_id))


async def _move_pair(conn: Connection, call: StoredCall, task: ResolvedTask, tenant: str | None) -> None:
    """Count the pair for the tenant that is known now; one that was judged before stays where it was counted."""
    cursor = await conn.execute(_PAIR, (tenant, derived_id(call.event_id, task.id), tenant))
    if await cursor.fetchone() is not None:
        day = call.accepted_at.astimezone(UTC).date()
        await conn.execute(_COUNTED, (task.id, day, [call.tenant or "", tenant or ""], [-1, 1]))

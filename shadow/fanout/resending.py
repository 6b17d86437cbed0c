"""Sending dead letters again, of whatever kind."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.causes.authority import Purpose
from shadow.causes.repeats import repeat
from shadow.fanout.queue import resend
from shadow.intake.remap import remap
from shadow.store.acts import NOBODY, Act, ActKind, record
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_DELIVERED = b"""
SELECT dispatch.id, dispatch.event_id, dispatch.side, dispatch.task FROM dispatches AS dispatch
WHERE dispatch.id = ANY(%s::uuid[]) AND dispatch.state = 'dead' AND dispatch.stage = 'deliver'
  AND EXISTS (SELECT FROM runs WHERE runs.event_id = dispatch.event_id AND runs.side = dispatch.side
              AND (dispatch.task IS NULL OR runs.task = dispatch.task)
              AND (runs.state <> 'expected' OR EXISTS (SELECT FROM effects WHERE effects.run_id = runs.id)))
"""
_DEAD = b"""
SELECT dispatch.id, dispatch.event_id, dispatch.side, dispatch.task FROM dispatches AS dispatch
WHERE dispatch.id = ANY(%s::uuid[]) AND dispatch.state = 'dead' ORDER BY dispatch.id
"""
_DROP = b"DELETE FROM dispatches WHERE id = %s AND state = 'dead'"


async def send_again(
    database: Database, catalogue: ResolvedCatalogue, dispatches: Sequence[UUID], *, actor: str = NOBODY
) -> tuple[list[UUID], dict[UUID, str]]:
    """Make dead letters due again; those of a failed mapping are mapped with the catalogue of now.

    That somebody has them sent again is on record before any is: it takes several transactions.

    A person does this, who sends what never arrived: it keeps the authority with which it was accepted. What has
    arrived all the same, as its runs have shown since, is repeated without authority: they may have done their work.
    On legacy only the task whose dispatch it was is.
    What can't be repeated is not sent at all.

    Returns:
        Those on their way, and for each other one the reason why not.
    """
    await _record(database, actor, dispatches)
    remapped = await remap(database, catalogue, dispatches)
    repeated, unrepeated = await _repeat_delivered(database, catalogue, dispatches)
    failed = {**remapped.failed, **unrepeated}
    async with database.connection(Work.CONTROL) as connection:
        sent = await resend(
            connection, catalogue, [one for one in dispatches if one not in failed and one not in repeated]
        )
    done = [*remapped.mapped, *repeated, *sent]
    rest = [dispatch for dispatch in dispatches if dispatch not in done and dispatch not in failed]
    return done, {
        **failed,
        **dict.fromkeys(rest, "this dispatch is no dead letter: it is on its way, or done"),
    }


async def _record(database: Database, actor: str, dispatches: Sequence[UUID]) -> None:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_DEAD, (list(dispatches),))
        acts = [
            Act(
                actor,
                ActKind.DEAD_LETTER,
                f"had the dead letter {dispatch} of the event {event} sent to {side} again",
                tasks=[task] if task else [],
                link=str(event),
            )
            for dispatch, event, side, task in await cursor.fetchall()
        ]
        await record(connection, acts)


async def _repeat_delivered(
    database: Database, catalogue: ResolvedCatalogue, dispatches: Sequence[UUID]
) -> tuple[list[UUID], dict[UUID, str]]:
    """Repeat dead letters that had been delivered, for nobody's authority.

    Returns:
        Those that are gone by that, and why others that had been delivered can't be repeated.
    """
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_DELIVERED, (list(dispatches),))
        delivered = await cursor.fetchall()
    done: list[UUID] = []
    failed: dict[UUID, str] = {}
    for dispatch, event, side, task in delivered:
        try:
            await repeat(database, catalogue, event, Purpose.REPLAY, (Side(side),), task)
        except LookupError as error:
            log.info("fanout.not_repeated", dispatch=str(dispatch), reason=str(error))
            failed[dispatch] = f"it has arrived, and cannot be repeated: {error}"
            continue
        async with database.connection(Work.CONTROL) as connection:
            await connection.execute(_DROP, (dispatch,))
        done.append(dispatch)
    return done, failed

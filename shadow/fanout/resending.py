"""Sending dead letters again, of whatever kind."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.fanout.queue import resend
from shadow.intake.remap import remap
from shadow.store.database import Database, Work


async def send_again(
    database: Database, catalogue: ResolvedCatalogue, dispatches: Sequence[UUID]
) -> tuple[list[UUID], dict[UUID, str]]:
    """Make dead letters due again; those of a failed mapping are mapped with the catalogue of now.

    Returns:
        Those on their way, and for each other one the reason why not.
    """
    remapped = await remap(database, catalogue, dispatches)
    async with database.connection(Work.CONTROL) as connection:
        sent = await resend(
            connection, catalogue, [dispatch for dispatch in dispatches if dispatch not in remapped.failed]
        )
    done = [*remapped.mapped, *sent]
    rest = [dispatch for dispatch in dispatches if dispatch not in done and dispatch not in remapped.failed]
    return done, {
        **remapped.failed,
        **dict.fromkeys(rest, "this dispatch is no dead letter: it is on its way, or done"),
    }

"""`shadow originals`: what an event came with, unredacted; on record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from shadow.cli.options import DatabaseUrl, DataFolder, failed, opened, who
from shadow.observe import logs
from shadow.reports.original_shapes import Originals, originals_shape
from shadow.sealing.opening import UnknownEvent, open_originals


def originals(
    event: Annotated[UUID, typer.Argument(help="The event's id.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")],
    actor: Annotated[str | None, typer.Option(help="Who reads it; the system's user by default.")] = None,
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Read an event's originals as JSON: personal data as it came. The audit tells who did, when and why."""
    logs.configure(level="warning")  # stdout is the originals' alone

    async def run() -> Originals:
        async with opened(data, database_url) as database:
            return originals_shape(await open_originals(database, event, actor=who(actor), reason=reason))

    try:
        found = asyncio.run(run())
    except (UnknownEvent, ValueError) as error:
        raise failed(str(error)) from None
    typer.echo(found.model_dump_json(indent=2))

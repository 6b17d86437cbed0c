"""`shadow forget`: erasing a tenant, by destroying the key that its originals are sealed with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from shadow.cli.options import Actor, DatabaseUrl, DataFolder, opened, who
from shadow.observe import logs
from shadow.sealing.vault import LEAD

_DATA = Path(".shadow")


def forget(
    tenant: Annotated[str, typer.Option(help="Whose key to destroy; empty: that of what has no tenant.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Destroy a tenant's key, for good.

    What its events came with, and what was answered to its runs, can't be read any more: what is undelivered becomes
    dead letters, nothing can be replayed. The hashes in its evidence can't be traced back to anybody. What comes in
    afterwards gets a new key.
    """
    logs.configure(level="warning")
    whose = f"tenant {tenant!r}" if tenant else "everything without a tenant"
    if not yes:
        typer.confirm(f"Destroy the key of {whose}? What was sealed with it is lost for good", abort=True, err=True)

    async def run() -> bool:
        async with opened(data, database_url) as database:
            return await database.vault.forget(tenant, actor=who(actor))

    typer.echo(f"telling every process; the key is destroyed in {LEAD.total_seconds():.0f} seconds", err=True)
    if not asyncio.run(run()):
        typer.echo(f"there is no key of {whose}: nothing of it was ever sealed, or it is forgotten already", err=True)
        raise typer.Exit(1)
    typer.echo(f"forgotten: {whose}")

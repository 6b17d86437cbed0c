"""`shadow sealing-key`: the master key by which the keys of tenants are wrapped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from shadow.cli.options import Actor, DatabaseUrl, DataFolder, opened, who
from shadow.observe import logs
from shadow.sealing import master
from shadow.sealing.master import BadSealingKey

app = typer.Typer(help="The master key that seals what events came with.", no_args_is_help=True)

_DATA = Path(".shadow")
NEW_VARIABLE = "SHADOW_SEALING_KEY_NEW"


@app.callback()
def _quiet() -> None:
    """The master key that seals what events came with."""
    logs.configure(level="warning")  # stdout is the key's alone


@app.command()
def new() -> None:
    """Print a new master key, for SHADOW_SEALING_KEY of every process on one database. It is kept nowhere."""
    typer.echo(master.new_text())


@app.command()
def rotate(
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    new_key: Annotated[
        str, typer.Option(envvar=NEW_VARIABLE, help="The new master key; better in the variable than here.")
    ] = "",
    actor: Actor = None,
) -> None:
    """Wrap every tenant's key by a new master key. Stop all processes first, and start them with the new one."""

    async def run(fresh: master.MasterKey) -> int:
        async with opened(data, database_url) as database:
            return await database.vault.rewrap(fresh, actor=who(actor))

    try:
        if not new_key:
            raise BadSealingKey(f"found no new key, expected it in {NEW_VARIABLE} (`shadow sealing-key new` makes one)")
        fresh = master.parse(new_key)
    except BadSealingKey as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    wrapped = asyncio.run(run(fresh))
    file = data / master.FILE_NAME
    if database_url is None and master.VARIABLE not in os.environ and master.FILE_VARIABLE not in os.environ:
        master.replace(file, new_key)
        typer.echo(f"{wrapped} keys wrapped by the new master key, which is in {file} now")
    else:
        typer.echo(f"{wrapped} keys wrapped by the new master key: it is the one to start with from now on")

"""`shadow egress-key`: the keys that workers hold in place of their targets' credentials."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.catalogue.model import Side
from shadow.cli.lifetime import NewOnesLife, Overlap, duration, show_rotated, state
from shadow.cli.options import Actor, DatabaseUrl, DataFolder, opened, who
from shadow.egress import keys
from shadow.egress.keys import EgressKey
from shadow.observe import logs

app = typer.Typer(help="Keys with which workers reach targets through the gateway.", no_args_is_help=True)


@app.callback()
def _quiet() -> None:
    """Keys with which workers reach targets through the gateway."""
    logs.configure(level="warning")  # stdout is the key's alone


_DATA = Path(".shadow")


@app.command()
def create(
    side: Annotated[Side, typer.Argument(help="Whose workers hold it. A call's side comes from its key alone.")],
    name: Annotated[str, typer.Argument(help="Which workers hold it.")],
    expires: Annotated[str | None, typer.Option(help="How long it is valid, such as 90d; for ever by default.")] = None,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept. `rotate` makes the next one."""
    expires_at = None if expires is None else datetime.now(UTC) + duration(expires)

    async def run() -> str:
        async with opened(data, database_url) as database:
            secret, _key = await keys.issue(database, side, name, expires_at=expires_at, actor=who(actor))
            return secret

    try:
        typer.echo(asyncio.run(run()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command("list")
def list_keys(data: DataFolder = _DATA, database_url: DatabaseUrl = None) -> None:
    """List all keys ever made, newest first; never the keys themselves."""

    async def run() -> list[EgressKey]:
        async with opened(data, database_url) as database:
            return await keys.every(database)

    table = Table()
    for heading in ("id", "side", "name", "made", "state"):
        table.add_column(heading, no_wrap=heading == "id")
    for key in asyncio.run(run()):
        table.add_row(
            str(key.id),
            key.side.value,
            escape(key.name),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            state(key, datetime.now(UTC)),
        )
    Console().print(table)


@app.command()
def rotate(
    name: Annotated[str, typer.Argument(help="The name of the key, or its id.")],
    overlap: Overlap = "24h",
    expires: NewOnesLife = None,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Print a new key of that name and side; the old one ends when the overlap is over."""
    expires_at = None if expires is None else datetime.now(UTC) + duration(expires)
    both = duration(overlap)

    async def run() -> tuple[str, list[EgressKey]]:
        async with opened(data, database_url) as database:
            secret, _key, old = await keys.rotate(database, name, overlap=both, expires_at=expires_at, actor=who(actor))
            return secret, old

    show_rotated(run())


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name of the key, or its id.")],
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """End the keys of that name, or the one with that id, at once."""

    async def run() -> list[EgressKey]:
        async with opened(data, database_url) as database:
            return await keys.revoke(database, name, actor=who(actor))

    ended = asyncio.run(run())
    if not ended:
        typer.echo(f"there is no key {name!r} to revoke; `shadow egress-key list` shows them", err=True)
        raise typer.Exit(1)
    for key in ended:
        typer.echo(f"revoked {key.name} of {key.side.value} ({key.id})")

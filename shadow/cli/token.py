"""`shadow token`: who may use the control API."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.access import tokens
from shadow.access.tokens import Scope, Token
from shadow.cli.lifetime import NewOnesLife, Overlap, duration, show_rotated, state
from shadow.cli.options import Actor, DatabaseUrl, DataFolder, opened, who
from shadow.observe import logs

app = typer.Typer(help="Tokens of the control API.", no_args_is_help=True)


@app.callback()
def _quiet() -> None:
    """Tokens of the control API."""
    logs.configure(level="warning")  # stdout is the token's alone


_DATA = Path(".shadow")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who uses it; named in the audit of what it does.")],
    scope: Annotated[list[Scope], typer.Option("--scope", "-s", help="What it allows; give it for each.")],
    expires: Annotated[str | None, typer.Option(help="How long it is valid, such as 90d; for ever by default.")] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="Limit it to this tenant; give it for each. To none by default.")
    ] = None,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Make a token and print it. It is shown this once: only its hash is kept."""
    expires_at = None if expires is None else datetime.now(UTC) + duration(expires)

    async def run() -> str:
        async with opened(data, database_url) as database:
            secret, _token = await tokens.issue(
                database.engine, name, scope, expires_at=expires_at, tenants=tenant or None, actor=who(actor)
            )
            return secret

    try:
        typer.echo(asyncio.run(run()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command("list")
def list_tokens(data: DataFolder = _DATA, database_url: DatabaseUrl = None) -> None:
    """List all tokens ever made, newest first; never the tokens themselves."""

    async def run() -> list[Token]:
        async with opened(data, database_url) as database:
            return await tokens.every(database.engine)

    table = Table()
    for heading in ("id", "name", "scopes", "tenants", "made", "state"):
        table.add_column(heading, no_wrap=heading == "id")
    for token in asyncio.run(run()):
        table.add_row(
            str(token.id),
            escape(token.name),
            ", ".join(sorted(token.scopes)),
            "all" if token.tenants is None else escape(", ".join(sorted(token.tenants))),
            f"{token.created_at:%Y-%m-%d %H:%M}",
            state(token, datetime.now(UTC)),
        )
    Console().print(table)


@app.command()
def rotate(
    name: Annotated[str, typer.Argument(help="The name of the token, or its id.")],
    overlap: Overlap = "24h",
    expires: NewOnesLife = None,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Print a new token of that name, which may what the old one may; the old one ends when the overlap is over."""
    expires_at = None if expires is None else datetime.now(UTC) + duration(expires)
    both = duration(overlap)

    async def run() -> tuple[str, list[Token]]:
        async with opened(data, database_url) as database:
            secret, _token, old = await tokens.rotate(
                database.engine, name, overlap=both, expires_at=expires_at, actor=who(actor)
            )
            return secret, old

    show_rotated(run())


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name of the token, or its id.")],
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """End the tokens of that name, or the one with that id, at once."""

    async def run() -> list[Token]:
        async with opened(data, database_url) as database:
            return await tokens.revoke(database.engine, name, actor=who(actor))

    ended = asyncio.run(run())
    if not ended:
        typer.echo(f"there is no token {name!r} to revoke; `shadow token list` shows them", err=True)
        raise typer.Exit(1)
    for token in ended:
        typer.echo(f"revoked {token.name} ({token.id})")

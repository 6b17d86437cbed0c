"""`shadow dead-letters`: what could not be handed over, and sending it again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from shadow.cli.options import Actor, CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue, who
from shadow.fanout.resending import send_again
from shadow.observe import logs
from shadow.reports import dead_letters
from shadow.reports.shapes import DeadLetterPage

app = typer.Typer(help="Dispatches that their platform will not take.", no_args_is_help=True)

_DATA = Path(".shadow")
_CATALOGUE = Path("catalogue.yaml")


@app.callback()
def _quiet() -> None:
    """Dispatches that their platform will not take."""
    logs.configure(level="warning")


@app.command("list")
def list_dead_letters(
    side: Annotated[str | None, typer.Option(help="legacy or candidate only.")] = None,
    task: Annotated[str | None, typer.Option(help="Of that task only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """List them, newest first, with the reason."""

    async def run() -> DeadLetterPage:
        async with opened(data, database_url) as database:
            return await dead_letters.page(database.engine, side=side, task=task, limit=limit)

    page = asyncio.run(run())
    table = Table("id", "side", "task", "event", "attempts", "error")
    for item in page.items:
        table.add_row(
            str(item.id), item.side, item.task or "", item.event_name or "", str(item.attempts), item.error or ""
        )
    console = Console()
    console.print(table if page.items else "no dead letters")
    if page.next_cursor is not None:
        console.print("there are more; raise --limit")


@app.command("resend")
def resend(
    dispatches: Annotated[list[UUID], typer.Argument(metavar="ID...", help="As `list` shows them.")],
    catalogue: CatalogueFile = _CATALOGUE,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Send some again, under the same keys; what could not be mapped is mapped anew first."""
    resolved = read_catalogue(catalogue)

    async def run() -> tuple[list[UUID], dict[UUID, str]]:
        async with opened(data, database_url) as database:
            return await send_again(database, resolved, dispatches, actor=who(actor))

    done, failed = asyncio.run(run())
    for dispatch in done:
        typer.echo(f"{dispatch}: on its way")
    for dispatch, reason in failed.items():
        typer.echo(f"{dispatch}: {reason}", err=True)
    if failed:
        raise typer.Exit(1)

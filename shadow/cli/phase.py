"""`shadow phase`: move a task's route to another phase, with a reason on record."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue
from shadow.cutover.decision import Phase
from shadow.cutover.moves import MoveRefused
from shadow.steering.moving import move


def phase(
    task: Annotated[str, typer.Argument(help="Any task of the route; its tasks move together.")],
    to: Annotated[
        Phase,
        typer.Argument(metavar="PHASE", help="legacy, shadow, live or retired; ramp is refused so far."),
    ],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the audit.")],
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Annotated[str | None, typer.Option(help="Who moves it; the system's user by default.")] = None,
) -> None:
    """Move a task to another phase. Every move is forced and audited."""
    resolved = read_catalogue(catalogue)
    console = Console()

    async def run() -> None:
        async with opened(data, database_url) as database:
            try:
                done = await move(database, resolved, task, to, actor=actor or getpass.getuser(), reason=reason)
            except MoveRefused as refusal:
                typer.echo(f"refused: {refusal}", err=True)
                raise typer.Exit(1) from refusal
            console.print(
                f"{', '.join(done.tasks)}: {done.from_phase} -> {done.to_phase} from {done.effective_at:%H:%M:%S}"
            )

    asyncio.run(run())

"""`shadow deployment` and `shadow epoch`: what was counted for the gate begins anew, since something else runs now."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from shadow.catalogue.model import Side
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue, who
from shadow.containment.version import UnknownApp
from shadow.gate.deployments import by_person, deployed
from shadow.observe import logs

Actor = Annotated[str | None, typer.Option(help="Who says so; the system's user by default.")]


def deployment(
    side: Annotated[Side, typer.Argument(help="legacy or candidate.")],
    version: Annotated[str, typer.Argument(help="As its workers tell it (SHADOW_VERSION), if they do.")],
    app: Annotated[
        str | None, typer.Option(help="Only that app: the platform's name for it, or the catalogue's for the platform.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="For whoever reads it later.")] = None,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Tell that a version was deployed: an epoch begins for each of its tasks, and its gate counts from zero."""
    resolved = read_catalogue(catalogue)
    logs.configure(level="warning")

    async def run() -> None:
        async with opened(data, database_url) as database:
            told = await deployed(database, resolved, side, version, actor=who(actor), app=app, note=note)
            typer.echo(f"{side} {version}: {', '.join(told.tasks)}")
            begun = ", ".join(told.begun) or "none: nothing was counted of another version"
            typer.echo(f"epochs begun: {begun}")

    try:
        asyncio.run(run())
    except (UnknownApp, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def epoch(
    task: Annotated[str, typer.Argument(help="The task, by its id in the catalogue.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept with the epoch.")],
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Begin an epoch of a task: only pairs of events accepted from now on count for its gate."""
    resolved = read_catalogue(catalogue)
    if task not in resolved.tasks:
        typer.echo(f"no task {task!r}; expected one of {', '.join(sorted(resolved.tasks))}", err=True)
        raise typer.Exit(2)
    logs.configure(level="warning")

    async def run() -> None:
        async with opened(data, database_url) as database:
            begun = await by_person(database, task, actor=who(actor), reason=reason)
            if begun is None:
                typer.echo(f"{task}: has no epoch yet, as it had no pairs", err=True)
                raise typer.Exit(1)
            typer.echo(f"{task}: epoch {begun.number} from {begun.started_at:%Y-%m-%d %H:%M:%S} on")

    try:
        asyncio.run(run())
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error

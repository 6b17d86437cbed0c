"""`shadow evidence`: what a task's migration rests on, as two files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from shadow.archive.keeping import composed, kept
from shadow.archive.rendering import Files
from shadow.catalogue.problems import one_of
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue
from shadow.observe import logs


def evidence(
    task: Annotated[str, typer.Argument(help="The task's id in the catalogue.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that gets TASK.json and TASK.html.")] = Path(),
    as_kept: Annotated[
        bool, typer.Option("--kept", help="The pack that was kept when its route was retired, not one of now.")
    ] = False,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Write a task's evidence pack: one file for programs, one for people."""
    logs.configure(level="warning")
    resolved = read_catalogue(catalogue)
    if task not in resolved.tasks:
        raise failed(f"task {task!r}: expected {one_of(resolved.tasks, task)}")

    async def run() -> Files | None:
        async with opened(data, database_url) as database:
            return await (kept(database, task) if as_kept else composed(database, resolved, task))

    found = asyncio.run(run())
    if found is None:
        raise failed(f"task {task!r}: no pack was kept, as its route was never retired", 1)
    out.mkdir(parents=True, exist_ok=True)
    for suffix, content in (("json", found.json), ("html", found.html)):
        path = out / f"{task}.{suffix}"
        path.write_bytes(content)
        typer.echo(str(path))
    typer.echo(f"SHA-256 of the JSON: {found.digest}")

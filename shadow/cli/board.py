"""`shadow board`: how far the migration is, and what keeps each task from its next phase."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.cli.control_api import ControlToken, ControlUrl, control_api
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue
from shadow.cutover.decision import Phase
from shadow.observe import logs
from shadow.reports import board as boards
from shadow.reports.board_shapes import Board, BoardCategory, BoardTask

_TIMEOUT_SECONDS = 30


def board(
    category: Annotated[str | None, typer.Option(help="Only the tasks of this category.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The board as JSON, burn-up included.")] = False,
    url: ControlUrl = None,
    token: ControlToken = None,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Show the migration board: tasks by phase and category, what each waits for, and since when."""
    logs.configure(level="warning")  # stdout is the board's alone
    if url is not None:
        found = asyncio.run(_from_api(url, token))
    else:
        found = asyncio.run(_from_database(catalogue, data, database_url))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    _print(found, category)


async def _from_database(catalogue: Path, data: Path, url: str | None) -> Board:
    resolved = read_catalogue(catalogue)
    async with opened(data, url) as database:
        return await boards.board(database.engine, resolved)


async def _from_api(url: str, token: str | None) -> Board:
    async with control_api(url, token, patience=_TIMEOUT_SECONDS) as api:
        return await api.get("/v1/board", Board, {})


def _print(found: Board, category: str | None) -> None:
    console = Console()
    summary = Table(title=f"{found.total.tasks} tasks", title_justify="left")
    summary.add_column("category")
    for heading in (*(phase.value for phase in Phase), "gate open", "ready"):
        summary.add_column(heading, justify="right")
    for row in found.categories:
        if category in (None, row.category):
            summary.add_row(escape(row.category or "none"), *_counts(row))
    if category is None:
        summary.add_row("all", *_counts(found.total), style="bold")
    console.print(summary)
    tasks = Table()
    for heading in ("task", "phase", "gate", "next", "expected"):
        tasks.add_column(heading, no_wrap=heading == "task")
    tasks.add_column("what it waits for", ratio=1)
    for task in found.tasks:
        if category in (None, task.category):
            tasks.add_row(*_cells(task))
    console.print(tasks)


def _counts(row: BoardCategory) -> list[str]:
    return [f"{count:,}" for count in (*row.phases.values(), row.open, row.ready)]


def _cells(task: BoardTask) -> list[str]:
    phase = task.phase if task.share is None else f"{task.phase} {task.share} %"
    step = task.next
    when = "now" if step.ready else f"{step.on:%Y-%m-%d}" if step.on is not None else ""
    says = [blocker.says for blocker in task.blockers] or [step.says]
    return [escape(task.task), phase, task.gate, step.phase or "", when, escape("; ".join(says))]

"""`shadow replay`: run recorded events again on the candidate, and see what a fix has cleared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeAlias
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue, who
from shadow.observe import logs
from shadow.replays.starting import (
    DEFAULT_LIMIT,
    LARGEST_LIMIT,
    Progress,
    ReplayRefused,
    Started,
    UnknownSignature,
    start_replay,
    start_task_replay,
)
from shadow.reports import replays
from shadow.reports.shapes import ReplayView
from shadow.store.database import Database

_LOOK_SECONDS = 0.5

Start: TypeAlias = "Callable[[Database, Progress], Awaitable[Started]]"
"""Starts a replay, and tells how many of its events are sent."""

Wait = Annotated[bool, typer.Option(help="Wait for the verdicts; `shadow work` must be running.")]


def replay(
    reason: Annotated[str, typer.Option("--reason", "-r", help="What was changed; kept on record.")],
    signature: Annotated[
        str | None, typer.Option("--signature", "-s", help="The signature, as in `shadow report`.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="A task instead: events that its gate lacks, those with new shapes first."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=LARGEST_LIMIT, help="Events at most, those of the newest pairs first.")
    ] = DEFAULT_LIMIT,
    wait: Wait = True,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 900,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Annotated[str | None, typer.Option(help="Who does it; the system's user by default.")] = None,
) -> None:
    """Run the events behind a signature, or of a task, again on the candidate, hermetically, against legacy's runs.

    Exit 0 when the signature (of a task: any difference) is shown no more by any of them, 1 when it is (or nothing
    could be compared), 2 when nothing was started or the wait was over first.
    """
    if (signature is None) == (task is None):
        raise typer.BadParameter("name one of --signature and --task")
    logs.configure(level="warning")
    resolved = read_catalogue(catalogue)

    def start(database: Database, progress: Progress) -> Awaitable[Started]:
        return (start_replay if task is None else start_task_replay)(
            database,
            resolved,
            signature or task or "",
            actor=who(actor),
            reason=reason,
            limit=limit,
            progress=progress,
        )

    found = asyncio.run(carried_out(data, database_url, start, patience if wait else 0))
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _show(found)
    if wait:
        differ = found.shown if task is None else len(found.others)
        raise typer.Exit(2 if found.pending else 0 if found.cleared and not differ else 1)


async def carried_out(data: Path, url: str | None, start: Start, patience: float) -> ReplayView:
    """A replay, started and told of on standard error, once all of it is judged or so many seconds have passed.

    Exit 2, with the reason, when nothing is started.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with opened(data, url) as database:
        with Bars(*columns, console=Console(stderr=True)) as bars:
            try:
                started = await start(database, _counted(bars, "sending events"))
            except UnknownSignature as error:
                raise failed(f"there is no signature {str(error)!r}; `shadow report TASK` lists them") from error
            except ReplayRefused as refusal:
                raise failed(f"refused: {refusal}") from refusal
            return await _verdicts(database, started.id, _counted(bars, "waiting for verdicts"), patience)


def _counted(bars: Bars, what: str) -> Progress:
    """A bar that is told how far it is."""
    bar = bars.add_task(what, total=None)
    return lambda done, of: bars.update(bar, completed=done, total=of)


async def _verdicts(database: Database, started: UUID, told: Progress, patience: float) -> ReplayView:
    until = time.monotonic() + patience
    while True:
        found = await replays.one(database.engine, started)
        assert found is not None
        told(found.pairs - found.pending, found.pairs)
        if not found.pending or time.monotonic() >= until:
            return found
        await asyncio.sleep(_LOOK_SECONDS)


def _show(found: ReplayView) -> None:
    console = Console()
    table = Table(title=f"{found.task}, replay {found.id}")
    for heading in ("events", "cleared", "shown still", "inconclusive", "pending", "not run again"):
        table.add_column(heading, justify="right")
    numbers = (found.pairs, found.cleared, found.shown, found.inconclusive, found.pending, len(found.skipped))
    table.add_row(*(f"{number:,}" for number in numbers))
    console.print(table)
    for other in found.others:
        console.print(f"also: {escape(other.sentence)} ({other.pairs:,} pairs, {other.signature})")
    for pair, because in found.skipped.items():
        console.print(f"not run again: {pair}: {escape(because)}")

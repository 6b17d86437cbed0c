"""`shadow judge`: derive a task's verdicts anew from stored evidence, or show what that would change."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from shadow.catalogue import ResolvedCatalogue
from shadow.cli.lifetime import duration
from shadow.cli.options import Actor, CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue, who
from shadow.judge.again import Again, judge_again, number_of, on_record
from shadow.judge.rulebook import Rulebook
from shadow.observe import logs
from shadow.reports.judgements import Changes
from shadow.reports.shapes import Judgements
from shadow.store.database import Database, Work

_SHOWN = 5
"""Pairs named one by one that can't be judged any more."""
PAGE = 500
"""Pairs looked at between two steps of the progress bar."""


def judge(
    task: Annotated[str, typer.Option("--task", "-t", help="The task's id in the catalogue.")],
    since: Annotated[
        str, typer.Option(help="Pairs of events accepted from then on: a UTC day, a moment, or how long ago (7d).")
    ],
    until: Annotated[
        str | None, typer.Option(help="Pairs of events accepted before then: a UTC day, a moment, or how long ago.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; show what would change.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also pairs that were judged with these very rules: after an upgrade.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON, as the API gives it.")] = False,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Judge recorded pairs again with the rules of the catalogue file. Nothing runs again.

    Killed anywhere, it goes on where it was when it is begun again. Pairs whose evidence is gone keep their verdict.
    """
    logs.configure(level="warning")  # stdout is the result's alone
    now = datetime.now(UTC)
    wanted = Again(task, moment(since, now), None if until is None else moment(until, now), everything)
    if wanted.until is not None and wanted.until <= wanted.since:
        raise typer.BadParameter(f"--until {until} is not after --since {since}")
    resolved = read_catalogue(catalogue)
    if task not in resolved.tasks:
        typer.echo(f"there is no task {task!r} in {catalogue}: {', '.join(resolved.tasks)}", err=True)
        raise typer.Exit(2)

    async def run() -> Judgements:
        async with opened(data, database_url) as database:
            database.vault.redaction = resolved.catalogue.redaction
            if not dry_run:
                await on_record(database, wanted, actor=who(actor))
            return await _judge(database, resolved, wanted, dry_run)

    found = asyncio.run(run())
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found)


def moment(text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """A UTC day, a moment, or how long ago; with `ahead`, how long from now.

    Raises:
        typer.BadParameter: it is none of them.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now + duration(text) if ahead else now - duration(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


async def _judge(database: Database, catalogue: ResolvedCatalogue, wanted: Again, dry_run: bool) -> Judgements:
    rulebook = Rulebook(catalogue)
    async with database.connection(Work.JUDGE) as connection:
        await rulebook.look(connection)
    changes = Changes(wanted, dry_run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("judging", total=await number_of(database, wanted))
        before = None
        while True:
            page = await judge_again(database, rulebook, wanted, limit=PAGE, before=before, write=not dry_run)
            changes.add(page)
            progress.advance(bar, page.examined)
            before = page.last
            if before is None:
                break
    return changes.shape()


def _print(found: Judgements) -> None:
    console = Console()
    would = "would change" if found.dry_run else "changed"
    looked = f"{found.examined:,} pairs looked at, {found.judged:,} judged"
    console.print(f"{found.task}: {looked}, {found.changed:,} {would}")
    if found.current:
        console.print(f"{found.current:,} were judged with these rules already (--all judges them too)")
    if found.waiting:
        console.print(f"{found.waiting:,} are to be judged by the service anyway")
    for one in found.unreadable:
        console.print(f"{one.pairs:,} can't be judged any more and keep their verdict: {escape(one.reason)}")
        for pair in one.listed[:_SHOWN]:
            console.print(f"  {pair}")
        if one.pairs > _SHOWN:
            console.print("  ... (--json lists up to 100)")
    if found.verdicts:
        verdicts = Table(title="Verdicts", title_justify="left")
        for heading in ("before", "after"):
            verdicts.add_column(heading)
        verdicts.add_column("pairs", justify="right")
        for change in found.verdicts:
            style = "dim" if change.before == change.after else None
            verdicts.add_row(change.before, change.after, f"{change.pairs:,}", style=style)
        console.print(verdicts)
    if found.signatures:
        signatures = Table(title="Signatures", title_justify="left")
        for heading in ("added", "removed"):
            signatures.add_column(heading, justify="right")
        signatures.add_column("severity")
        signatures.add_column("difference", ratio=1)
        signatures.add_column("signature", no_wrap=True)
        for changed in found.signatures:
            signatures.add_row(
                f"{changed.added:,}",
                f"{changed.removed:,}",
                changed.severity,
                escape(changed.sentence),
                changed.signature,
            )
        console.print(signatures)
    for example in found.examples:
        console.print(f"{example.pair}  {example.before} -> {example.after}")
        for when, sentence in (("now", example.shows), ("no longer", example.shows_no_longer)):
            if sentence is not None:
                console.print(f"  {when}: {escape(sentence)}", soft_wrap=True)

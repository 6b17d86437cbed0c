"""`shadow report`: how a task's candidate does what legacy does, from the control API or the database itself."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.cli.control_api import ControlToken, ControlUrl, control_api
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue
from shadow.observe import logs
from shadow.reports import formats, parity, signatures, ticks
from shadow.reports.formats import Report
from shadow.reports.shapes import Parity, Signatures
from shadow.reports.ticks import Ticks

_TIMEOUT_SECONDS = 30


class Format(StrEnum):
    TABLE = "table"
    MD = "md"
    JSON = "json"
    JUNIT = "junit"


def report(
    task: Annotated[str, typer.Argument(help="The task's id in the catalogue.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="How it is written.")] = Format.TABLE,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First UTC day of acceptance.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last UTC day of acceptance.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    worst: Annotated[int, typer.Option(min=0, max=200, help="How many differences to show.")] = 10,
    url: ControlUrl = None,
    token: ControlToken = None,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Report a task's parity and the differences that most of its pairs show now."""
    logs.configure(level="warning")  # stdout is the report's alone
    asked = _Asked(task, since and since.date(), until and until.date(), tenant, worst)
    if url is not None:
        found = asyncio.run(_from_api(asked, url, token))
    else:
        found = asyncio.run(_from_database(asked, catalogue, data, database_url))
    if format is Format.TABLE:
        _print_table(found)
    else:
        write = {Format.MD: formats.as_markdown, Format.JSON: formats.as_json, Format.JUNIT: formats.as_junit}
        typer.echo(write[format](found).rstrip("\n"))


class _Asked:
    """What the report is to be of."""

    def __init__(self, task: str, since: date | None, until: date | None, tenant: str | None, worst: int) -> None:
        if since is not None and until is not None and since > until:
            raise typer.BadParameter(f"--until {until} lies before --since {since}")
        self.task = task
        self.since = since
        self.until = until
        self.tenant = tenant
        self.worst = worst


async def _from_database(asked: _Asked, catalogue: Path, data: Path, url: str | None) -> Report:
    resolved = read_catalogue(catalogue)
    if asked.task not in resolved.tasks:
        raise failed(f"there is no task {asked.task!r} in {catalogue}: {', '.join(resolved.tasks)}")
    async with opened(data, url) as database:
        found = await parity.parity(
            database.engine, resolved, asked.task, since=asked.since, until=asked.until, tenant=asked.tenant
        )
        listed = await signatures.worst(database.engine, task=asked.task, limit=asked.worst)
        counted = None
        if resolved.tasks[asked.task].cron is not None:
            async with database.engine.connect() as connection:
                counted = (await ticks.counts_by_task(connection, [asked.task]))[asked.task]
    return Report(parity=found, signatures=listed.items, ticks=counted)


async def _from_api(asked: _Asked, url: str, token: str | None) -> Report:
    bounds = {"since": asked.since, "until": asked.until}
    wanted = {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}
    if asked.tenant is not None:
        wanted["tenant"] = asked.tenant
    async with control_api(url, token, patience=_TIMEOUT_SECONDS) as api:
        found = await api.get(f"/v1/tasks/{quote(asked.task, safe='')}/parity", Parity, wanted)
        listed = Signatures(items=[])
        if asked.worst:
            listed = await api.get("/v1/signatures", Signatures, {"task": asked.task, "limit": str(asked.worst)})
        # A task that no clock starts has none.
        counted = await api.find(f"/v1/tasks/{quote(asked.task, safe='')}/ticks", Ticks, {"limit": "1"})
    return Report(parity=found, signatures=listed.items, ticks=counted and counted.counts)


def _print_table(found: Report) -> None:
    console = Console()
    counts = Table(title=escape(formats.title(found.parity)), title_justify="left", show_header=False)
    counts.add_column()
    counts.add_column(justify="right")
    for name, figure in (*formats.figures(found.parity.counts), *formats.tick_figures(found.ticks)):
        counts.add_row(name, figure)
    console.print(counts)
    if not found.signatures:
        return
    differences = Table(title=formats.DIFFERENCES, title_justify="left")
    differences.add_column("pairs", justify="right")
    differences.add_column("allowed", justify="right")
    differences.add_column("severity")
    differences.add_column("difference", ratio=1)
    differences.add_column("signature", no_wrap=True)
    for signature in found.signatures:
        differences.add_row(
            f"{signature.pairs:,}",
            f"{signature.allowed:,}",
            signature.severity,
            escape(signature.sentence),
            signature.id,
        )
    console.print(differences)

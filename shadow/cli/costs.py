"""`shadow costs`: what a month of each task costs on either side, and what moving it saves."""

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
from shadow.observe import logs
from shadow.reports import costs as reports
from shadow.reports.cost_shapes import Costs, SideCost

_TIMEOUT_SECONDS = 30


def costs(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    url: ControlUrl = None,
    token: ControlToken = None,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
) -> None:
    """Show what a month costs, by task and side, at the volume of the last days."""
    logs.configure(level="warning")  # stdout is the table's alone
    if url is not None:
        found = asyncio.run(_from_api(url, token))
    else:
        found = asyncio.run(_from_database(catalogue, data, database_url))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found)


async def _from_database(catalogue: Path, data: Path, url: str | None) -> Costs:
    resolved = read_catalogue(catalogue)
    async with opened(data, url) as database:
        return await reports.costs(database.engine, resolved)


async def _from_api(url: str, token: str | None) -> Costs:
    async with control_api(url, token, patience=_TIMEOUT_SECONDS) as api:
        return await api.get("/v1/costs", Costs, {})


def _print(found: Costs) -> None:
    console = Console()
    days = "1 day" if found.volume_days == 1 else f"{found.volume_days} days"
    table = Table(title=f"{found.currency} a month, at the volume of the last {days}", title_justify="left")
    table.add_column("task", no_wrap=True)
    for heading in ("runs", "legacy", "candidate", "saving"):
        table.add_column(heading, justify="right")
    table.add_column("legacy by")
    table.add_column("candidate by")
    for item in found.items:
        table.add_row(
            escape(item.task),
            f"{item.runs:,.0f}",
            _money(item.legacy.total),
            _money(item.candidate.total),
            _money(item.saving),
            _basis(item.legacy),
            _basis(item.candidate),
        )
    total = found.total
    table.add_row("all", "", _money(total.legacy), _money(total.candidate), _money(total.saving), style="bold")
    console.print(table)
    if total.unknown:
        tasks = "1 task is" if total.unknown == 1 else f"{total.unknown} tasks are"
        console.print(f"{tasks} not in the sums: nothing says what one side costs.")
    for apart in found.apart:
        console.print(
            f"Apart: {apart.runs:,} runs, {apart.side}, {apart.purpose}: by their platforms {apart.reported:,.2f}"
            f" in {found.price_days} days"
        )


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def _basis(side: SideCost) -> str:
    return side.basis.replace("_", " ")

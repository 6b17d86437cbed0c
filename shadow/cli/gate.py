"""`shadow gate` and `shadow sign-off`: whether tasks may move on, for people and for CI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import quote
from uuid import UUID

import psycopg
import sqlalchemy.exc
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadow.cli.control_api import ControlToken, ControlUrl, control_api
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue, who
from shadow.gate.report import State
from shadow.gate.signing_off import SignOffRefused
from shadow.gate.signing_off import revoke as revoke_sign_off
from shadow.gate.signing_off import sign_off as make_sign_off
from shadow.observe import logs
from shadow.reports import gates
from shadow.reports.gate_formats import as_junit
from shadow.reports.gate_shapes import GateGroup, GateView

_TIMEOUT_SECONDS = 30
_STYLE = {State.MET: "green", State.UNMET: "red", State.INFORMATIONAL: "yellow", State.NOT_APPLICABLE: "dim"}
_CATALOGUE = Path("catalogue.yaml")
_DATA = Path(".shadow")

Done = TypeVar("Done")


def gate(
    task: Annotated[str | None, typer.Argument(help="The task, by its id in the catalogue.")] = None,
    category: Annotated[str | None, typer.Option(help="All tasks of this category.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All tasks: the whole migration.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, as the API gives it.")] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML to this file: a suite a task, a case a condition.")
    ] = None,
    url: ControlUrl = None,
    token: ControlToken = None,
    catalogue: CatalogueFile = _CATALOGUE,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """Say whether tasks may move on, evaluated now: each condition with its figure, and what is missing.

    Exits 0 when the gate, or every gate asked for, is open, 1 when it is closed, 2 when that can't be told.
    """
    if sum((task is not None, category is not None, every)) != 1:
        raise typer.BadParameter("name one of TASK, --category and --all")
    logs.configure(level="warning")  # stdout is the answer's alone
    found = asyncio.run(
        _from_api(url, token, task, category)
        if url is not None
        else _from_database(catalogue, data, database_url, task, category)
    )
    views = [found] if isinstance(found, GateView) else found.items
    if junit is not None:
        try:
            junit.write_text(as_junit(views), encoding="utf-8")
        except OSError as error:
            raise failed(f"{junit} can't be written: {error.strerror}") from error
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(Console(width=None if Console().is_terminal else 160), found, views)
    raise typer.Exit(0 if found.open else 1)


def sign_off(
    task: Annotated[str, typer.Argument(help="The task, by its id in the catalogue.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="What you looked at; kept on record.")] = "",
    revoke: Annotated[UUID | None, typer.Option(help="Take this sign-off back instead.")] = None,
    catalogue: CatalogueFile = _CATALOGUE,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Annotated[str | None, typer.Option(help="Who signs; the system's user by default.")] = None,
) -> None:
    """Vouch for a task with too few pairs for the statistic: two different people's word stands in its place.

    It ends with the epoch: with the next deployment, or when the rules change.
    """
    logs.configure(level="warning")
    resolved = read_catalogue(catalogue)
    _known(task, resolved.tasks, catalogue)

    async def run() -> str:
        async with opened(data, database_url) as database:
            if revoke is not None:
                if not await revoke_sign_off(database, task, revoke, actor=who(actor)):
                    raise failed(f"no sign-off {revoke} stands for {task!r}; `shadow gate {task} --json` lists them", 1)
                return f"revoked {revoke}"
            try:
                made = await make_sign_off(database, task, actor=who(actor), reason=reason)
            except SignOffRefused as refusal:
                raise failed(f"refused: {refusal}", 1) from refusal
            shown = await gates.gate(database, resolved, task)
            says = next(one.says for one in shown.conditions if one.name == "statistic")
            return f"{made.id}: signed off by {made.actor}\n{says}"

    typer.echo(asyncio.run(_reached(run)))


async def _from_database(
    file: Path, data: Path, url: str | None, task: str | None, category: str | None
) -> GateView | GateGroup:
    catalogue = read_catalogue(file)
    if task is not None:
        _known(task, catalogue.tasks, file)
    tasks = list(catalogue.tasks)
    if category is not None:
        tasks = gates.tasks_of_category(catalogue, category)
        if not tasks:
            names = sorted({one.category for one in catalogue.tasks.values() if one.category is not None})
            raise failed(f"no task in {file} is of category {category!r}: {', '.join(names) or 'none has any'}")

    async def run() -> GateView | GateGroup:
        async with opened(data, url) as database:
            if task is not None:
                return await gates.gate(database, catalogue, task)
            return await gates.group(database, catalogue, category or gates.MIGRATION, tasks, every=True)

    return await _reached(run)


async def _from_api(url: str, token: str | None, task: str | None, category: str | None) -> GateView | GateGroup:
    async with control_api(url, token, patience=_TIMEOUT_SECONDS) as api:
        if task is not None:
            return await api.get(f"/v1/gates/{quote(task, safe='')}", GateView, {})
        path = "/v1/gates/migration" if category is None else f"/v1/gates/categories/{quote(category, safe='')}"
        return await api.get(path, GateGroup, {"conditions": "true"})


async def _reached(ask: Callable[[], Awaitable[Done]]) -> Done:
    """What is asked of the database; exit 2 when that can't be reached."""
    try:
        return await ask()
    except (psycopg.Error, sqlalchemy.exc.OperationalError) as error:
        raise failed(f"the database failed: {error}") from error


def _known(task: str, tasks: Collection[str], file: Path) -> None:
    if task not in tasks:
        raise failed(f"there is no task {task!r} in {file}: {', '.join(tasks)}")


def _print(console: Console, found: GateView | GateGroup, views: Sequence[GateView]) -> None:
    if isinstance(found, GateView):
        console.print(_conditions(found))
        console.print(_verdict(found.task, found.open, found.outlook))
        return
    table = Table()
    for heading in ("task", "phase", "gate", "held shut by", "outlook"):
        table.add_column(heading, overflow="fold")
    for view in views:
        state = Text("open", style="green") if view.open else Text("closed", style="red")
        blockers = ", ".join(name.value for name in view.blockers)
        table.add_row(Text(view.task), view.phase.value, state, blockers, Text(view.outlook))
    console.print(table)
    told = f"{found.open_tasks:,} of {found.tasks:,} gates are open"
    told += f" ({found.retired:,} tasks are retired)" if found.retired else ""
    console.print(_verdict(found.group, found.open, f"{told}; {found.outlook}"))


def _conditions(found: GateView) -> Table:
    title = f"{found.task} ({found.phase.value}): epoch {found.epoch_number or 'none'}"
    table = Table(title=Text(title), title_justify="left")
    for heading in ("condition", "state", "figure", "limit", "what it says"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("figure", "limit") else "left")
    for condition in found.conditions:
        table.add_row(
            condition.name.value,
            Text(condition.state.value.replace("_", " "), style=_STYLE[condition.state]),
            _figure(condition.figure),
            _figure(condition.limit),
            Text(condition.says),
        )
    return table


def _figure(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4g}"


def _verdict(name: str, open_: bool, outlook: str) -> Text:
    return Text(f"{name}: {'open' if open_ else 'closed'}: {outlook}", style="green" if open_ else "red")

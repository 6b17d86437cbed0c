"""`shadow contain`: prove that a task's candidate can't reach the world, or put on record that it is harmless."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import psycopg
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadow.catalogue.values import Duration
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue, who
from shadow.containment.part import Part, PartName
from shadow.containment.proof import Silent
from shadow.containment.record import (
    Containment,
    DeclarationRefused,
    Kind,
    State,
    declare,
    end_outdated,
    present,
    withdraw,
)
from shadow.observe import logs
from shadow.proving import proving
from shadow.store.database import Database, Work

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
_STYLE = {"passed": "green", "failed": "red", "unknown": "yellow"}


def contain(
    task: Annotated[str, typer.Argument(help="The task, by its id in the catalogue.")],
    declare_harmless: Annotated[
        bool, typer.Option("--declare-harmless", help="Prove nothing; put on record that it can do no harm.")
    ] = False,
    withdraw_declaration: Annotated[
        bool, typer.Option("--withdraw", help="Take a declaration back; a task in shadow stays there.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only show what is on record.")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Of a declaration or its withdrawal; kept.")] = "",
    patience: Annotated[
        str | None,
        typer.Option(help="How long the canary's runs are waited for, such as 5m; by default their deadline."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Annotated[str | None, typer.Option(help="Who does it; the system's user by default.")] = None,
) -> None:
    """Prove that a task's candidate can't reach the world while it has no authority.

    Events are repeated for the candidate: `shadow work` (or `up`) and the candidate's worker must be running. Exits 0
    when it is proven or declared, 1 when not, 2 when it could not be tried.
    """
    if sum((declare_harmless, withdraw_declaration, show)) > 1:
        raise typer.BadParameter("choose one of --declare-harmless, --withdraw and --show")
    resolved = read_catalogue(catalogue)
    if task not in resolved.tasks:
        _fail(f"no task {task!r}; expected one of {', '.join(sorted(resolved.tasks))}")
    logs.configure(level="warning")
    waits = None if patience is None else _duration(patience)
    progress = Silent() if as_json else _Told()

    async def run() -> Containment | None:
        async with opened(data, database_url) as database:
            if declare_harmless:
                return await declare(database, task, actor=who(actor), reason=reason)
            if withdraw_declaration and not await withdraw(database, task, actor=who(actor), reason=reason):
                _fail(f"task {task!r} has no declaration to withdraw", code=1)
            if not show and not withdraw_declaration:
                async with proving(database, resolved, progress=progress, patience=waits) as prover:
                    return await prover.prove(task, actor=who(actor))
            return await _present(database, task)

    try:
        found = asyncio.run(run())
    except DeclarationRefused as error:
        _fail(f"{error}: --reason")
    except psycopg.Error as error:
        _fail(f"the database failed: {error}")
    if as_json:
        typer.echo(orjson.dumps(as_document(task, found), option=orjson.OPT_INDENT_2).decode())
    else:
        print_containment(Console(), task, found)
    raise typer.Exit(0 if withdraw_declaration or (found is not None and found.holds) else 1)


class _Told:
    """Says on stderr how far it is: stdout is the result's alone."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def working(self, part: PartName, text: str) -> None:
        self._console.print(Text(f"{part.value}: {text}", style="dim"))

    def done(self, part: PartName, result: Part) -> None:
        self._console.print(Text(f"{part.value}: {result.state.value}", style=_STYLE[result.state.value]))


def _duration(text: str) -> timedelta:
    try:
        return _DURATION.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"found {text!r}, expected a duration such as 90s, 5m or 1h") from error


def _fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)


async def _present(database: Database, task: str) -> Containment | None:
    async with database.connection(Work.CONTROL) as connection:
        await end_outdated(connection)
        return (await present(connection, [task])).get(task)


def as_document(task: str, found: Containment | None) -> dict[str, Any]:
    """What holds for a task, as JSON."""
    if found is None:
        return {"task": task, "state": "none"}
    return {
        "id": str(found.id),
        "task": task,
        "kind": found.kind.value,
        "state": found.state.value,
        "version": found.version,
        "leaks": found.leaks,
        "parts": dict(found.parts),
        "actor": found.actor,
        "reason": found.reason,
        "made_at": found.made_at.isoformat(),
        "ended_at": found.ended_at.isoformat() if found.ended_at else None,
        "ended_because": found.ended_because,
    }


def print_containment(console: Console, task: str, found: Containment | None) -> None:
    """A table of the parts, then what to do, then the verdict in a sentence."""
    if found is None:
        console.print(f"{task}: neither proven nor declared harmless")
        return
    if found.kind is Kind.PROOF:
        console.print(_table(found))
        todo = [line for part in found.parts.values() for line in part.get("todo", ())]
        for line in dict.fromkeys(todo):
            console.print(Text(f"-> {line}"))
    console.print(Text(sentence(task, found), style="green" if found.holds else "red"))


def _table(found: Containment) -> Table:
    table = Table(show_lines=True)
    for heading in ("part", "state", "what it showed"):
        table.add_column(heading, overflow="fold")
    for name in PartName:
        part = found.parts.get(name.value)
        if part is not None:
            says = [*part["says"], *(f"warning: {line}" for line in part["warnings"])]
            table.add_row(name.value, Text(part["state"], style=_STYLE[part["state"]]), Text("\n".join(says)))
    return table


def sentence(task: str, found: Containment) -> str:
    """What holds for a task."""
    match found.state:
        case State.DECLARED:
            return f"{task}: declared harmless by {found.actor}: {found.reason}"
        case State.ENDED:
            return f"{task}: not contained; its {found.kind} ended: {found.ended_because}"
        case State.PROVEN:
            return f"{task}: containment is proven for version {found.version}; leaks: {found.leaks}"
        case State.RUNNING:
            return f"{task}: a proof is being tried since {found.made_at:%Y-%m-%d %H:%M}"
        case State.FAILED:
            return f"{task}: containment is not proven; leaks: {found.leaks}"

"""`shadow tasks`: check a catalogue, print its schema, draft one from what two platforms list."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadow.catalogue import (
    CatalogueError,
    CatalogueWarning,
    Problem,
    ResolvedCatalogue,
    ResolvedTask,
    check,
    json_schema,
    load,
)
from shadow.catalogue.draft import CandidateListing, LegacyListing, draft
from shadow.catalogue.listing import ListingFailed, candidate_listing, legacy_listing
from shadow.catalogue.variables import environment
from shadow.cli.options import DatabaseUrl, DataFolder, opened
from shadow.cli.schedules import scheduled
from shadow.reports import rules

app = typer.Typer(help="The catalogue of tasks: check it, draft it.", no_args_is_help=True)

_DATA = Path(".shadow")
AllowUnset = Annotated[
    bool,
    typer.Option("--allow-unset", help="Put a placeholder where a variable is not set."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="The catalogue.", dir_okay=False)],
    as_json: AsJson = False,
    allow_unset: AllowUnset = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    dead_rules: Annotated[
        bool, typer.Option("--dead-rules", help="Ask the database which rules spoke of nothing for 30 days.")
    ] = False,
    platforms: Annotated[
        bool,
        typer.Option("--platforms", help="Ask both platforms for their schedules, and the database for phases."),
    ] = False,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """Say what is wrong with a catalogue, a line each; list its tasks and what is likely not meant."""
    try:
        resolved = load(file, environment(allow_unset=allow_unset))
    except OSError as error:
        typer.echo(f"{file}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    except CatalogueError as error:
        if as_json:
            _print_json({"ok": False, "problems": [_problem(problem) for problem in error.problems]})
        else:
            typer.echo(str(error))
            typer.echo(_count(len(error.problems), "problem"))
        raise typer.Exit(1) from None
    warnings = check(resolved)
    if dead_rules:
        warnings = (*warnings, *asyncio.run(_dead_rules(resolved, data, database_url)))
    refused: list[CatalogueWarning] = []
    if platforms:
        try:
            more, refused = asyncio.run(scheduled(resolved, data, database_url))
        except ListingFailed as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from None
        warnings = (*warnings, *more)
    if as_json:
        _print_json({**_summary(resolved, warnings), "ok": not refused, "refused": [_warning(one) for one in refused]})
    else:
        _print(resolved, warnings)
        for one in refused:
            typer.echo(f"refused: {one}")
    if refused or (strict and warnings):
        raise typer.Exit(1)


@app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the catalogue, for editors."""
    _print_json(json_schema())


@app.command("import")
def import_command(
    legacy_key: Annotated[str, typer.Option(envvar="TRIGGER_SECRET_KEY", help="Trigger.dev's secret key.")],
    app_id: Annotated[str, typer.Option("--app", help="The Inngest app whose functions replace the tasks.")],
    legacy_url: Annotated[str, typer.Option(envvar="TRIGGER_URL")] = "https://api.trigger.dev",
    candidate_url: Annotated[str, typer.Option(envvar="INNGEST_API_URL")] = "https://api.inngest.com",
    signing_key: Annotated[
        str | None, typer.Option(envvar="INNGEST_SIGNING_KEY", help="Inngest's signing key; none for a dev server.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file; printed without it.")] = None,
) -> None:
    """Draft a catalogue from the tasks that Trigger.dev ran and the functions that Inngest knows."""
    if output is not None and output.exists():
        typer.echo(f"{output}: exists already; name a new file", err=True)
        raise typer.Exit(2)
    try:
        legacy, candidate = asyncio.run(_listed(legacy_url, legacy_key, candidate_url, app_id, signing_key))
    except (ListingFailed, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    text = draft(legacy, candidate)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text)
        typer.echo(
            f"{output}: drafted from {_count(len(legacy.tasks), 'task')} "
            f"and {_count(len(candidate.functions), 'function')}",
            err=True,
        )


async def _listed(
    legacy_url: str, legacy_key: str, candidate_url: str, app_id: str, signing_key: str | None
) -> tuple[LegacyListing, CandidateListing]:
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=30) as http:
        return (
            await legacy_listing(http, legacy_url, legacy_key),
            await candidate_listing(http, candidate_url, app_id, signing_key),
        )


async def _dead_rules(
    resolved: ResolvedCatalogue, data: Path, database_url: str | None
) -> tuple[CatalogueWarning, ...]:
    async with opened(data, database_url) as database, database.engine.connect() as connection:
        found = await rules.dead(connection, resolved)
    return tuple(
        CatalogueWarning(
            "dead-rule",
            f"tasks.{task}.rules.{key}",
            f"it spoke of nothing in {rules.DAYS} days in which pairs were judged",
        )
        for task, keys in found.items()
        for key in keys
    )


def _print(resolved: ResolvedCatalogue, warnings: tuple[CatalogueWarning, ...]) -> None:
    console = Console()
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("task", "event", "sources", "legacy", "candidate"):
        table.add_column(name, overflow="fold")
    for category, tasks in _by_category(resolved).items():
        table.add_section()
        table.add_row(Text(f"{category} ({len(tasks)})", style="bold"))
        for task in tasks:
            legacy, candidate = task.legacy, task.candidate
            cells = (
                f"  {task.id}",
                task.event,
                ", ".join(task.sources),
                f"{legacy.platform}: {legacy.task}",
                f"{candidate.platform}: {candidate.function}",
            )
            # As Text: square brackets in a name are no markup.
            table.add_row(*map(Text, cells))
    console.print(table)
    joined = [route for route in resolved.routes.values() if len(route.tasks) > 1]
    for route in joined:
        typer.echo(f"{', '.join(route.tasks)} share {', '.join(route.events)}: they change phase together")
    for warning in warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(
        f"{_count(len(resolved.tasks), 'task')} on {_count(len(resolved.routes), 'route')}, "
        f"{_count(len(warnings), 'warning')}"
    )


def _by_category(resolved: ResolvedCatalogue) -> dict[str, list[ResolvedTask]]:
    grouped: dict[str, list[ResolvedTask]] = {}
    for task in resolved.tasks.values():
        grouped.setdefault(task.category or "without a category", []).append(task)
    return grouped


def _summary(resolved: ResolvedCatalogue, warnings: tuple[CatalogueWarning, ...]) -> dict[str, Any]:
    return {
        "ok": True,
        "tasks": {
            task.id: {
                "category": task.category,
                "event": task.event,
                "sources": task.sources,
                "legacy": {"platform": task.legacy.platform, "task": task.legacy.task},
                "candidate": {"platform": task.candidate.platform, "function": task.candidate.function},
                "route": task.route,
                "deadline_seconds": task.deadline.total_seconds(),
                "settle_seconds": task.settle.total_seconds(),
            }
            for task in resolved.tasks.values()
        },
        "warnings": [_warning(one) for one in warnings],
    }


def _warning(one: CatalogueWarning) -> dict[str, str]:
    return {"code": one.code, "key": one.key, "message": one.message}


def _problem(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "line", "key", "found", "expected")}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

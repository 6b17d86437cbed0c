"""`shadow map try`: what a catalogue makes of a webhook, an event or a Trigger.dev call, without sending anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console

from shadow.catalogue import (
    CatalogueError,
    Document,
    Ignored,
    MappedEvent,
    MappingFailed,
    ResolvedCatalogue,
    ResolvedTask,
    load,
)
from shadow.catalogue.variables import environment

app = typer.Typer(help="Try out the mapping of a catalogue.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Try out the mapping of a catalogue."""


@app.command("try")
def try_command(
    file: Annotated[Path, typer.Argument(help="The catalogue.", dir_okay=False)],
    source: Annotated[str | None, typer.Option(help="A webhook source, for --body.")] = None,
    body: Annotated[str | None, typer.Option(help="File with the webhook's body; - is standard input.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME:VALUE of the webhook.")] = None,
    event: Annotated[str | None, typer.Option(help="An event's name, for --data.")] = None,
    data: Annotated[str | None, typer.Option(help="The event's data as JSON.")] = None,
    task: Annotated[str | None, typer.Option(help="A task called by tasks.trigger, for --payload.")] = None,
    payload: Annotated[str | None, typer.Option(help="The call's payload as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Show the event and each legacy task's payload and options. Variables that are not set get placeholders.

    Exactly one of --source (with --body), --event (with --data) and --task (with --payload) says what to map.
    """
    chosen = [name for name, value in (("--source", source), ("--event", event), ("--task", task)) if value is not None]
    if len(chosen) != 1:
        _refuse(f"found {' and '.join(chosen) or 'none'}, expected one of --source, --event and --task")
    resolved = _loaded(file)
    try:
        if source is not None:
            shown = _webhook(resolved, source, _read(body), header or [])
        elif event is not None:
            shown = _event(resolved, event, _parsed(data if data is not None else "{}", "--data"))
        else:
            shown = _call(resolved, str(task), _parsed(payload if payload is not None else "{}", "--payload"))
    except MappingFailed as error:
        failure = {"where": error.where, "found": error.found, "expected": error.expected}
        shown = {"ok": False, "failed": [failure]}
    if as_json:
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(shown)
    if not shown["ok"]:
        raise typer.Exit(1)


def _webhook(resolved: ResolvedCatalogue, source: str, body: Any, header: list[str]) -> dict[str, Any]:
    try:
        mapper = resolved.webhook(source)
    except KeyError:
        known = [name for name, one in resolved.sources.items() if one.kind == "webhook"]
        _refuse(f"--source: found {source!r}, expected a webhook source: {', '.join(known) or 'there is none'}")
    headers = dict(map(_header, header))
    mapped = mapper.map(body, headers)
    delivery_id = mapper.delivery_id(headers, body)
    if isinstance(mapped, Ignored):
        return {"ok": True, "delivery_id": delivery_id, "ignored": mapped.clause}
    tasks = [task for task in resolved.tasks_of_event(mapped.name) if source in task.sources]
    return {"delivery_id": delivery_id, "event": _described(mapped), **_targets(tasks, mapped.data)}


def _described(event: MappedEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "id": event.id,
        "data": event.data,
        "tenant": event.tenant,
        "occurred_at": event.occurred_at,
    }


def _event(resolved: ResolvedCatalogue, name: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        _refuse("--data: expected a JSON object")
    tasks = resolved.tasks_of_event(name)
    if not tasks:
        known = sorted({task.event for task in resolved.tasks.values()})
        _refuse(f"--event: found {name!r}, expected one of {', '.join(known)}")
    return {"event": {"name": name, "data": data}, **_targets(tasks, data)}


def _call(resolved: ResolvedCatalogue, name: str, payload: Any) -> dict[str, Any]:
    """The call names the legacy id; the catalogue's own is taken too."""
    task = next((one for one in resolved.tasks.values() if one.legacy.task == name), resolved.tasks.get(name))
    if task is None:
        known = sorted(one.legacy.task for one in resolved.tasks.values())
        _refuse(f"--task: found {name!r}, expected one of {', '.join(known)}")
    data = task.candidate.data.evaluate(Document(payload))
    if not isinstance(data, dict):
        raise MappingFailed(f"tasks.{task.id}.candidate.data", "a mapping, as events carry", type(data).__name__)
    tenants = [resolved.tenant_of(name, data) for name in task.sources if resolved.sources[name].kind == "trigger.dev"]
    return {
        "ok": True,
        "task": task.id,
        "event": {"name": task.event, "data": data, "tenant": next(iter(tenants), None)},
        "candidate": {"platform": task.candidate.platform, "function": task.candidate.function},
    }


def _targets(tasks: Iterable[ResolvedTask], data: Any) -> dict[str, Any]:
    """Every task's two targets; a mapping that fails does not hide the others."""
    targets: dict[str, Any] = {}
    failed: list[dict[str, str]] = []
    for task in tasks:
        legacy: dict[str, Any] = {"platform": task.legacy.platform, "task": task.legacy.task}
        try:
            legacy |= {"payload": task.legacy.payload.evaluate(Document(data)), "options": dict(task.legacy.options)}
        except MappingFailed as error:
            failed.append({"where": error.where, "found": error.found, "expected": error.expected})
        candidate = {"platform": task.candidate.platform, "function": task.candidate.function}
        targets[task.id] = {"legacy": legacy, "candidate": candidate}
    return {"ok": not failed, "tasks": targets} | ({"failed": failed} if failed else {})


def _loaded(file: Path) -> ResolvedCatalogue:
    try:
        return load(file, environment(allow_unset=True))
    except OSError as error:
        _refuse(f"{file}: {error.strerror}")
    except CatalogueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _read(body: str | None) -> Any:
    if body is None:
        _refuse("--source needs --body FILE, or --body - for standard input")
    try:
        raw = sys.stdin.buffer.read() if body == "-" else Path(body).read_bytes()
    except OSError as error:
        _refuse(f"{body}: {error.strerror}")
    return _parsed(raw, "--body")


def _parsed(text: str | bytes, option: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _refuse(f"{option}: expected JSON, but {error}")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        _refuse(f"--header: found {text!r}, expected NAME:VALUE")
    return name.strip().lower(), value.strip()


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def _print(shown: dict[str, Any]) -> None:
    console = Console()
    if "ignored" in shown:
        typer.echo(f"ignored: {shown['ignored']} holds; the delivery is acknowledged and dropped")
    if "delivery_id" in shown:
        typer.echo(f"delivery id: {shown['delivery_id'] or 'none, so a repeated delivery counts as a new event'}")
    if "event" in shown:
        _print_part(console, "event", shown["event"])
    for task, targets in shown.get("tasks", {}).items():
        _print_part(console, f"task {task}", targets)
    if "candidate" in shown:
        _print_part(console, f"task {shown['task']}", {"candidate": shown["candidate"]})
    if shown.get("tasks") == {}:
        typer.echo("no task takes this event from this source")
    for failure in shown.get("failed", ()):
        typer.echo(f"{failure['where']}: found {failure['found']}, expected {failure['expected']}", err=True)


def _print_part(console: Console, title: str, value: Any) -> None:
    console.print(f"[bold]{title}[/bold]")
    console.print_json(orjson.dumps(value).decode())

"""`shadow demo`: the product's main job, shown in one command."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from shadow.demo.run import Options

NONE = "none"


class _Bars:
    """Three bars: preparation, events sent, pairs judged."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: TaskID = progress.add_task("starting", total=None)
        self._sent: TaskID = progress.add_task("events sent", total=None, visible=False)
        self._judged: TaskID = progress.add_task("pairs judged", total=None, visible=False)

    def stage(self, text: str) -> None:
        self._progress.update(self._stage, description=text)

    def sent(self, done: int, total: int) -> None:
        self._progress.update(self._sent, completed=done, total=total, visible=True)

    def judged(self, done: int, total: int) -> None:
        self._progress.update(self._judged, completed=done, total=total, visible=True)


def demo(
    faults: Annotated[
        str | None,
        typer.Option(help="Faults of the candidate, by commas; `none` for none. Three by default."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line instead.")] = False,
    seed: Annotated[int, typer.Option(help="Of the events and the tenants' data.")] = 7,
    scale: Annotated[int, typer.Option(min=3, help="Events for each of the busy tasks.")] = 40,
    proof: Annotated[
        bool,
        typer.Option(
            "--proof/--no-proof",
            help="Prove the containment of payouts; without, it is declared like that of the other tasks.",
        ),
    ] = True,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name every fault and end.")] = False,
) -> None:
    """Run the whole loop here: events in, both platforms run, differences out."""
    from sandbox.commerce.faults import DEFAULT_FAULTS, FAULTS
    from shadow.demo.processes import StartFailed
    from shadow.demo.proving import NotReady
    from shadow.demo.run import NotAccepted, Options

    console = Console()
    if list_faults:
        for name, fault in FAULTS.items():
            console.print(f"{name:32} {fault.task}: {fault.description}", highlight=False)
        return
    chosen = tuple(DEFAULT_FAULTS)
    if faults is not None:
        chosen = () if faults == NONE else tuple(name.strip() for name in faults.split(",") if name.strip())
    unknown = [name for name in chosen if name not in FAULTS]
    if unknown:
        typer.echo(f"no fault {', '.join(unknown)}; expected some of {', '.join(FAULTS)}, or none", err=True)
        raise typer.Exit(2)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        ok = asyncio.run(_play(Options(chosen, seed, scale, proof), console, keep=keep, as_json=as_json))
    except (StartFailed, NotAccepted, NotReady) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None
    raise typer.Exit(0 if ok else 1)


async def _play(options: Options, console: Console, *, keep: bool, as_json: bool) -> bool:
    from shadow.demo.run import cast
    from shadow.demo.table import show

    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):  # as for Ctrl-C: nothing that was started may stay behind
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    errors = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    ) as progress:
        bars = _Bars(progress)
        async with cast(options, bars) as players:
            plan = players.plan
            bars.stage("sending signed webhooks, inngest.send and tasks.trigger calls")
            await players.produce(plan, bars)
            bars.stage("waiting for both platforms and the judge")
            findings = await players.findings(plan, bars)
            progress.stop()
            if as_json:
                typer.echo(json.dumps(findings.as_json()))
            else:
                show(console, findings)
                _say_how_to_go_on(console, players.service.control_url, players.token, keep=keep)
            if keep:
                await asyncio.Event().wait()
            progress.start()
    return findings.ok


def _say_how_to_go_on(console: Console, control_url: str, token: str, *, keep: bool) -> None:
    console.print()
    if not keep:
        console.print("To look around in the pages afterwards: make demo ARGS=--keep", highlight=False, soft_wrap=True)
        return
    console.print(f"Pages: {control_url}/pages/", highlight=False, soft_wrap=True)
    console.print(f"Sign in there with the token {token}", highlight=False, soft_wrap=True)
    console.print(f"API: {control_url}/docs", highlight=False)
    console.print(f"For example: curl -H 'Authorization: Bearer {token}' {control_url}/v1/tasks", highlight=False)
    console.print("Ctrl-C ends it.", highlight=False)

"""`shadow noise`: what differs without meaning anything; rules proposed for it, and deciding on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.cli.judge import moment
from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, failed, opened, read_catalogue, who
from shadow.cli.replay import Wait, carried_out
from shadow.learning.looking import look as look_at
from shadow.learning.proposals import DecisionRefused, NothingToDecide
from shadow.learning.proposals import accept as accept_proposal
from shadow.learning.proposals import reject as reject_proposal
from shadow.observe import logs
from shadow.replays.starting import DEFAULT_LIMIT, LARGEST_LIMIT, Progress, Started, start_legacy_twice
from shadow.reports import proposals
from shadow.reports.proposal_shapes import ProposalView
from shadow.store.database import Database

app = typer.Typer(help="What differs without meaning anything: rules for it, proposed and reviewed.")

_DATA = Path(".shadow")
_CATALOGUE = Path("catalogue.yaml")
Task = Annotated[str, typer.Argument(help="The task, by its id in the catalogue.")]
Proposal = Annotated[UUID, typer.Argument(help="The proposal's id, as `shadow noise look` shows it.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept on record.")]
Actor = Annotated[str | None, typer.Option(help="Who decides; the system's user by default.")]


@app.command()
def measure(
    task: Task,
    reason: Annotated[
        str, typer.Option("--reason", "-r", help="Why a second run of legacy does no harm; kept on record.")
    ],
    events: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="The newest events, at most.")] = DEFAULT_LIMIT,
    wait: Wait = True,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 900,
    catalogue: CatalogueFile = _CATALOGUE,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Have legacy run recorded events again, without authority, and compare it with itself.

    Only the gateway contains such a run. Events whose recorded run did something past it are left out; that legacy
    writes nowhere else (a database of its own, say) is for you to know.
    """
    logs.configure(level="warning")
    resolved = read_catalogue(catalogue)

    def start(database: Database, progress: Progress) -> Awaitable[Started]:
        return start_legacy_twice(
            database,
            resolved,
            task,
            actor=who(actor),
            reason=reason,
            limit=events,
            progress=progress,
        )

    found = asyncio.run(carried_out(data, database_url, start, patience if wait else 0))
    verdicts = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(found.verdicts.items()))
    typer.echo(
        f"{found.pairs:,} events run again by legacy: {verdicts or 'no verdicts yet'}, {found.pending:,} pending"
    )
    for pair, because in found.skipped.items():
        typer.echo(f"not run again: {pair}: {because}")
    typer.echo(f"now: shadow noise look {task}")


@app.command()
def look(
    task: Task,
    since: Annotated[str, typer.Option(help="A UTC day, a moment, or how long ago.")] = "30d",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    catalogue: CatalogueFile = _CATALOGUE,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """Look at where recorded pairs of a task differ, and propose rules, each tried out on recorded pairs first."""
    logs.configure(level="warning")
    resolved = read_catalogue(catalogue)
    begin = moment(since, datetime.now(UTC))

    async def run() -> list[ProposalView]:
        async with opened(data, database_url) as database:
            database.vault.redaction = resolved.catalogue.redaction
            try:
                kept = await look_at(database, resolved, task, begin)
            except LookupError as error:
                raise failed(f"the catalogue has no task {task!r}") from error
            return (await proposals.of_task(database.engine, task, only=kept, limit=len(kept) or 1)).items

    found = asyncio.run(run())
    if as_json:
        typer.echo(orjson.dumps({"items": [one.model_dump(mode="json") for one in found]}).decode())
        return
    _show(found)


@app.command(name="list")
def list_proposals(
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """List what was found and decided, what is to be decided first."""
    logs.configure(level="warning")

    async def run() -> list[ProposalView]:
        async with opened(data, database_url) as database:
            return (await proposals.of_task(database.engine, task, limit=1000)).items

    _show(asyncio.run(run()))


@app.command()
def accept(
    proposal: Proposal,
    reason: Reason,
    until: Annotated[str, typer.Option(help="When the rule expires: a UTC day, or a duration such as 90d.")],
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Put a proposed rule in force until then. `shadow judge` judges with it what was judged before."""
    now = datetime.now(UTC)

    async def run() -> None:
        async with opened(data, database_url) as database:
            await accept_proposal(
                database, proposal, actor=who(actor), reason=reason, until=moment(until, now, ahead=True), now=now
            )

    _decided(run(), proposal)
    typer.echo("accepted: judges have the rule within half a minute")


@app.command()
def reject(
    proposal: Proposal,
    reason: Reason,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Decide against a proposal, or take an accepted rule back."""

    async def run() -> None:
        async with opened(data, database_url) as database:
            await reject_proposal(database, proposal, actor=who(actor), reason=reason)

    _decided(run(), proposal)
    typer.echo("rejected")


def _decided(run: Coroutine[Any, Any, None], proposal: UUID) -> None:
    logs.configure(level="warning")
    try:
        asyncio.run(run)
    except LookupError as error:
        raise failed(f"there is no proposal {proposal}; `shadow noise list` shows them") from error
    except (NothingToDecide, DecisionRefused) as error:
        raise failed(f"refused: {error}") from error


def _show(found: list[ProposalView]) -> None:
    if not found:
        typer.echo("nothing differs that a rule could speak of")
        return
    table = Table()
    for heading in ("id", "place", "legacy itself", "live", "rule", "would hide", "state"):
        table.add_column(heading, no_wrap=heading == "id")
    for one in found:
        twice, live, hides = one.evidence.legacy_twice, one.evidence.live, one.evidence.hides
        table.add_row(
            str(one.id),
            escape(f"{one.task}: {one.place}"),
            f"{twice.differed:,}/{twice.compared:,}",
            f"{live.differed:,}/{live.compared:,}",
            escape(_said(one)),
            "" if hides is None else f"{hides.pairs:,} of {hides.tried_on:,} pairs, {hides.to_match:,} to match",
            _state(one),
        )
    Console(width=None if Console().is_terminal else 240).print(table)


def _said(one: ProposalView) -> str:
    if one.settings is None:
        return f"{one.refusal}: {one.because}"
    left_out = ("scope", "path", "kind", "target", "operation", "reason", "type")
    options = ", ".join(f"{key} {value}" for key, value in one.settings.items() if key not in left_out)
    return f"{one.settings['type']}{f' ({options})' if options else ''}"


def _state(one: ProposalView) -> str:
    if one.state == "accepted" and one.expires_at is not None:
        return escape(f"accepted by {one.decided_by} until {one.expires_at:%Y-%m-%d}")
    return escape(f"{one.state} by {one.decided_by}") if one.decided_by and one.state == "rejected" else one.state

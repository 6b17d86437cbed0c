"""`shadow allow` and `shadow allowances`: deciding that a signature is acceptable, and taking that back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shadow.cli.lifetime import duration
from shadow.cli.options import DatabaseUrl, DataFolder, failed, opened, who
from shadow.judge.allowances import LONGEST, AllowanceRefused, Grant, UnknownSignature, grant
from shadow.judge.allowances import revoke as revoke_allowance
from shadow.observe import logs
from shadow.reports import allowances, signatures
from shadow.reports.shapes import AllowanceView

app = typer.Typer(help="What is acceptable by a reviewed decision.", invoke_without_command=True)

_DATA = Path(".shadow")
Actor = Annotated[str | None, typer.Option(help="Who decides; the system's user by default.")]


def allow(
    signature: Annotated[str, typer.Argument(help="The signature, as in `shadow report`.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why the difference is acceptable; kept on record.")],
    until: Annotated[
        str,
        typer.Option(help=f"When it expires: a UTC day, or a duration such as 14d; at most {LONGEST.days} days ahead."),
    ],
    tenant: Annotated[
        str | None, typer.Option(help="Only in pairs of this tenant; empty: of events without one.")
    ] = None,
    acknowledge_critical: Annotated[
        bool,
        typer.Option(
            "--acknowledge-critical",
            help="Needed for a critical signature: you know that money, recipients or effects themselves differ.",
        ),
    ] = False,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """Allow a difference: pairs that show nothing else are `allowed`, which is no match."""
    logs.configure(level="warning")
    now = datetime.now(UTC)
    wanted = Grant(signature, reason, _moment(until, now), tenant, acknowledge_critical)

    async def run() -> None:
        async with opened(data, database_url) as database:
            try:
                made = await grant(database, wanted, actor=who(actor), now=now)
            except UnknownSignature as error:
                raise failed(f"there is no signature {signature!r}; `shadow report TASK` lists them", 1) from error
            except AllowanceRefused as refusal:
                hint = "; pass --acknowledge-critical" if refusal.field == "acknowledge_critical" else ""
                raise failed(f"refused: {refusal}{hint}", 1) from refusal
            shown = await signatures.detail(database.engine, signature)
            assert shown is not None
            typer.echo(f"allowed until {wanted.until:%Y-%m-%d %H:%M} UTC: {shown.sentence}")
            pairs = "pair that shows it gets its" if shown.pairs == 1 else "pairs that show it get their"
            typer.echo(f"{made}: {shown.pairs:,} {pairs} verdict anew while `shadow work` runs")

    asyncio.run(run())


@app.callback()
def list_allowances(
    context: typer.Context,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
) -> None:
    """List what is allowed, newest first."""
    logs.configure(level="warning")
    if context.invoked_subcommand is not None:
        return

    async def run() -> list[AllowanceView]:
        async with opened(data, database_url) as database:
            found = await allowances.newest(database.engine, task=task, state=None if every else "standing", limit=1000)
            return found.items

    found = asyncio.run(run())
    if not found:
        typer.echo("nothing was ever allowed" if every else "nothing is allowed")
        return
    table = Table()
    for heading in ("id", "task", "signature", "tenant", "pairs", "up to", "state", "by", "reason"):
        table.add_column(heading, no_wrap=heading in ("id", "signature"))
    for one in found:
        tenant = "all" if one.tenant is None else one.tenant or "none"
        table.add_row(
            str(one.id),
            one.task,
            one.signature,
            escape(tenant),
            f"{one.pairs:,}",
            one.max_severity,
            _state(one),
            escape(one.actor),
            escape(one.reason),
        )
    Console(width=None if Console().is_terminal else 240).print(table)


@app.command()
def revoke(
    allowance: Annotated[UUID, typer.Argument(help="The allowance's id, as `shadow allowances` shows it.")],
    data: DataFolder = _DATA,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
) -> None:
    """End an allowance before its time; it stays on record."""

    async def run() -> bool:
        async with opened(data, database_url) as database:
            return await revoke_allowance(database, allowance, actor=who(actor))

    if not asyncio.run(run()):
        raise failed(f"no allowance {allowance} stands; `shadow allowances` lists those that do", 1)
    typer.echo(f"revoked {allowance}; its pairs get their verdict anew while `shadow work` runs")


def _moment(text: str, now: datetime) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return now + duration(text)
    return day


def _state(one: AllowanceView) -> str:
    if one.state == "standing":
        return f"until {one.expires_at:%Y-%m-%d %H:%M}" + (" (deciding)" if one.deciding else "")
    return f"{one.state} {one.ended_at or one.expires_at:%Y-%m-%d %H:%M}" + (
        f" by {one.ended_by}" if one.ended_by else ""
    )

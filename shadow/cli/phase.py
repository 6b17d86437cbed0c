"""`shadow phase`: move a task's route to another phase, with a reason on record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shadow.cli.options import CatalogueFile, DatabaseUrl, DataFolder, opened, read_catalogue, who
from shadow.cutover.decision import Phase
from shadow.cutover.moves import Move, MoveRefused
from shadow.steering.moving import move


def phase(
    task: Annotated[str, typer.Argument(help="Any task of the route; its tasks move together.")],
    to: Annotated[Phase, typer.Argument(metavar="PHASE", help="legacy, shadow, ramp, live or retired.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the audit.")],
    share: Annotated[
        int | None,
        typer.Option(min=0, max=100, help="Of ramp: percent of keys for which the candidate has authority."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Of ramp: a key that goes to the candidate in any case. Repeat it; '' empties the list."),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(help="Of ramp: a key that stays with legacy in any case. Repeat it; '' empties the list."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Past a closed gate, or past the phases between.")] = False,
    catalogue: CatalogueFile = Path("catalogue.yaml"),
    data: DataFolder = Path(".shadow"),
    database_url: DatabaseUrl = None,
    actor: Annotated[str | None, typer.Option(help="Who moves it; the system's user by default.")] = None,
) -> None:
    """Move a task to another phase, or to another share of a ramp.

    Forward goes through the open gates of its route's tasks, or by force; back is always allowed. What is not said of
    a ramp stays as it was. Every move is audited.
    """
    resolved = read_catalogue(catalogue)
    console = Console()

    async def run() -> None:
        async with opened(data, database_url) as database:
            try:
                done = await move(
                    database,
                    resolved,
                    task,
                    to,
                    actor=who(actor),
                    reason=reason,
                    share=share,
                    allow=_keys(allow),
                    deny=_keys(deny),
                    force=force,
                )
            except MoveRefused as refusal:
                typer.echo(f"refused: {refusal}", err=True)
                raise typer.Exit(1) from refusal
            console.print(_told(done))

    asyncio.run(run())


def _keys(given: list[str] | None) -> list[str] | None:
    """The keys; None where the option was not given, so that the list stays as it was."""
    return [key for key in given if key] if given else None


def _told(done: Move) -> str:
    before, after = (
        f"{phase} {share} %" if phase is Phase.RAMP else phase.value
        for phase, share in ((done.from_phase, done.from_share), (done.to_phase, done.to_share))
    )
    lists = "".join(
        f", {word} {', '.join(keys)}" for word, keys in (("allowed:", done.allow), ("denied:", done.deny)) if keys
    )
    forced = ", by force" if done.forced else ""
    together = f"; with it move {', '.join(done.together)}" if done.together else ""
    return (
        f"{', '.join(done.tasks)}: {before} -> {after}{lists} from {done.effective_at:%H:%M:%S} UTC{forced}{together}"
    )

"""`shadow notices`: who is told of what, and whether that works."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from shadow.catalogue.problems import one_of
from shadow.cli.options import CatalogueFile, failed, read_catalogue
from shadow.model.ids import new_id
from shadow.notices.messages import trial
from shadow.notices.sending import Channel, Result
from shadow.observe import logs

app = typer.Typer(help="Channels that are told of what happens.", no_args_is_help=True)

_CATALOGUE = Path("catalogue.yaml")


@app.callback()
def _quiet() -> None:
    """Channels that are told of what happens."""
    logs.configure(level="warning")


@app.command("test")
def test_channel(
    channel: Annotated[str, typer.Argument(help="As the catalogue's `notifications.channels` names it.")],
    catalogue: CatalogueFile = _CATALOGUE,
) -> None:
    """Send a message that only shows that the channel works. Exit 1 when it is not taken."""
    notifications = read_catalogue(catalogue).catalogue.notifications
    if channel not in notifications.channels:
        raise failed(f"channel {channel!r}: expected {one_of(notifications.channels, channel)}")

    async def run() -> Result:
        sender = Channel(channel, notifications.channels[channel], notifications.links)
        try:
            return await sender.send(trial(new_id(), channel, datetime.now(UTC)))
        finally:
            await sender.close()

    result = asyncio.run(run())
    if result.error is not None:
        raise failed(f"{channel}: {result.error}", 1)
    typer.echo(f"{channel}: sent")

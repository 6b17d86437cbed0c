"""Options that several commands share, and the database they lead to."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from shadow.catalogue import CatalogueError, ResolvedCatalogue, load
from shadow.sealing.master import SEALING_PROBLEMS, given
from shadow.store import embedded
from shadow.store.database import Database

CatalogueFile = Annotated[
    Path,
    typer.Option(
        "--catalogue",
        "-c",
        envvar="SHADOW_CATALOGUE",
        help="The YAML file of platforms, sources and tasks.",
        dir_okay=False,
    ),
]
DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="SHADOW_DATA", help="Where the embedded database lies when no URL is given."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="SHADOW_DATABASE_URL",
        help="An external PostgreSQL (15 or newer); embedded when unset.",
        show_envvar=True,
    ),
]
Actor = Annotated[str | None, typer.Option(help="Who does it, for the audit; the system's user by default.")]
DirectUrl = Annotated[
    str | None,
    typer.Option(
        "--database-direct-url",
        envvar="SHADOW_DATABASE_DIRECT_URL",
        help="Past pgbouncer, for LISTEN and migrations.",
    ),
]


def read_catalogue(path: Path) -> ResolvedCatalogue:
    """The catalogue, or exit 2 with its problems, a line each."""
    try:
        return load(path)
    except FileNotFoundError:
        typer.echo(f"{path}: no such file; name the catalogue with --catalogue FILE", err=True)
    except CatalogueError as error:
        typer.echo(str(error), err=True)
    raise typer.Exit(2)


def who(actor: str | None) -> str:
    """Who does what a command does."""
    try:
        return actor or getpass.getuser()
    except (KeyError, OSError):  # a container's user may be a number alone
        return f"uid {os.getuid()}"


def failed(message: str, code: int = 2) -> typer.Exit:
    """What to raise when a command can't do what it was asked for; the message goes to standard error."""
    typer.echo(message, err=True)
    return typer.Exit(code)


@asynccontextmanager
async def opened(data: Path, url: str | None, direct_url: str | None = None) -> AsyncIterator[Database]:
    """The migrated database of these options; the embedded server is joined, or started for the while.

    Exit 2 when something has to be sealed or opened, and the master key is missing or another one.
    """
    server = None
    find_key = partial(given, data if url is None else None)
    if url is None:
        url, server = embedded.start(data)
    database = Database(url, direct_url or "", find_key)
    try:
        await database.prepare()
        yield database
    except SEALING_PROBLEMS as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    finally:
        await database.close()
        if server is not None:
            server.cleanup()

"""Secrets that a command makes and ends: how long they last, and how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError

from shadow.access import tokens
from shadow.catalogue.values import Duration
from shadow.cli.options import failed
from shadow.egress import keys

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


Overlap = Annotated[str, typer.Option(help="How long the old one stays valid beside the new one.")]
NewOnesLife = Annotated[
    str | None,
    typer.Option("--expires", help="How long the new one is valid; as long as the old one was made for by default."),
]


class Lasting(Protocol):
    """A token or key, as far as its life goes."""

    @property
    def id(self) -> UUID: ...

    @property
    def expires_at(self) -> datetime | None: ...

    @property
    def revoked_at(self) -> datetime | None: ...

    def valid(self, now: datetime) -> bool: ...


def duration(text: str) -> timedelta:
    """How long a secret shall last.

    Raises:
        typer.BadParameter: it is no duration.
    """
    try:
        return _DURATION.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(f"found {text!r}, expected a duration such as 12h, 90d or 4w") from error


def state(secret: Lasting, now: datetime) -> str:
    """How a secret stands, in words."""
    if secret.revoked_at is not None:
        return f"revoked {secret.revoked_at:%Y-%m-%d}"
    if not secret.valid(now):
        return "expired"
    return "valid" if secret.expires_at is None else f"valid until {secret.expires_at:%Y-%m-%d %H:%M}"


def show_rotated(rotating: Coroutine[Any, Any, tuple[str, Sequence[Lasting]]]) -> None:
    """Rotate, and print the new secret; until when the old ones are valid goes to stderr.

    Raises:
        typer.Exit, typer.BadParameter: there is none of that name, or it can't be rotated so.
    """
    try:
        secret, old = asyncio.run(rotating)
    except (tokens.NothingToRotate, keys.NothingToRotate) as error:
        raise failed(str(error), 1) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for one in old:
        typer.echo(f"the old one ({one.id}) is valid until {one.expires_at:%Y-%m-%d %H:%M:%S} UTC", err=True)
    typer.echo(secret)

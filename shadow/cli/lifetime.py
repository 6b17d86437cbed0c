"""Secrets that a command makes and ends: how long they last, and how they stand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import typer
from pydantic import TypeAdapter, ValidationError

from shadow.catalogue.values import Duration

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


class Lasting(Protocol):
    """A token or key, as far as its life goes."""

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

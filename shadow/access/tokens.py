"""Bearer tokens of the control API: shown once when issued, kept as a hash, limited by scope and time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.model.ids import new_id
from shadow.store.tables import tokens

PREFIX = "shadow_"
"""What every token begins with, so that scanners and people know one."""

_RANDOM_BYTES = 32
"""As much entropy as the hash has bits: a plain SHA-256 needs no salt then, and no stretching."""


class Scope(StrEnum):
    """What a token allows. Neither includes the other."""

    READ = "read"
    """Reports and metrics."""
    OPERATE = "operate"
    """Moving routes and sending dead letters again."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but itself."""

    id: UUID
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def issue(
    engine: AsyncEngine, name: str, scopes: Iterable[Scope], *, expires_at: datetime | None = None
) -> tuple[str, Token]:
    """Make a token.

    Returns:
        The token itself, which nobody can be told again, and what is kept of it.

    Raises:
        ValueError: no name, no scope, or an expiry that has passed.
    """
    now = datetime.now(UTC)
    if not name.strip():
        raise ValueError("a token needs a name that says who uses it")
    granted = frozenset(scopes)
    if not granted:
        raise ValueError("a token needs a scope: read, operate or both")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"a token can't expire in the past, found {expires_at.isoformat()}")
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    token = Token(new_id(), name.strip(), granted, now, expires_at, None)
    async with engine.begin() as connection:
        await connection.execute(
            tokens.insert().values(
                id=token.id,
                name=token.name,
                digest=_digest(secret),
                scopes=sorted(granted),
                created_at=now,
                expires_at=expires_at,
            )
        )
    return secret, token


async def find(engine: AsyncEngine, secret: str) -> Token | None:
    """The token that `secret` is, while it is valid; None for any other text."""
    if not secret.startswith(PREFIX):
        return None
    async with engine.connect() as connection:
        row = (await connection.execute(select(*COLUMNS).where(tokens.c.digest == _digest(secret)))).one_or_none()
    if row is None:
        return None
    token = token_of(*row)
    return token if token.valid(datetime.now(UTC)) else None


async def every(engine: AsyncEngine) -> list[Token]:
    """All tokens ever issued, newest first."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(*COLUMNS).order_by(tokens.c.id.desc()))
        return [token_of(*row) for row in rows]


async def revoke(engine: AsyncEngine, name: str) -> list[Token]:
    """End the tokens of that name, or the one with that id, at once.

    Returns:
        Those that were valid until now.
    """
    condition = tokens.c.name == name
    with suppress(ValueError):  # then it is a name
        condition = or_(condition, tokens.c.id == UUID(name))
    async with engine.begin() as connection:
        rows = await connection.execute(
            update(tokens)
            .where(condition, tokens.c.revoked_at.is_(None))
            .values(revoked_at=datetime.now(UTC))
            .returning(*COLUMNS)
        )
        return [token_of(*row) for row in rows]


COLUMNS = (
    tokens.c.id,
    tokens.c.name,
    tokens.c.scopes,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
)
"""What `token_of` takes, in its order."""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def token_of(
    identifier: UUID,
    name: str,
    scopes: list[str],
    created_at: datetime,
    expires_at: datetime | None,
    revoked_at: datetime | None,
) -> Token:
    """A row of these columns."""
    granted = frozenset(Scope(scope) for scope in scopes)
    return Token(identifier, name, granted, created_at, expires_at, revoked_at)

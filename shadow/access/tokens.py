"""Bearer tokens of the control API: shown once when issued, kept as a hash, limited by scope, tenants and time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.model.ids import new_id
from shadow.store.acts import NOBODY, Act, ActKind, until
from shadow.store.tables import acts, tokens

PREFIX = "shadow_"
"""What every token begins with, so that scanners and people know one."""

_RANDOM_BYTES = 32
"""As much entropy as the hash has bits: a plain SHA-256 needs no salt then, and no stretching."""

Tenants = frozenset[str] | None
"""Of whom is told: these tenants alone; None: everything, events without a tenant too."""


class Scope(StrEnum):
    """What a token allows. None includes another."""

    READ = "read"
    """Reports and metrics."""
    OPERATE = "operate"
    """Moving routes and sending dead letters again."""
    RAW = "raw"
    """Opening originals: personal data as it came. Every read is on record."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but itself."""

    id: UUID
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    tenants: Tenants = None
    """To which it is limited; None: to none of them."""

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NothingToRotate(LookupError):
    """No valid token has that name, or several have it that differ."""


async def issue(
    engine: AsyncEngine,
    name: str,
    scopes: Iterable[Scope],
    *,
    expires_at: datetime | None = None,
    tenants: Iterable[str] | None = None,
    actor: str = NOBODY,
) -> tuple[str, Token]:
    """Make a token. It is on record, as every change of one is.

    Args:
        actor: who makes it.
        tenants: to which it is limited; None: to none.

    Returns:
        The token itself, which nobody can be told again, and what is kept of it.

    Raises:
        ValueError: no name, no scope, no tenant where it shall be limited to some, or an expiry that has passed.
    """
    now = datetime.now(UTC)
    if not name.strip():
        raise ValueError("a token needs a name that says who uses it")
    granted = frozenset(scopes)
    if not granted:
        raise ValueError("a token needs a scope: read, operate or raw")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"a token can't expire in the past, found {expires_at.isoformat()}")
    limited = None if tenants is None else frozenset(tenants)
    if limited is not None and (not limited or "" in limited):
        raise ValueError("a token that is limited to tenants needs the name of each, none of them empty")
    async with engine.begin() as connection:
        secret, token = await _insert(connection, name.strip(), granted, now, expires_at, limited)
        await _record(connection, actor, f"made {_described(token)}, valid {until(expires_at)}", token)
        return secret, token


async def _insert(
    connection: AsyncConnection,
    name: str,
    scopes: frozenset[Scope],
    now: datetime,
    expires_at: datetime | None,
    tenants: Tenants,
) -> tuple[str, Token]:
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    token = Token(new_id(), name, scopes, now, expires_at, None, tenants)
    await connection.execute(
        tokens.insert().values(
            id=token.id,
            name=token.name,
            digest=_digest(secret),
            scopes=sorted(scopes),
            created_at=now,
            expires_at=expires_at,
            tenants=None if tenants is None else sorted(tenants),
        )
    )
    return secret, token


async def find(engine: AsyncEngine, secret: str) -> Token | None:
    """The token that `secret` is, while it is valid; None for any other text.

    Looked up by its SHA-256: how long that takes tells nothing of a token that is kept.
    """
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


async def revoke(engine: AsyncEngine, name: str, *, actor: str = NOBODY) -> list[Token]:
    """End the tokens of that name, or the one with that id, at once.

    Returns:
        Those that were valid until now.
    """
    async with engine.begin() as connection:
        rows = await connection.execute(
            update(tokens)
            .where(_called(name), tokens.c.revoked_at.is_(None))
            .values(revoked_at=datetime.now(UTC))
            .returning(*COLUMNS)
        )
        ended = [token_of(*row) for row in rows]
        for token in ended:
            await _record(connection, actor, f"revoked {_described(token)}", token)
        return ended


async def rotate(
    engine: AsyncEngine, name: str, *, overlap: timedelta, expires_at: datetime | None = None, actor: str = NOBODY
) -> tuple[str, Token, list[Token]]:
    """Make a token that may what those of that name may, and let these end when `overlap` is over.

    Args:
        overlap: how long both are valid; a token that ends sooner by itself still does.
        expires_at: of the new one; by default it is valid as long as the old one was made for.

    Returns:
        The token itself, what is kept of it, and the old ones with the end that they have now.

    Raises:
        NothingToRotate: no valid token is called so, or several that may do different things.
        ValueError: an expiry that has passed, or an overlap that is negative.
    """
    now = datetime.now(UTC)
    if overlap < timedelta():
        raise ValueError("an overlap can't be negative")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"a token can't expire in the past, found {expires_at.isoformat()}")
    valid = and_(tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
    async with engine.begin() as connection:
        query = select(*COLUMNS).where(_called(name), valid).order_by(tokens.c.id.desc()).with_for_update()
        old = [token_of(*row) for row in await connection.execute(query)]
        if not old:
            raise NothingToRotate(f"there is no valid token {name!r}; `shadow token list` shows them")
        newest = old[0]
        if any((one.scopes, one.tenants) != (newest.scopes, newest.tenants) for one in old):
            raise NothingToRotate(f"several tokens are called {name!r} and may different things: name one by its id")
        if expires_at is None and newest.expires_at is not None:
            expires_at = now + (newest.expires_at - newest.created_at)
        secret, token = await _insert(connection, newest.name, newest.scopes, now, expires_at, newest.tenants)
        rows = await connection.execute(
            update(tokens)
            .where(tokens.c.id.in_([one.id for one in old]))
            .values(expires_at=func.least(tokens.c.expires_at, now + overlap))
            .returning(*COLUMNS)
        )
        ended = [token_of(*row) for row in rows]
        says = f"rotated {_described(token)}, the new one valid {until(expires_at)}, the old until"
        ends = max(one.expires_at for one in ended if one.expires_at is not None)
        await _record(connection, actor, f"{says} {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC", token)
        return secret, token, ended


COLUMNS = (
    tokens.c.id,
    tokens.c.name,
    tokens.c.scopes,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
    tokens.c.tenants,
)
"""What `token_of` takes, in its order."""


def _called(name: str) -> ColumnElement[bool]:
    """Whether a token has that name, or that id."""
    with suppress(ValueError):  # then it is a name
        return or_(tokens.c.name == name, tokens.c.id == UUID(name))
    return tokens.c.name == name


async def _record(connection: AsyncConnection, actor: str, says: str, token: Token) -> None:
    await connection.execute(acts.insert().values(**Act(actor, ActKind.TOKEN, says, link=str(token.id)).row()))


def _described(token: Token) -> str:
    limit = "" if token.tenants is None else f" for {', '.join(sorted(token.tenants))}"
    return f"the token {token.name!r} ({', '.join(sorted(token.scopes))}{limit})"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def token_of(
    identifier: UUID,
    name: str,
    scopes: list[str],
    created_at: datetime,
    expires_at: datetime | None,
    revoked_at: datetime | None,
    tenants: list[str] | None,
) -> Token:
    """A row of these columns."""
    granted = frozenset(Scope(scope) for scope in scopes)
    limited = None if tenants is None else frozenset(tenants)
    return Token(identifier, name, granted, created_at, expires_at, revoked_at, limited)

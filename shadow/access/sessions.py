"""Who is signed in to the pages: a random secret in the browser, kept here as a hash, bound to a token.

A session ends with its token (revoked or expired), by signing out, after `IDLE` without a request, or after `LONGEST`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.access import tokens as known
from shadow.access.tokens import Token
from shadow.store.tables import page_sessions, tokens

IDLE = timedelta(hours=1)
"""How long nobody need be there for a session to end."""
LONGEST = timedelta(hours=12)
"""How long a session may last, however much it is used."""

_RANDOM_BYTES = 32
_SLACK = timedelta(minutes=1)
"""A session is moved on at most this often, so that looking at pages seldom writes."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in."""

    token: Token
    form_token: str
    """What forms carry: whoever can't read the pages can't know it."""


async def begin(engine: AsyncEngine, token: Token, *, now: datetime | None = None) -> str:
    """Sign the holder of a token in; returns the secret for the browser. Sessions that have ended are cleared away."""
    moment = now or datetime.now(UTC)
    secret = secrets.token_urlsafe(_RANDOM_BYTES)
    async with engine.begin() as connection:
        await connection.execute(delete(page_sessions).where(page_sessions.c.expires_at <= moment))
        await connection.execute(
            page_sessions.insert().values(
                digest=_digest(secret), token=token.id, made_at=moment, expires_at=moment + IDLE
            )
        )
    return secret


async def find(engine: AsyncEngine, secret: str, *, now: datetime | None = None) -> Session | None:
    """The session of that secret while it and its token hold; being used moves its end on."""
    moment = now or datetime.now(UTC)
    digest = _digest(secret)
    query = (
        select(page_sessions.c.made_at, page_sessions.c.expires_at, *known.COLUMNS)
        .join(tokens, tokens.c.id == page_sessions.c.token)
        .where(page_sessions.c.digest == digest)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    made_at, expires_at, *columns = row
    token = known.token_of(*columns)
    if moment >= expires_at or not token.valid(moment):
        return None
    end = min(moment + IDLE, made_at + LONGEST)
    if end - expires_at >= _SLACK:
        async with engine.begin() as connection:
            later = func.greatest(page_sessions.c.expires_at, end)
            await connection.execute(
                update(page_sessions).where(page_sessions.c.digest == digest).values(expires_at=later)
            )
    return Session(token, hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest())


async def end(engine: AsyncEngine, secret: str) -> None:
    """Sign out; harmless when nobody is signed in."""
    async with engine.begin() as connection:
        await connection.execute(delete(page_sessions).where(page_sessions.c.digest == _digest(secret)))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()

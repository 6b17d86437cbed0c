"""Egress keys: the placeholder credential that a side's workers hold. Kept as a hash; several may be valid at once."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue.model import Side
from shadow.catalogue.outside import Credential
from shadow.model.ids import new_id
from shadow.store.acts import NOBODY, Act, ActKind, record, until
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

PREFIX = "shk_"
"""What every key begins with, so that scanners and people know one."""
HEADER = "x-shadow-key"
CHANNEL = "shadow_egress_keys"
POLL_SECONDS = 1.0
_RANDOM_BYTES = 32
"""As much entropy as the hash has bits: a plain SHA-256 needs no salt then, and no stretching."""

_ISSUE = "INSERT INTO egress_keys (id, side, name, digest, created_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)"
_EVERY = "SELECT id, side, name, created_at, expires_at, revoked_at FROM egress_keys ORDER BY id DESC"
_REVOKE = """
UPDATE egress_keys SET revoked_at = now() WHERE (name = %s OR id = %s) AND revoked_at IS NULL
RETURNING id, side, name, created_at, expires_at, revoked_at
"""
_LATEST = """
SELECT side, created_at, expires_at FROM egress_keys
WHERE (name = %(name)s OR id = %(id)s) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY id DESC FOR UPDATE
"""
_END = """
UPDATE egress_keys SET expires_at = least(expires_at, %(end)s)
WHERE (name = %(name)s OR id = %(id)s) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
RETURNING id, side, name, created_at, expires_at, revoked_at
"""
_VALID = """
SELECT digest, id, side, expires_at FROM egress_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
_NOTIFY = f"NOTIFY {CHANNEL}"


class NothingToRotate(LookupError):
    """No valid key has that name, or keys of both sides have it."""


@dataclass(frozen=True, slots=True)
class EgressKey:
    """A key as it is kept: everything but itself."""

    id: UUID
    side: Side
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def issue(
    database: Database, side: Side, name: str, *, expires_at: datetime | None = None, actor: str = NOBODY
) -> tuple[str, EgressKey]:
    """Make a key. It is on record, as every change of one is.

    Args:
        actor: who makes it.

    Returns:
        The key itself, which nobody can be told again, and what is kept of it.

    Raises:
        ValueError: no name, or an expiry that has passed.
    """
    now = datetime.now(UTC)
    if not name.strip():
        raise ValueError("a key needs a name that says which workers hold it")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"a key can't expire in the past, found {expires_at.isoformat()}")
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = EgressKey(new_id(), side, name.strip(), now, expires_at, None)
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(_ISSUE, (key.id, side.value, key.name, _digest(secret), now, expires_at))
        await record(connection, [_act(actor, f"made {_described(key)}, valid {until(expires_at)}", key)])
        await connection.execute(_NOTIFY)
    return secret, key


async def every(database: Database) -> list[EgressKey]:
    """All keys ever issued, newest first."""
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_EVERY)
        return [_key(row) for row in await cursor.fetchall()]


async def revoke(database: Database, name: str, *, actor: str = NOBODY) -> list[EgressKey]:
    """End the keys of that name, or the one with that id, at once.

    Returns:
        Those that were valid until now.
    """
    identifier = None
    with suppress(ValueError):  # then it is a name
        identifier = UUID(name)
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_REVOKE, (name, identifier))
        ended = [_key(row) for row in await cursor.fetchall()]
        await record(connection, [_act(actor, f"revoked {_described(key)}", key) for key in ended])
        await connection.execute(_NOTIFY)
    return ended


async def rotate(
    database: Database, name: str, *, overlap: timedelta, expires_at: datetime | None = None, actor: str = NOBODY
) -> tuple[str, EgressKey, list[EgressKey]]:
    """Make a key of the same side and name, and let those that were valid end when `overlap` is over.

    Args:
        expires_at: of the new one; by default it is valid as long as the old one was made for.

    Returns:
        The key itself, what is kept of it, and the old ones with the end that they have now.

    Raises:
        NothingToRotate: no valid key is called so, or both sides have one.
        ValueError: an expiry that has passed, or an overlap that is negative.
    """
    now = datetime.now(UTC)
    if overlap < timedelta():
        raise ValueError("an overlap can't be negative")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"a key can't expire in the past, found {expires_at.isoformat()}")
    identifier = None
    with suppress(ValueError):  # then it is a name
        identifier = UUID(name)
    asked = {"name": name, "id": identifier, "now": now, "end": now + overlap}
    async with database.connection(Work.CONTROL) as connection:
        found = await (await connection.execute(_LATEST, asked)).fetchall()
        if not found:
            raise NothingToRotate(f"there is no valid key {name!r}; `shadow egress-key list` shows them")
        if len({side for side, _, _ in found}) > 1:
            raise NothingToRotate(f"both sides have a key {name!r}: name one by its id")
        side, made, ends = found[0]
        if expires_at is None and ends is not None:
            expires_at = now + (ends - made)
        old = [_key(row) for row in await (await connection.execute(_END, asked)).fetchall()]
        secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        key = EgressKey(new_id(), Side(side), old[0].name, now, expires_at, None)
        await connection.execute(_ISSUE, (key.id, side, key.name, _digest(secret), now, expires_at))
        says = f"rotated {_described(key)}, the new one valid {until(expires_at)}, the old until"
        ends = max(one.expires_at for one in old if one.expires_at is not None)
        await record(connection, [_act(actor, f"{says} {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC", key)])
        await connection.execute(_NOTIFY)
    return secret, key, old


def _act(actor: str, says: str, key: EgressKey) -> Act:
    return Act(actor, ActKind.EGRESS_KEY, says, link=str(key.id))


def _described(key: EgressKey) -> str:
    return f"the egress key {key.name!r} of {key.side.value}"


def _key(row: tuple[UUID, str, str, datetime, datetime | None, datetime | None]) -> EgressKey:
    identifier, side, name, created_at, expires_at, revoked_at = row
    return EgressKey(identifier, Side(side), name, created_at, expires_at, revoked_at)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose key a call carries."""

    side: Side
    key: UUID
    expires_at: datetime | None


class EgressKeys:
    """The valid keys, as this process knows them: they outlive a database that is down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holders: dict[bytes, Holder] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        async with self._database.connection(Work.CONTROL) as connection:
            await self._read(connection)
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="egress-keys")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def holder(self, secret: str) -> Holder | None:
        """Who holds that key; None for any other text. Looked up by digest, so that timing tells nothing."""
        if not secret.startswith(PREFIX):
            return None
        holder = self._holders.get(_digest(secret))
        if holder is None or (holder.expires_at is not None and holder.expires_at <= datetime.now(UTC)):
            return None
        return holder

    async def refresh(self) -> None:
        """Read the keys now."""
        async with self._database.connection(Work.CONTROL) as connection:
            await self._read(connection)

    async def _read(self, connection: Connection) -> None:
        cursor = await connection.execute(_VALID)
        self._holders = {
            bytes(digest): Holder(Side(side), identifier, expires_at)
            for digest, identifier, side, expires_at in await cursor.fetchall()
        }

    async def _follow(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        await self._read(connection)
                        async for _notice in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except psycopg.Error as error:
                log.warning("egress.keys_unreachable", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)


def offered(
    headers: Mapping[str, str], query: Mapping[str, object], credential: Credential | None, in_path: str | None
) -> Iterator[str]:
    """The texts of a call that may be its key, in the order in which they are looked at."""
    if own := headers.get(HEADER):
        yield own
    if credential is not None:
        if credential.header is not None:
            yield from _in_header(headers.get(credential.header.lower(), ""))
        if credential.query is not None and isinstance(value := query.get(credential.query), str):
            yield value
    yield from _in_header(headers.get("authorization", ""))
    if in_path:
        yield in_path


def _in_header(value: str) -> Iterator[str]:
    """`KEY`, `Bearer KEY`, or `Basic` with the key as user or password."""
    if not value:
        return
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic" and rest:
        with suppress(binascii.Error, ValueError):
            user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
            yield from filter(None, (password, user))
    elif rest:
        yield rest
    else:
        yield value

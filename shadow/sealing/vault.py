"""The vault: seals originals and opens them again, and knows the key with which a tenant's evidence is hashed.

A tenant's key is made when it is needed first and kept in memory from then on: sealing costs no round trip. Every
process that runs for long follows which keys are being forgotten. A forgotten key is destroyed `LEAD` after everybody
has been told, so nothing that is accepted afterwards is sealed by it.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue.outside import Redaction
from shadow.model.ids import new_id
from shadow.sealing.master import LENGTH, MasterKey
from shadow.sealing.sealed import TenantKey, key_of
from shadow.store import codec
from shadow.store.acts import NOBODY, Act, ActKind, record
from shadow.store.database import Database, Work
from shadow.store.patience import patience

log = structlog.get_logger(__name__)

LEAD = timedelta(seconds=5)
"""From when a key stops being used to when it is destroyed."""
POLL_SECONDS = 1.0
_STALE_SECONDS = 2.5
"""Without news for longer than this, keys are looked up again before they are used."""
_PATIENCE_SECONDS = 5.0
"""How long the database is waited for: whoever brings an event waits with it."""
_INDEX = "\x1fbusiness keys"
"""In the place of a tenant: whose key the index of business keys is hashed with. No tenant is called so."""
_OUTSIDE = b"outside the database"
_MOST = 20_000
"""Tenants whose keys are in memory."""

_FIND = b"SELECT id, tenant, wrapped FROM sealing_keys WHERE tenant = ANY(%s::text[]) AND forgotten_at IS NULL"
_MAKE = b"""
INSERT INTO sealing_keys (id, tenant, wrapped)
SELECT id, tenant, wrapped FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS key (id, tenant, wrapped)
ORDER BY tenant
ON CONFLICT (tenant) WHERE forgotten_at IS NULL DO NOTHING
"""
_BY_ID = b"SELECT id, tenant, wrapped, forgotten_at <= now() FROM sealing_keys WHERE id = ANY(%s::uuid[])"
_FORGOTTEN = b"""
SELECT id, wrapped IS NULL OR forgotten_at <= now() FROM sealing_keys WHERE forgotten_at > now() - interval '1 hour'
"""
_END = b"UPDATE sealing_keys SET forgotten_at = now() + %s WHERE tenant = %s AND forgotten_at IS NULL"
_DESTROY = b"UPDATE sealing_keys SET wrapped = NULL WHERE forgotten_at <= now() AND wrapped IS NOT NULL"
_DESTROY_OF = b"""
UPDATE sealing_keys SET wrapped = NULL WHERE forgotten_at IS NOT NULL AND tenant = %s AND wrapped IS NOT NULL
"""
_UNKNOW = b"""
DELETE FROM run_keys USING runs JOIN events ON events.id = runs.event_id
WHERE run_keys.run_id = runs.id AND coalesce(events.tenant, '') = %s
"""
_ALL = b"SELECT id, tenant, wrapped FROM sealing_keys WHERE wrapped IS NOT NULL ORDER BY id FOR UPDATE"
_REWRAP = b"""
UPDATE sealing_keys SET wrapped = fresh.wrapped FROM unnest(%s::uuid[], %s::bytea[]) AS fresh (id, wrapped)
WHERE sealing_keys.id = fresh.id
"""


class Forgotten(Exception):
    """The key of a sealed original was destroyed: its tenant was forgotten."""

    def __init__(self, tenant: str) -> None:
        who = f"tenant {tenant!r}" if tenant else "what has no tenant"
        super().__init__(f"forgotten: the key of {who} was destroyed, and what was sealed by it can't be read")
        self.tenant = tenant


class UnknownKey(Exception):
    """A body is sealed by a key that is not in the database."""

    def __init__(self, key: UUID) -> None:
        super().__init__(f"sealed by a key that the database does not have: {key}")


class Vault:
    """The keys of one database, in this process."""

    def __init__(self, database: Database, master: MasterKey, redaction: Redaction | None = None) -> None:
        self._database = database
        self._master = master
        self.redaction = redaction or Redaction()
        """What the catalogue says is to be hashed in evidence, and what not."""
        self.losses = 0
        """How often keys were found to be forgotten. What is remembered of originals counts no longer then."""
        self._of_tenant: dict[str, TenantKey] = {}
        self._by_id: dict[UUID, TenantKey | str] = {}
        """Keys; of a forgotten one its tenant."""
        self._heard_at = float("-inf")
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Keep up with what is forgotten, until `stop`.

        Raises:
            WrongSealingKey: the database's keys were wrapped by another master key.
        """
        await self.ready([None])
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None

    def is_ready(self, tenants: Iterable[str | None]) -> bool:
        """Whether `ready` would find all that it looks for in memory."""
        if time.monotonic() - self._heard_at > _STALE_SECONDS:
            return False
        return all((tenant or "") in self._of_tenant for tenant in tenants)

    async def ready(self, tenants: Iterable[str | None]) -> None:
        """Have the keys of these tenants at hand; `key` and `seal` may then be called for them, until something else is
        awaited.

        Raises:
            WrongSealingKey: they were wrapped by another master key.
        """
        if time.monotonic() - self._heard_at > _STALE_SECONDS:
            await self._hear()
        wanted = {tenant or "" for tenant in tenants}
        # Again, should others have filled the memory meanwhile, or a key have been forgotten.
        while missing := wanted - self._of_tenant.keys():
            await self._look_up(sorted(missing))

    def key(self, tenant: str | None) -> TenantKey:
        """The tenant's present key.

        Raises:
            KeyError: the vault was not made `ready` for it.
        """
        return self._of_tenant[tenant or ""]

    async def business_keys(self) -> bytes:
        """What hashes the values by which runs are known: one key for all, as a call does not say its tenant. It is
        kept wrapped as a tenant's is, so that it outlives the master key."""
        await self.ready([_INDEX])
        return self._of_tenant[_INDEX].index

    def seal(self, tenant: str | None, body: bytes, part: str, content: bytes) -> bytes:
        """The stored form of an original: compressed where that pays, then sealed.

        Args:
            body: the 16 bytes of its id.

        Raises:
            KeyError: the vault was not made `ready` for the tenant.
        """
        return self._of_tenant[tenant or ""].seal(body, part, codec.encode(content))

    def seal_all(self, bodies: Iterable[tuple[str | None, bytes, str, bytes]]) -> list[bytes]:
        """`seal` of many: tenant, id, part and content of each."""
        keys, encode = self._of_tenant, codec.encode
        return [keys[tenant or ""].seal(body, part, encode(content)) for tenant, body, part, content in bodies]

    async def open(self, bodies: Sequence[tuple[UUID, str, bytes]]) -> list[bytes | Forgotten]:
        """The originals in stored bodies (id, part, content), in their order. Those that are not sealed are of a time
        before there were keys.

        Raises:
            Tampered: a body is not what was sealed there.
            UnknownKey: the key of one is gone without having been forgotten.
        """
        stored = [(body.bytes, part, bytes(content)) for body, part, content in bodies]
        sealed_by = {key_of(content) for _, _, content in stored if codec.is_sealed(content)}
        if time.monotonic() - self._heard_at > _STALE_SECONDS:
            await self._hear()
        await self._look_up_ids(sorted(sealed_by - self._by_id.keys()))
        return [self._opened(*one) for one in stored]

    def lock(self, content: bytes) -> bytes:
        """What has to be kept outside the database for a while. Needs no database."""
        return self._master.wrap(content, _OUTSIDE)

    def unlock(self, locked: bytes) -> bytes:
        """What was locked.

        Raises:
            WrongSealingKey: by another master key, or it was changed.
        """
        return self._master.unwrap(locked, _OUTSIDE)

    def unlock_line(self, line: bytes) -> bytes:
        """What was locked, as a line of base64: so it was before there was a spool of SQLite files.

        Raises:
            WrongSealingKey: by another master key, or it was changed.
            ValueError: it is no such line.
        """
        return self.unlock(base64.b64decode(line.strip(), validate=True))

    def _opened(self, body: bytes, part: str, content: bytes) -> bytes | Forgotten:
        if not codec.is_sealed(content):
            return codec.decode(content)
        key = self._by_id[key_of(content)]
        if isinstance(key, str):
            return Forgotten(key)
        return codec.decode(key.open(body, part, content))

    async def forget(self, tenant: str, *, lead: timedelta = LEAD, actor: str = NOBODY) -> bool:
        """Destroy the tenant's keys. What was sealed by them can't be read any more, and the hashes of its evidence
        can't be made again; what comes in afterwards gets a new key.

        Returns:
            whether there was a key to destroy.
        """
        async with self._database.direct() as connection:
            async with connection.transaction():
                ended = (await connection.execute(_END, (lead, tenant))).rowcount
                if ended:
                    who = f"of the tenant {tenant!r}" if tenant else "of what has no tenant"
                    await record(connection, [Act(actor, ActKind.SEALING, f"destroyed the key {who}")])
            await connection.execute(b"NOTIFY shadow_sealing_keys")
            await asyncio.sleep(lead.total_seconds())
            destroyed = (await connection.execute(_DESTROY_OF, (tenant,))).rowcount
            await connection.execute(_UNKNOW, (tenant,))
            await connection.execute(b"NOTIFY shadow_sealing_keys")
            # The dead row would keep the key in the table's file.
            await connection.execute(b"VACUUM sealing_keys")
        self._heard_at = float("-inf")
        log.info("sealing.forgotten", keys=destroyed)
        return bool(ended or destroyed)

    async def destroy_forgotten(self) -> int:
        """Destroy keys whose time is over, should whoever forgot them have died; how many there were."""
        async with self._database.direct() as connection:
            return (await connection.execute(_DESTROY)).rowcount

    async def rewrap(self, master: MasterKey, *, actor: str = NOBODY) -> int:
        """Wrap every key by another master key, in one transaction; how many there are.

        Raises:
            WrongSealingKey: they are not wrapped by the present one; nothing was changed.
        """
        async with self._database.direct() as connection, connection.transaction():
            rows = await (await connection.execute(_ALL)).fetchall()
            fresh = [
                (key, master.wrap(self._master.unwrap(wrapped, _context(key, tenant)), _context(key, tenant)))
                for key, tenant, wrapped in rows
            ]
            await connection.execute(_REWRAP, ([key for key, _ in fresh], [wrapped for _, wrapped in fresh]))
            says = f"had the master key changed, by which {len(fresh)} keys of tenants are wrapped"
            await record(connection, [Act(actor, ActKind.SEALING, says)])
        self._master = master
        return len(fresh)

    async def _look_up(self, tenants: list[str]) -> None:
        """Read the keys of these tenants, and make those that there are not."""
        async with self._database.connection(Work.SEALING) as connection, patience(connection, _PATIENCE_SECONDS):
            found = await (await connection.execute(_FIND, (tenants,))).fetchall()
            if missing := sorted(set(tenants) - {row[1] for row in found}):
                ids = [new_id() for _ in missing]
                wrapped = [
                    self._master.wrap(secrets.token_bytes(LENGTH), _context(key, tenant))
                    for key, tenant in zip(ids, missing, strict=True)
                ]
                await connection.execute(_MAKE, (ids, missing, wrapped))
                # Another process may have been first: its key is the key.
                found = await (await connection.execute(_FIND, (tenants,))).fetchall()
        for key, tenant, wrapped_key in found:
            self._keep(self._unwrapped(key, tenant, wrapped_key))

    async def _look_up_ids(self, keys: list[UUID]) -> None:
        if not keys:
            return
        async with self._database.connection(Work.SEALING) as connection, patience(connection, _PATIENCE_SECONDS):
            found = await (await connection.execute(_BY_ID, (keys,))).fetchall()
        for key, tenant, wrapped, over in found:
            gone = wrapped is None or over
            self._by_id[key] = tenant if gone else self._unwrapped(key, tenant, wrapped)
        if unknown := set(keys) - {row[0] for row in found}:
            raise UnknownKey(min(unknown))

    def _unwrapped(self, key: UUID, tenant: str, wrapped: bytes) -> TenantKey:
        known = self._by_id.get(key)
        if isinstance(known, TenantKey):
            return known
        return TenantKey(key, tenant, self._master.unwrap(wrapped, _context(key, tenant)))

    def _keep(self, key: TenantKey) -> None:
        if len(self._of_tenant) >= _MOST:
            self._of_tenant.clear()
            self._by_id.clear()
        self._of_tenant[key.tenant] = key
        self._by_id[key.id] = key

    async def _hear(self) -> None:
        """Learn which keys are being forgotten: they seal nothing any more, and open nothing once they are gone."""
        asked_at = time.monotonic()
        async with self._database.connection(Work.SEALING) as connection, patience(connection, _PATIENCE_SECONDS):
            rows = await (await connection.execute(_FORGOTTEN)).fetchall()
        self._learn(rows, asked_at)

    def _learn(self, rows: Sequence[tuple[UUID, bool]], asked_at: float) -> None:
        if asked_at - self._heard_at > 1800:  # longer than the news reaches back: trust nothing
            self._of_tenant.clear()
            self._by_id.clear()
        for key, gone in rows:
            known = self._by_id.get(key)
            if isinstance(known, TenantKey):
                if self._of_tenant.get(known.tenant) is known:
                    del self._of_tenant[known.tenant]
                if gone:
                    self._by_id[key] = known.tenant
                    self.losses += 1
        self._heard_at = asked_at

    async def _follow(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute(b"LISTEN shadow_sealing_keys")
                    while True:
                        asked_at = time.monotonic()
                        self._learn(await (await connection.execute(_FORGOTTEN)).fetchall(), asked_at)
                        async for _notice in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except psycopg.Error as error:
                log.warning("sealing.unreachable", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)


def _context(key: UUID, tenant: str) -> bytes:
    """What a wrapped key is bound to."""
    return key.bytes + tenant.encode()

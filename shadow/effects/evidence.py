"""Evidence: the redacted copies that the judge and reports read. They never read originals.

Effects and outputs are redacted before they are stored, with the key of their tenant: whose they are says their run's
event. Of some it is not known yet (a report may come before the platform has named the run). Those are redacted with
the key of what has no tenant, and the original waits, sealed, as part `pending`, until the judge knows whose it is.
Of an event's data the evidence is made when it is first handed over.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson

from comparators import JSON
from comparators.canonical import same
from shadow.catalogue.model import Side
from shadow.effects.names import NOBODY, Names
from shadow.effects.notation import in_normal_form
from shadow.effects.redaction import Redactor, says_more
from shadow.effects.sensitive import may_have_forms
from shadow.model.giving_way import Turns
from shadow.model.json_text import parse, write_json
from shadow.sealing.vault import Forgotten, Vault
from shadow.store import codec
from shadow.store.database import Connection

PENDING = "pending"
"""The part in which an original waits until it is known whose it is."""
_NO_BODY = UUID(int=0)
"""A pending original is not bound to a row: its run may turn out to be another row's."""


class Nobody(Enum):
    """The type of `UNKNOWN`: whose something is is not known yet, which is not the same as nobody's (None)."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Nobody.UNKNOWN

Tenant = str | Nobody | None

_OF_RUNS = b"""
SELECT runs.id, NULL, events.tenant, events.id, runs.pair_id FROM runs JOIN events ON events.id = runs.event_id
WHERE runs.id = ANY(%s::uuid[])
UNION ALL
SELECT NULL, runs.platform_run_id, events.tenant, events.id, runs.pair_id
FROM runs JOIN events ON events.id = runs.event_id
WHERE runs.platform_run_id = ANY(%s::text[]) AND runs.side = %s
"""
_OF_DELIVERIES = b"SELECT delivery_id, tenant, id FROM events WHERE delivery_id = ANY(%s::text[])"
_DATA_OF_RUNS = b"""
SELECT runs.id, events.id, bodies.content, events.tenant
FROM runs JOIN events ON events.id = runs.event_id JOIN bodies ON bodies.id = events.id AND bodies.part = 'data'
WHERE runs.id = ANY(%s::uuid[])
"""
_RUNS_OF_EFFECTS = b"""
SELECT effects.id, COALESCE(effects.run_id, run.id) FROM effects
LEFT JOIN runs AS run ON effects.run_id IS NULL AND run.platform_run_id = effects.platform_run_id
    AND run.side = effects.side
WHERE effects.id = ANY(%s::uuid[]) AND COALESCE(effects.run_id, run.id) IS NOT NULL
"""
_MOST_NAMES = 20_000
"""Events whose names are in memory."""
_MOST_MADE_BYTES = 16 * 1024 * 1024
"""Of evidence that is in memory, in case the other side says the very same."""
_LONGEST_MADE = 16 * 1024
_ORIGINALS = b"SELECT id, part, content FROM bodies WHERE id = ANY(%s::uuid[]) AND part = 'data'"
_KEEP = b"""
INSERT INTO bodies (id, part, content)
SELECT id, part, content FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS body (id, part, content) ORDER BY id, part
ON CONFLICT (id, part) DO NOTHING
"""
_REPLACE = b"""
UPDATE bodies SET content = fresh.content FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS fresh (id, part, content)
WHERE bodies.id = fresh.id AND bodies.part = fresh.part AND bodies.id = ANY(%s::uuid[])
"""
_RENAME = b"""
UPDATE effects SET operation = fresh.operation, identity = fresh.identity, idempotency_key = fresh.idempotency_key,
                   data = fresh.data
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bytea[])
     AS fresh (id, operation, identity, idempotency_key, data)
WHERE effects.id = fresh.id AND effects.id = ANY(%s::uuid[])
"""
_BLAME = b"""
UPDATE runs SET error_message = fresh.message FROM unnest(%s::uuid[], %s::text[]) AS fresh (id, message)
WHERE runs.id = fresh.id AND runs.id = ANY(%s::uuid[])
"""
_NOT_PENDING = b"DELETE FROM bodies WHERE id = ANY(%s::uuid[]) AND part = 'pending'"


@dataclass(slots=True)
class Told:
    """What is kept of an effect and may hold something personal or secret. Not to be changed, as the next two: to make
    a frozen one takes several times as long."""

    operation: str
    identity: str | None
    idempotency_key: str | None
    data: bytes
    """JSON."""
    kind: str | None = None
    """Of the effect; None where the data is in its normal form already."""


@dataclass(slots=True)
class Redacted:
    """The same, as it is stored."""

    operation: str
    identity: str | None
    idempotency_key: str | None
    stored: bytes
    """The evidence."""
    pending: bytes | None = None
    """The body of the original that waits for its tenant; None where it need not."""


@dataclass(slots=True)
class Ended:
    """What a run returned or failed with, as it is stored."""

    output: bytes | None
    """The body of the evidence; None where nobody told."""
    error_message: str | None
    pending: bytes | None = None


async def ready(conn: Connection, tenants: Iterable[Tenant]) -> None:
    """Have the keys at hand with which evidence of these tenants is hashed."""
    await conn.vault.ready({None, *(tenant for tenant in tenants if not isinstance(tenant, Nobody))})


def redactor(vault: Vault, tenant: Tenant, names: Names = NOBODY) -> Redactor:
    """What redacts for that tenant. The vault is ready for it."""
    return Redactor(vault.key(_present(tenant)).evidence, vault.redaction, names)


def of_effect(vault: Vault, tenant: Tenant, told: Told, names: Names = NOBODY) -> Redacted:
    """An effect as it is to be stored. The vault is ready for the tenant.

    Args:
        names: whom the event of its run names.
    """
    operation, identity, key = told.operation, told.identity, told.idempotency_key
    changed = False
    if not (_is_plain(operation) and _is_plain(identity) and _is_plain(key)):
        by = redactor(vault, tenant)
        operation = by.text(operation)
        identity = None if identity is None else by.text(identity)
        key = None if key is None else by.text(key)
        changed = (operation, identity, key) != (told.operation, told.identity, told.idempotency_key)
    if tenant is not UNKNOWN:
        data, hashed = _once(vault, tenant, told.kind, told.data, names)
        return Redacted(operation, identity, key, _stored(vault, tenant, data, hashed=hashed or changed))
    said, data = _read(redactor(vault, tenant, names), told.kind, told.data)
    original = orjson.dumps(
        {
            "operation": told.operation,
            "identity": told.identity,
            "idempotency_key": told.idempotency_key,
            "data": orjson.Fragment(said),
        }
    )
    stored = _stored(vault, tenant, data, hashed=changed or data != said)
    return Redacted(operation, identity, key, stored, _pending(vault, original))


@lru_cache(maxsize=8192)
def _is_plain(text: str | None) -> bool:
    """Whether a text has nothing to redact, whoever's it is. Both sides tell of the same operations and identities, and
    a run gives several of its effects the same."""
    return text is None or not may_have_forms(text)


def of_document(vault: Vault, tenant: Tenant, content: bytes, names: Names = NOBODY) -> bytes:
    """The body of a JSON document's evidence. The vault is ready for the tenant."""
    data, hashed = _once(vault, tenant, None, content, names)
    return _stored(vault, tenant, data, hashed=hashed)


def _stored(vault: Vault, tenant: Tenant, data: bytes, *, hashed: bool) -> bytes:
    return codec.encode_evidence(data, _tag(vault, tenant) if hashed else codec.UNTAGGED)


def _once(vault: Vault, tenant: Tenant, kind: str | None, content: bytes, names: Names) -> tuple[bytes, bool]:
    """A document redacted, and whether anything was hashed. Both runs of a pair say the very same in most cases, and to
    look through it costs more than to know it again."""
    secret = vault.key(_present(tenant)).evidence
    made = _memory(vault).made
    known = blake2b(content, key=secret, digest_size=16).digest(), kind, names.known
    if (found := made.get(known)) is not None:
        return found
    said, data = _read(Redactor(secret, vault.redaction, names), kind, content)
    found = data, data != said
    made.keep(known, found)
    return found


def _read(by: Redactor, kind: str | None, content: bytes) -> tuple[bytes, bytes]:
    """(what was said, in its normal form where that is another; the same, redacted); the very same bytes where nothing
    is to be changed."""
    try:
        value = parse(content)
    except ValueError:
        return content, by.document(content)
    said = content
    if kind is not None:
        normal = in_normal_form(kind, value)
        if normal is not value and (again := write_json(normal)) != content and not same(value, normal):
            said = again
            value = parse(said)
    redacted = by.read(value, said)
    return said, said if redacted is value and not says_more(said, value) else write_json(redacted)


def of_run(
    vault: Vault, tenant: Tenant, output: bytes | None, error_message: str | None, names: Names = NOBODY
) -> Ended:
    """How a run ended, as it is to be stored. The vault is ready for the tenant."""
    message = None if error_message is None else redactor(vault, tenant, names).free_text(error_message)
    stored = None if output is None else of_document(vault, tenant, output, names)
    if tenant is not UNKNOWN or (output is None and error_message is None):
        return Ended(stored, message)
    original = orjson.dumps(
        {"output": None if output is None else orjson.Fragment(output), "error_message": error_message}
    )
    return Ended(stored, message, _pending(vault, original))


def digester(vault: Vault, tenant: Tenant) -> Callable[[bytes | None], bytes | None]:
    """What hashes digests with the tenant's key, so that nobody without it can try contents out. The vault is ready for
    the tenant."""
    key = vault.key(_present(tenant)).evidence
    return lambda digest: None if digest is None else hmac.digest(key, b"digest\0" + digest, "sha256")


def of_stored(vault: Vault, tenant: str | None, stored: bytes, names: Names | None = None) -> bytes:
    """A stored body as evidence: as it is, or redacted where it is of a time before that was done.

    Raises:
        BodyIsSealed: it is an original.
    """
    if codec.evidence_tag(stored) is not None:
        return stored
    return of_document(vault, tenant, codec.decode(stored), names or NOBODY)


class _Made:
    """Evidence that was made lately, by what it was made of."""

    def __init__(self) -> None:
        # Not a plain dict: to find its first entry takes the longer the more were taken from before it.
        self._kept: OrderedDict[Hashable, tuple[bytes, bool]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> tuple[bytes, bool] | None:
        return self._kept.get(key)

    def keep(self, key: Hashable, made: tuple[bytes, bool]) -> None:
        if len(made[0]) > _LONGEST_MADE:
            return
        self._kept[key] = made
        self._bytes += len(made[0]) + _OVERHEAD
        while self._bytes > _MOST_MADE_BYTES:
            _key, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest[0]) + _OVERHEAD


@dataclass(slots=True)
class _Memory:
    """What one process knows of one database's evidence."""

    losses: int
    """The vault's, when this was begun."""
    names: OrderedDict[UUID, Names] = field(default_factory=OrderedDict)
    """By event: whom it names."""
    events: OrderedDict[UUID, UUID] = field(default_factory=OrderedDict)
    """By run: its event."""
    made: _Made = field(default_factory=_Made)


_OVERHEAD = 200
"""Bytes that an entry of `_Made` takes beside its content."""
_MEMORIES: WeakKeyDictionary[Vault, _Memory] = WeakKeyDictionary()


def _memory(vault: Vault) -> _Memory:
    memory = _MEMORIES.get(vault)
    if memory is None or memory.losses != vault.losses:
        memory = _MEMORIES[vault] = _Memory(vault.losses)
    while len(memory.names) > _MOST_NAMES:
        memory.names.popitem(last=False)
    while len(memory.events) > _MOST_NAMES:
        memory.events.popitem(last=False)
    return memory


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose something is that a run did."""

    tenant: Tenant
    names: Names = NOBODY
    """Whom the event of the run names."""
    pair: UUID | None = None
    """Of the run, where that is known."""


NOT_YET = Owner(UNKNOWN)


async def owners(
    conn: Connection, side: Side, *, runs: Iterable[UUID] = (), platform_runs: Iterable[str] = ()
) -> dict[UUID | str, Owner]:
    """Whose runs these are, by our id or by the platform's; those whose event is not known are left out."""
    cursor = await conn.execute(_OF_RUNS, (sorted(set(runs)), sorted(set(platform_runs)), side.value))
    rows = await cursor.fetchall()
    names = await _names_of_events(conn, {event: tenant for _run, _name, tenant, event, _pair in rows})
    return {run or name: Owner(tenant, names.get(event, NOBODY), pair) for run, name, tenant, event, pair in rows}


async def owners_by_event(conn: Connection, deliveries: Collection[str]) -> dict[str, Owner]:
    """Whose runs those are that were started by these events, as the runs see their ids; left out where that says no
    event, or several."""
    cursor = await conn.execute(_OF_DELIVERIES, (sorted(set(deliveries)),))
    found: dict[str, tuple[str | None, UUID]] = {}
    several: set[str] = set()
    for delivery, tenant, event in await cursor.fetchall():
        if delivery in found:
            several.add(delivery)
        found[delivery] = tenant, event
    one = {delivery: owner for delivery, owner in found.items() if delivery not in several}
    names = await _names_of_events(conn, {event: tenant for tenant, event in one.values()})
    return {delivery: Owner(tenant, names.get(event, NOBODY)) for delivery, (tenant, event) in one.items()}


async def names_of_runs(conn: Connection, runs: Iterable[UUID]) -> dict[UUID, Names]:
    """Whom the events of these runs name, as the originals tell; read once a process for each event."""
    memory = _memory(conn.vault)
    found: dict[UUID, Names] = {}
    missing: list[UUID] = []
    for run in set(runs):
        event = memory.events.get(run)
        if event is not None and event in memory.names:
            found[run] = memory.names[event]
        else:
            missing.append(run)
    if missing:
        cursor = await conn.execute(_DATA_OF_RUNS, (sorted(missing),))
        stored = await cursor.fetchall()
        tenants = {event: tenant for _run, event, _content, tenant in stored}
        learned = await _learn_names(conn, tenants, {event: content for _run, event, content, _tenant in stored})
        _memory(conn.vault).events.update((run, event) for run, event, _content, _tenant in stored)
        found |= {run: learned[event] for run, event, _content, _tenant in stored if event in learned}
    return found


async def _names_of_events(conn: Connection, tenants: Mapping[UUID, str | None]) -> dict[UUID, Names]:
    """Whom these events (with their tenants) name."""
    known = _memory(conn.vault).names
    found = {event: known[event] for event in tenants if event in known}
    if missing := sorted(tenants.keys() - found.keys()):
        cursor = await conn.execute(_ORIGINALS, (missing,))
        found |= await _learn_names(
            conn, tenants, {event: content for event, _part, content in await cursor.fetchall()}
        )
    return found


async def _learn_names(
    conn: Connection, tenants: Mapping[UUID, str | None], stored: Mapping[UUID, bytes]
) -> dict[UUID, Names]:
    """Read the originals (by event) of whom they name. The memory may have let go of them again when this returns."""
    opened = await conn.vault.open([(event, "data", content) for event, content in stored.items()])
    await ready(conn, [tenants[event] for event in stored])
    learned: dict[UUID, Names] = {}
    turns = Turns()
    for event, data in zip(stored, opened, strict=True):
        if not isinstance(data, Forgotten):
            learned[event] = redactor(conn.vault, tenants[event]).names_in(data)
            _memory(conn.vault).names[event] = learned[event]
            if await turns.give_way():
                await ready(conn, [tenants[event] for event in stored])
    return learned


async def keep(conn: Connection, bodies: Sequence[tuple[UUID, str, bytes]]) -> None:
    """Store bodies (owner, part, content); what is there already stays."""
    if bodies:
        await conn.execute(_KEEP, [list(column) for column in zip(*bodies, strict=True)])


async def keep_of_events(conn: Connection, events: Mapping[UUID, tuple[str | None, bytes]]) -> dict[UUID, bytes]:
    """Store the evidence of events, made of (tenant, data); returns what was to be stored."""
    await ready(conn, [tenant for tenant, _ in events.values()])
    made = {event: _of_event(conn.vault, event, tenant, data) for event, (tenant, data) in events.items()}
    await keep(conn, [(event, "evidence", stored) for event, stored in made.items()])
    return made


def _of_event(vault: Vault, event: UUID, tenant: str | None, data: bytes) -> bytes:
    """The evidence of an event, whose own texts may name again whom its members name."""
    by = redactor(vault, tenant)
    names, redacted = by.names_and_document(data)
    _memory(vault).names[event] = names
    if names.known and names.may_stand_in(redacted):
        redacted = redactor(vault, tenant, names).document(data)
    return _stored(vault, tenant, redacted, hashed=redacted != data)


async def make_of_events(conn: Connection, tenants: Mapping[UUID, str | None]) -> dict[UUID, bytes]:
    """Make the evidence of events that have none, of their originals; those whose originals can't be read any more are
    left out."""
    data = await data_of_events(conn, tenants)
    return await keep_of_events(conn, {event: (tenants[event], content) for event, content in data.items()})


async def data_of_events(conn: Connection, events: Collection[UUID]) -> dict[UUID, bytes]:
    """The original data of events, of which evidence is to be made or a value is needed as it is; those whose originals
    can't be read any more are left out."""
    if not events:
        return {}
    cursor = await conn.execute(_ORIGINALS, (list(events),))
    stored = await cursor.fetchall()
    opened = zip(stored, await conn.vault.open(stored), strict=True)
    return {event: data for (event, _, _), data in opened if not isinstance(data, Forgotten)}


async def attribute_effects(conn: Connection, pending: Mapping[UUID, tuple[str | None, bytes]]) -> dict[UUID, Redacted]:
    """Redact effects anew of which it is known by now whose they are: (tenant, the pending body)."""
    made = {}
    runs = await _runs_of_effects(conn, pending)
    names = await names_of_runs(conn, runs.values())
    for effect, (tenant, original) in (await _originals(conn, pending)).items():
        told = parse(original)
        assert isinstance(told, dict)
        data = told["data"]
        made[effect] = of_effect(
            conn.vault,
            tenant,
            Told(str(told["operation"]), _text(told["identity"]), _text(told["idempotency_key"]), write_json(data)),
            names.get(runs.get(effect, effect), NOBODY),
        )
    if made:
        ids = list(made)
        await conn.execute(
            _RENAME,
            (
                ids,
                [effect.operation for effect in made.values()],
                [effect.identity for effect in made.values()],
                [effect.idempotency_key for effect in made.values()],
                [effect.stored for effect in made.values()],
                ids,
            ),
        )
        await conn.execute(_NOT_PENDING, (ids,))
    return made


async def attribute_runs(conn: Connection, pending: Mapping[UUID, tuple[str | None, bytes]]) -> dict[UUID, Ended]:
    """The same for how runs ended."""
    made = {}
    names = await names_of_runs(conn, pending)
    for run, (tenant, original) in (await _originals(conn, pending)).items():
        told = parse(original)
        assert isinstance(told, dict)
        message = _text(told["error_message"])
        made[run] = of_run(conn.vault, tenant, write_json(told["output"]), message, names.get(run, NOBODY))
    if made:
        ids = list(made)
        await conn.execute(_BLAME, (ids, [run.error_message for run in made.values()], ids))
        await _replace(conn, "output", {run: ended.output for run, ended in made.items() if ended.output is not None})
        await conn.execute(_NOT_PENDING, (ids,))
    return made


async def _runs_of_effects(conn: Connection, effects: Collection[UUID]) -> dict[UUID, UUID]:
    if not effects:
        return {}
    cursor = await conn.execute(_RUNS_OF_EFFECTS, (list(effects),))
    return dict(await cursor.fetchall())


async def _originals(
    conn: Connection, pending: Mapping[UUID, tuple[str | None, bytes]]
) -> dict[UUID, tuple[str | None, bytes]]:
    if not pending:
        return {}
    opened = await conn.vault.open([(_NO_BODY, PENDING, stored) for _, stored in pending.values()])
    await ready(conn, [tenant for tenant, _ in pending.values()])
    return {
        owner: (tenant, original)
        for (owner, (tenant, _)), original in zip(pending.items(), opened, strict=True)
        if not isinstance(original, Forgotten)
    }


async def _replace(conn: Connection, part: str, made: Mapping[UUID, bytes]) -> None:
    if made:
        ids = list(made)
        await conn.execute(_REPLACE, (ids, [part] * len(ids), list(made.values()), ids))


def _pending(vault: Vault, original: bytes) -> bytes:
    return vault.seal(None, _NO_BODY.bytes, PENDING, original)


def _tag(vault: Vault, tenant: Tenant) -> bytes:
    return vault.key(_present(tenant)).tag


def _present(tenant: Tenant) -> str | None:
    return None if isinstance(tenant, Nobody) else tenant


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None

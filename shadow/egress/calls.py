"""The gateway's calls written down: what leaves before it leaves, an answer before its last byte is passed on.

Both are written by group commit: what many calls wait for is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.effects.answered import PART as ANSWERED
from shadow.effects.evidence import NOT_YET, PENDING, Nobody, Redacted, Tenant, Told
from shadow.effects.names import NOBODY, Names
from shadow.effects.record import AttributedBy, SeenBy, tell_the_judge
from shadow.egress.disposition import Disposition
from shadow.intake.group_commit import GroupCommit, Overloaded
from shadow.observe import metrics
from shadow.sealing.vault import UnknownKey, Vault
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

CHANNEL = "shadow_egress"
"""Told the runs whose calls were answered, so that their twins' calls wake."""
_GATHER_SECONDS = 0.01
"""Between two commits of several calls'. Every call waits for one or two of them."""
_NOTICE_BYTES = 7000
"""Of one notice; the server takes less than 8,000."""

_HOLD = b"SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR KEY SHARE"
# All that a batch writes in most cases, as one statement. A call has to be there before its answer: they are never in
# one statement. The pairs are locked as `effects.record.tell_the_judge` does it, for its reasons.
_WRITE = b"""
WITH made AS (
    INSERT INTO effects (id, side, platform_run_id, run_id, task, sequence, attempt, kind, target, operation, identity,
                         idempotency_key, occurred_at, seen_by, attributed_by, disposition, writes, status, digest,
                         answered_at, waited_ms, suspects, data)
    SELECT id, side, run,
           -- Who made it may have been taken for a run of nobody's, which its own run has taken over since.
           CASE WHEN run_id IS NULL OR EXISTS (SELECT FROM runs WHERE runs.id = effect.run_id) THEN run_id
                ELSE COALESCE((SELECT runs.id FROM runs WHERE runs.platform_run_id = effect.run
                                 AND runs.side = effect.side LIMIT 1), run_id) END,
           task, sequence, attempt, kind, target, operation, identity, idempotency_key, occurred_at, seen_by,
           attributed_by, disposition, writes, status, digest, answered_at, waited_ms, suspects::uuid[], data
    FROM unnest(%(id)s::uuid[], %(side)s::text[], %(run)s::text[], %(run_id)s::uuid[], %(task)s::text[],
                %(sequence)s::bigint[], %(attempt)s::int[], %(kind)s::text[], %(target)s::text[], %(operation)s::text[],
                %(identity)s::text[], %(idempotency_key)s::text[], %(occurred_at)s::timestamptz[],
                %(seen_by)s::text[], %(attributed_by)s::text[], %(disposition)s::text[], %(writes)s::bool[],
                %(status)s::smallint[], %(digest)s::bytea[], %(answered_at)s::timestamptz[], %(waited_ms)s::int[],
                %(suspects)s::text[], %(data)s::bytea[])
         AS effect (id, side, run, run_id, task, sequence, attempt, kind, target, operation, identity, idempotency_key,
                    occurred_at, seen_by, attributed_by, disposition, writes, status, digest, answered_at, waited_ms,
                    suspects, data)
    ON CONFLICT (id) DO NOTHING
), answered AS (
    UPDATE effects AS effect
    SET status = told.status, answered_at = told.answered_at, digest = COALESCE(told.digest, effect.digest),
        data = COALESCE(told.data, effect.data)
    FROM unnest(%(answered)s::uuid[], %(statuses)s::smallint[], %(moments)s::timestamptz[], %(digests)s::bytea[],
                %(amended)s::bytea[])
         AS told (id, status, answered_at, digest, data)
    WHERE effect.id = told.id AND effect.id = ANY(%(answered)s::uuid[])
    RETURNING effect.id
), kept AS (
    INSERT INTO bodies (id, part, content)
    SELECT id, part, content FROM unnest(%(owner)s::uuid[], %(part)s::text[], %(content)s::bytea[])
        AS body (id, part, content)
    ON CONFLICT (id, part) DO UPDATE SET content = excluded.content
), known AS (
    SELECT id, state IN ('settling', 'probing', 'ready', 'judged') OR due_at IS DISTINCT FROM deadline_at AS is_read
    FROM pairs
    -- After the calls: whoever takes a run over, or says whose a call was, locks these first and their pairs then.
    WHERE id = ANY(%(pairs)s::uuid[]) AND (SELECT count(*) FROM answered) >= 0 ORDER BY id FOR UPDATE
), due AS (
    UPDATE pairs SET due_at = now() WHERE id = ANY(ARRAY(SELECT id FROM known WHERE is_read)) RETURNING id
)
SELECT (SELECT count(*) FROM known),  -- to its end, so that all are locked
       CASE WHEN EXISTS (SELECT FROM due) THEN pg_notify('shadow_pairs', '') END,
       CASE WHEN %(woken)s::text IS NOT NULL THEN pg_notify(%(channel)s::text, %(woken)s::text) END
"""
_INCOMPARABLE = b"""
UPDATE pairs SET incomparable = told.reason, due_at = CASE WHEN state = 'judged' THEN now() ELSE due_at END
FROM (SELECT DISTINCT ON (id) id, reason FROM unnest(%s::uuid[], %s::text[]) AS told (id, reason) ORDER BY id) AS told
WHERE pairs.id = told.id AND pairs.incomparable IS NULL
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as it is written down."""

    id: UUID
    side: Side
    run_id: UUID | None
    platform_run_id: str | None
    task: str | None
    sequence: int
    attempt: int
    kind: str
    target: str
    operation: str
    identity: str | None
    idempotency_key: str | None
    occurred_at: datetime
    attributed_by: AttributedBy | None
    disposition: Disposition
    writes: bool
    digest: bytes | None
    document: bytes
    """The evidence."""
    status: int | None = None
    answered_at: datetime | None = None
    waited_ms: int | None = None
    answer: bytes | None = None
    """The body of the target's answer, to be replayed; None for answers of the gateway's own."""
    answer_headers: bytes | None = None
    given: bytes | None = None
    """The ids in an answer that the gateway gave instead of the target, as JSON; see `answered.ids_of`."""
    incomparable: tuple[UUID, str] | None = None
    """The pair that can't be compared from here on, and why."""
    wakes: bool = False
    """Whether a twin may wait for it."""
    traits: bytes | None = None
    """Of one that is nobody's: what it carries, so that it can be asked again whose it is."""
    suspects: tuple[UUID, ...] = ()
    """Of one that is nobody's: the runs that it may be of, where that is known."""
    tenant: str | None = None
    of_tenant: bool = False
    """Whether `tenant` says whose it is; else that is looked up."""
    pair: UUID | None = None
    """Of its run, where that is known; else it is looked up."""
    seen_by: SeenBy = SeenBy.GATEWAY
    """Or a mail, which came to the mail sink."""

    @property
    def nobodys(self) -> bool:
        return self.run_id is None and self.platform_run_id is None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a call that was written down before it left."""

    id: UUID
    side: Side
    run_id: UUID | None
    platform_run_id: str | None
    status: int
    answered_at: datetime
    answer: bytes | None
    """None when it was too long to be kept, or broke off."""
    answer_headers: bytes | None
    digest: bytes | None = None
    """Of a body that was still on its way when the call left."""
    document: bytes | None = None
    wakes: bool = False
    tenant: str | None = None
    of_tenant: bool = False
    pair: UUID | None = None


Item = Call | Answered


async def write(conn: Connection, items: Sequence[Item]) -> None:
    """Write calls and answers down, in a transaction of its own or in the caller's. Harmless to repeat.

    The judge is told of answers, and of calls that have theirs: a run whose call is under way has not ended.
    """
    batch = await _Batch.of(conn, items)
    if batch.is_plain:
        await conn.execute(_WRITE, batch.columns(batch.calls, batch.answers))
        return
    async with conn.transaction():
        if batch.nobodys_runs:
            # Such a run may be taken over by that of an event just now: it then waits for these calls, or they for it.
            await conn.execute(_HOLD, (batch.nobodys_runs,))
        for calls, answers in batch.in_order():
            await conn.execute(_WRITE, batch.columns(calls, answers))
        for side in Side:
            await _tell(conn, side, [item for item in batch.complete if item.side is side and item.pair is None])
        marks = [call.incomparable for call in batch.calls if call.incomparable is not None]
        if marks:
            reasons = [reason for _pair, reason in marks]
            await conn.execute(_INCOMPARABLE, ([pair for pair, _reason in marks], reasons))
            await conn.execute(b"NOTIFY shadow_pairs")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Calls and answers as they are stored."""

    calls: Sequence[Call]
    answers: Sequence[Answered]
    complete: Sequence[Item]
    """Those that have their answers."""
    kept: Mapping[UUID, Redacted]
    """By call."""
    digests: Mapping[tuple[type, UUID], bytes | None]
    amended: Mapping[UUID, bytes | None]
    """By answer: what the call's evidence becomes."""
    bodies: Mapping[tuple[type, UUID], Mapping[str, bytes]]

    @classmethod
    async def of(cls, conn: Connection, items: Sequence[Item]) -> _Batch:
        """Redact and seal them."""
        calls = [item for item in items if isinstance(item, Call)]
        answers = [item for item in items if isinstance(item, Answered)]
        whose = await _tenants(conn, items)
        names = await evidence.names_of_runs(conn, [item.run_id for item in items if item.run_id is not None])
        await evidence.ready(conn, whose.values())
        vault = conn.vault
        kept = {call.id: _redacted(vault, whose[call.id], call, _named(names, call)) for call in calls}
        return cls(
            calls,
            answers,
            [item for item in items if item.status is not None],
            kept,
            {(type(item), item.id): evidence.digester(vault, whose[item.id])(item.digest) for item in items},
            {
                item.id: None
                if item.document is None
                else evidence.of_document(vault, whose[item.id], item.document, _named(names, item))
                for item in answers
            },
            {
                (type(item), item.id): _bodies(
                    vault, whose[item.id], item, kept[item.id] if isinstance(item, Call) else None
                )
                for item in items
            },
        )

    @property
    def is_plain(self) -> bool:
        """Whether one statement says all."""
        return (
            all(item.pair is not None for item in self.complete)
            and not any(call.incomparable for call in self.calls)
            and not self.nobodys_runs
            and len(self.in_order()) == 1
        )

    @property
    def nobodys_runs(self) -> list[UUID]:
        """The runs of which it is not known whose they are."""
        return sorted({call.run_id for call in self.calls if call.run_id is not None and not call.of_tenant})

    def in_order(self) -> list[tuple[Sequence[Call], Sequence[Answered]]]:
        """What may be written together. A call and its answer (out of the spool) may not: the answer knows more."""
        if {call.id for call in self.calls}.isdisjoint(answer.id for answer in self.answers):
            return [(self.calls, self.answers)]
        return [(self.calls, ()), ((), self.answers)]

    def columns(self, calls: Sequence[Call], answers: Sequence[Answered]) -> dict[str, object]:
        """The parameters of `_WRITE` for these."""
        items: list[Item] = [*calls, *answers]
        bodies = {
            (item.id, part): content for item in items for part, content in self.bodies[type(item), item.id].items()
        }
        complete = [item for item in items if item.status is not None]
        return {
            **_columns(calls, self.kept, [self.digests[Call, call.id] for call in calls]),
            "answered": [item.id for item in answers],
            "statuses": [item.status for item in answers],
            "moments": [item.answered_at for item in answers],
            "digests": [self.digests[Answered, item.id] for item in answers],
            "amended": [self.amended[item.id] for item in answers],
            "owner": [owner for owner, _part in bodies],
            "part": [part for _owner, part in bodies],
            "content": list(bodies.values()),
            "pairs": sorted({item.pair for item in complete if item.pair is not None}),
            "woken": _woken({item.run_id for item in complete if item.wakes and item.run_id is not None}),
            "channel": CHANNEL,
        }


async def _tenants(conn: Connection, items: Sequence[Item]) -> dict[UUID, Tenant]:
    """Whose the calls are; makes their keys ready."""
    known: dict[UUID, Tenant] = {}
    for side in Side:
        known |= {item.id: item.tenant for item in items if item.side is side and item.of_tenant}
        of_side = [item for item in items if item.side is side and not item.of_tenant]
        if not of_side:
            continue
        whose = await evidence.owners(
            conn,
            side,
            runs=[item.run_id for item in of_side if item.run_id is not None],
            platform_runs=[item.platform_run_id for item in of_side if item.platform_run_id is not None],
        )
        for item in of_side:
            known[item.id] = whose.get(item.run_id or item.platform_run_id or "", NOT_YET).tenant
    await evidence.ready(conn, known.values())
    return known


def _named(names: Mapping[UUID, Names], item: Item) -> Names:
    """Whom the event of its run names."""
    return NOBODY if item.run_id is None else names.get(item.run_id, NOBODY)


def _redacted(vault: Vault, tenant: Tenant, call: Call, names: Names) -> Redacted:
    told = Told(call.operation, call.identity, call.idempotency_key, call.document)
    return evidence.of_effect(vault, tenant, told, names)


def _columns(
    calls: Sequence[Call], kept: Mapping[UUID, Redacted], digests: Sequence[bytes | None]
) -> dict[str, object]:
    return {
        "id": [call.id for call in calls],
        "side": [call.side.value for call in calls],
        "run": [call.platform_run_id for call in calls],
        "run_id": [call.run_id for call in calls],
        "task": [call.task for call in calls],
        "sequence": [call.sequence for call in calls],
        "attempt": [call.attempt for call in calls],
        "kind": [call.kind for call in calls],
        "target": [call.target for call in calls],
        "operation": [kept[call.id].operation for call in calls],
        "identity": [kept[call.id].identity for call in calls],
        "idempotency_key": [kept[call.id].idempotency_key for call in calls],
        "occurred_at": [call.occurred_at for call in calls],
        "seen_by": [call.seen_by.value for call in calls],
        "attributed_by": [call.attributed_by and call.attributed_by.value for call in calls],
        "disposition": [call.disposition.value for call in calls],
        "writes": [call.writes for call in calls],
        "status": [call.status for call in calls],
        "digest": list(digests),
        "answered_at": [call.answered_at for call in calls],
        "waited_ms": [call.waited_ms for call in calls],
        # An array of arrays would have to be as wide in every row.
        "suspects": ["{" + ",".join(map(str, call.suspects)) + "}" if call.suspects else None for call in calls],
        "data": [kept[call.id].stored for call in calls],
    }


def _bodies(vault: Vault, tenant: Tenant, item: Item, kept: Redacted | None) -> dict[str, bytes]:
    """What is kept beside a call's row: the originals, sealed, whose nobody knows yet, as nobody's."""
    found = {}
    if kept is not None and kept.pending is not None:
        found[PENDING] = kept.pending
    if isinstance(item, Call) and item.given is not None and not isinstance(tenant, Nobody):
        found[ANSWERED] = evidence.of_document(vault, tenant, item.given)
    owner = None if isinstance(tenant, Nobody) else tenant
    for part, content in (("answer", item.answer), ("answer_headers", item.answer_headers)):
        if content is not None:
            found[part] = vault.seal(owner, item.id.bytes, part, content)
    if isinstance(item, Call) and item.traits is not None:
        found["traits"] = vault.seal(None, item.id.bytes, "traits", item.traits)
    return found


async def _tell(conn: Connection, side: Side, items: Sequence[Item]) -> None:
    if not items:
        return
    nobodys = [item for item in items if isinstance(item, Call) and item.nobodys]
    for call in nobodys:
        metrics.unattributed(side.value, call.seen_by.value)
    await tell_the_judge(
        conn,
        side,
        runs={item.platform_run_id for item in items if item.run_id is None and item.platform_run_id is not None},
        run_ids={item.run_id for item in items if item.run_id is not None}
        | {suspect for call in nobodys for suspect in call.suspects},
        moments=[call.occurred_at for call in nobodys if not call.suspects],
    )


def _woken(runs: set[UUID]) -> str | None:
    """What a notice says of these runs' calls; None where nobody is to be told."""
    if not runs:
        return None
    text = " ".join(run.hex for run in runs)
    # Too many to name: everybody looks.
    return text if len(text) < _NOTICE_BYTES else ""


class CallLog:
    """Writes calls by group commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commit: GroupCommit[Item, None] = GroupCommit(
            self._store, size=_size, splits=_may_be_an_items_fault, max_batch=500, writers=2, gather=_GATHER_SECONDS
        )

    async def start(self) -> None:
        await self._commit.start()

    async def stop(self) -> None:
        await self._commit.stop()

    async def write(self, item: Item) -> None:
        """Return once it is committed.

        Raises:
            psycopg.Error: it is not, or it is not known.
            Overloaded: too much waits.
        """
        await self._commit.submit([item])

    async def _store(self, items: Sequence[Item]) -> Sequence[None]:
        async with self._database.connection(Work.CALLS) as conn:
            await write(conn, items)
        return [None] * len(items)


def _size(item: Item) -> int:
    return 500 + sum(len(part) for part in (item.document, item.answer, item.answer_headers) if part is not None)


def _may_be_an_items_fault(error: Exception) -> bool:
    if not isinstance(error, psycopg.Error):
        # What cannot even be written down, as its event cannot be read: it must not take along what others did.
        return isinstance(error, ValueError | TypeError | LookupError | ArithmeticError | RecursionError | UnknownKey)
    return isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded)


__all__ = ["CHANNEL", "Answered", "Call", "CallLog", "Item", "Overloaded", "write"]

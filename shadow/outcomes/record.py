"""Writing outcomes down: each finds the run that it is of, finishes it, and has its pair looked at.

Locks are taken in the order of `fanout/handoff.py`: runs, aliases, sequenced dispatches, pairs; within each by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.containment.version import Sighting, saw_versions
from shadow.effects import evidence
from shadow.effects.evidence import NOT_YET, PENDING, Ended
from shadow.effects.waking import outcomes_known
from shadow.fanout.handoff import look_again
from shadow.model.alias import key_alias
from shadow.model.giving_way import Turns
from shadow.model.ids import derived_id, new_id
from shadow.model.moments import credible
from shadow.outcomes.outcome import RunOutcome
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

_ALIASES = b"""
SELECT known.platform, known.alias, known.run_id FROM run_aliases AS known
JOIN unnest(%s::text[], %s::text[]) AS wanted (platform, alias)
  ON wanted.platform = known.platform AND wanted.alias = known.alias
"""
_EVENTS = b"SELECT id, delivery_id, name FROM events WHERE delivery_id = ANY(%s::text[]) ORDER BY id DESC"
_RUNS = b"SELECT id, platform_run_id, event_id, pair_id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_NAME = b"""
INSERT INTO run_aliases (platform, alias, run_id)
SELECT platform, alias, run_id FROM unnest(%s::text[], %s::text[], %s::uuid[]) AS known (platform, alias, run_id)
ORDER BY platform, alias
ON CONFLICT (platform, alias) DO NOTHING
RETURNING platform, alias
"""
_UNSOLICITED = b"""
INSERT INTO runs (id, event_id, pair_id, task, side, platform, authority, state)
SELECT id, event_id, pair_id, task, side, platform, 'none', 'sent'
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[])
     AS run (id, event_id, pair_id, task, side, platform)
"""
_BODIES = b"""
INSERT INTO bodies (id, part, content)
SELECT id, part, content FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS body (id, part, content) ORDER BY id, part
ON CONFLICT (id, part) DO NOTHING
RETURNING id
"""
_FINISH = b"""
WITH told AS (
    SELECT * FROM unnest(
        %(id)s::uuid[], %(platform_run_id)s::text[], %(status)s::text[], %(error_name)s::text[],
        %(error_message)s::text[], %(attempts)s::int[], %(version)s::text[], %(cost_cents)s::float8[],
        %(executions)s::int[], %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[], %(learned_by)s::text[])
        AS told (id, platform_run_id, status, error_name, error_message, attempts, version, cost_cents,
                 executions, started_at, finished_at, learned_by)
),
ended AS (
UPDATE runs AS run
SET state = 'finished', poll_at = NULL,
    status = COALESCE(run.status, told.status),
    platform_run_id = COALESCE(run.platform_run_id, told.platform_run_id),
    error_name = COALESCE(run.error_name, told.error_name),
    error_message = COALESCE(run.error_message, told.error_message),
    attempts = COALESCE(run.attempts, told.attempts),
    version = COALESCE(run.version, told.version),
    cost_cents = COALESCE(run.cost_cents, told.cost_cents),
    executions = COALESCE(run.executions, told.executions),
    started_at = COALESCE(run.started_at, told.started_at),
    finished_at = LEAST(COALESCE(run.finished_at, told.finished_at), now()),
    learned_by = COALESCE(run.learned_by, told.learned_by)
FROM told JOIN runs AS before ON before.id = told.id
WHERE run.id = told.id AND COALESCE(run.status, told.status) = told.status
RETURNING run.id, run.pair_id, before.state <> 'finished' AS is_news, run.event_id, run.authority, run.task, run.side,
          run.platform, run.version, run.finished_at, run.cost_cents, run.executions,
          before.cost_cents AS known_cents, before.executions AS known_executions
),
used AS (
    INSERT INTO cost_changes (event_id, task, side, platform, day, runs, priced, cents, told, executions)
    SELECT event_id, task, side, platform, (COALESCE(finished_at, now()) AT TIME ZONE 'UTC')::date, is_news::int,
           (cost_cents IS NOT NULL)::int - (known_cents IS NOT NULL)::int,
           COALESCE(cost_cents, 0) - COALESCE(known_cents, 0),
           (executions IS NOT NULL)::int - (known_executions IS NOT NULL)::int,
           COALESCE(executions, 0) - COALESCE(known_executions, 0)
    FROM ended
    WHERE is_news OR cost_cents IS DISTINCT FROM known_cents OR executions IS DISTINCT FROM known_executions
)
SELECT id, pair_id, is_news, event_id, authority, task, side, version, finished_at FROM ended
"""

Address = tuple[str, str]
"""A platform and what it calls a run."""


@dataclass(slots=True)
class _Told:
    """An outcome on its way to its run."""

    outcome: RunOutcome
    task: ResolvedTask | None
    side: Side
    aliased: UUID | None = None
    """The run that the platform's id is known to mean."""
    expected: list[UUID] = field(default_factory=list)
    """The runs that it may be of, best first: those that wait for the platform to name them."""
    of_event: set[UUID] = field(default_factory=set)
    """Those of `expected` that are of the event it names."""
    run_id: UUID | None = None
    """The run that it is of, once that is decided."""
    extra_of: tuple[UUID | None, UUID | None] | None = None
    """The event that has another run for this task already, and the pair of that run."""

    @property
    def address(self) -> Address:
        return self.outcome.platform, self.outcome.platform_run_id

    @property
    def key(self) -> Address | None:
        """The alias that a run has before the platform has named it."""
        if self.task is None or self.outcome.idempotency_key is None:
            return None
        return self.outcome.platform, key_alias(self.task.id, self.outcome.idempotency_key)


async def record_outcomes(conn: Connection, catalogue: ResolvedCatalogue, outcomes: Sequence[RunOutcome]) -> int:
    """Write down how runs ended.

    A run is found by the platform's id for it; else as the one that was asked for; else by its idempotency key; else
    by the event and task it names. What fits no expected run of a task we know is kept as an unsolicited run:
    started from a dashboard, by a cron, or a second time for the same event. What is of no task in the catalogue is
    left out.

    Harmless to repeat. The first outcome of a run stands; a later one that says the same fills in what the first
    left open.

    Returns:
        how many outcomes were of a run that is kept.
    """
    told = [item for outcome in _once(outcomes) if (item := _placed(catalogue, outcome)) is not None]
    if not told:
        return 0
    await _look_up(conn, told)
    await _look_up_events(conn, told)
    await _decide(conn, told)
    await _name(conn, [item for item in told if item.run_id is not None and item.aliased is None])
    await _add_unsolicited(conn, [(item, item.task) for item in told if item.run_id is None and item.task is not None])
    kept = [item for item in told if item.run_id is not None]
    await _finish(conn, kept)
    return len(kept)


def _once(outcomes: Sequence[RunOutcome]) -> Iterable[RunOutcome]:
    """One outcome a run: the first."""
    first: dict[Address, RunOutcome] = {}
    for outcome in outcomes:
        first.setdefault((outcome.platform, outcome.platform_run_id), outcome)
    return first.values()


def _placed(catalogue: ResolvedCatalogue, outcome: RunOutcome) -> _Told | None:
    platform = catalogue.platforms.get(outcome.platform)
    if platform is None:
        return None
    task = catalogue.tasks.get(outcome.task) if outcome.task is not None else None
    if task is None and outcome.function is not None:
        task = catalogue.task_of_function(outcome.function)
    if task is None and outcome.legacy_task is not None:
        task = catalogue.task_of_legacy(outcome.platform, outcome.legacy_task)
    told = _Told(outcome, task, platform.side)
    if outcome.asked_for is not None:
        told.expected.append(outcome.asked_for)
    return told


async def _look_up(conn: Connection, told: Sequence[_Told]) -> None:
    """The runs that are known by the platform's id, or by the idempotency key."""
    wanted = {item.address for item in told} | {item.key for item in told if item.key is not None}
    cursor = await conn.execute(
        _ALIASES, ([platform for platform, _alias in wanted], [alias for _platform, alias in wanted])
    )
    known: dict[Address, UUID] = {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
    for item in told:
        item.aliased = known.get(item.address)
        if item.key is not None and item.key in known:
            item.expected.append(known[item.key])


async def _look_up_events(conn: Connection, told: Sequence[_Told]) -> None:
    """The runs that the named events shall have; of several events with one id the newest first."""
    named = [item for item in told if item.aliased is None and item.task and item.outcome.event_id]
    if not named:
        return
    cursor = await conn.execute(_EVENTS, ([item.outcome.event_id for item in named],))
    events: dict[str, list[tuple[UUID, str]]] = {}
    for event_id, delivery_id, name in await cursor.fetchall():
        events.setdefault(delivery_id, []).append((event_id, name))
    for item in named:
        for event_id, name in events.get(item.outcome.event_id or "", ()):
            if item.task is not None and item.outcome.event_name in (None, name):
                run_id = derived_id(event_id, item.task.id, item.side)
                item.expected.append(run_id)
                item.of_event.add(run_id)


async def _decide(conn: Connection, told: Sequence[_Told]) -> None:
    """Lock all runs in question and give each outcome its own."""
    asked = {item.aliased for item in told if item.aliased is not None}
    asked |= {run for item in told if item.aliased is None for run in item.expected}
    cursor = await conn.execute(_RUNS, (sorted(asked),))
    rows = await cursor.fetchall()
    named: dict[UUID, str | None] = {row[0]: row[1] for row in rows}
    places: dict[UUID, tuple[UUID | None, UUID | None]] = {row[0]: (row[2], row[3]) for row in rows}
    for item in told:
        if item.aliased is not None:
            item.run_id = item.aliased if item.aliased in named else None
            continue
        for run in item.expected:
            if run not in named:
                continue
            if named[run] in (None, item.outcome.platform_run_id):
                item.run_id = run
                named[run] = item.outcome.platform_run_id  # nothing else of this batch may have it
                break
            if run in item.of_event:
                item.extra_of = item.extra_of or places[run]
        if item.run_id is None and item.extra_of is not None:
            log.warning(
                "outcomes.extra_run",
                side=item.side.value,
                of=str(item.extra_of[0]),
                run=item.outcome.platform_run_id,
            )


async def _name(conn: Connection, told: Sequence[_Told]) -> set[Address]:
    """Write which run the platform's ids mean.

    Returns:
        those that were not known before.
    """
    if not told:
        return set()
    cursor = await conn.execute(
        _NAME,
        (
            [item.outcome.platform for item in told],
            [item.outcome.platform_run_id for item in told],
            [item.run_id for item in told],
        ),
    )
    return {(platform, alias) for platform, alias in await cursor.fetchall()}


async def _add_unsolicited(conn: Connection, told: Sequence[tuple[_Told, ResolvedTask]]) -> None:
    """Keep runs that nothing expected, once each; sets their `run_id`."""
    told = [(item, task) for item, task in told if item.aliased is None]
    for item, _task in told:
        item.run_id = new_id()
    fresh = await _name(conn, [item for item, _task in told])
    for item, _task in told:
        if item.address not in fresh:
            # Another process has just told of the same run. Its word stands.
            item.run_id = None
    added = [(item, task) for item, task in told if item.run_id is not None]
    if not added:
        return
    await conn.execute(
        _UNSOLICITED,
        (
            [item.run_id for item, _task in added],
            [item.extra_of[0] if item.extra_of else None for item, _task in added],
            [item.extra_of[1] if item.extra_of else None for item, _task in added],
            [task.id for _item, task in added],
            [item.side.value for item, _task in added],
            [item.outcome.platform for item, _task in added],
        ),
    )


async def _finish(conn: Connection, told: Sequence[_Told]) -> None:
    """Finish the runs, keep their outputs, and have the pairs looked at of which something was learned."""
    if not told:
        return
    outcomes = [item.outcome for item in told]
    ended = await _redacted(conn, told)
    cursor = await conn.execute(
        _FINISH,
        {
            "id": [item.run_id for item in told],
            "platform_run_id": [outcome.platform_run_id for outcome in outcomes],
            "status": [outcome.status.value for outcome in outcomes],
            "error_name": [_storable(outcome.error_name) for outcome in outcomes],
            "error_message": [run.error_message for run in ended],
            "attempts": [outcome.attempts for outcome in outcomes],
            "version": [_storable(outcome.version) for outcome in outcomes],
            "cost_cents": [outcome.cost_cents for outcome in outcomes],
            "executions": [outcome.executions for outcome in outcomes],
            "started_at": [credible(outcome.started_at) for outcome in outcomes],
            "finished_at": [credible(outcome.finished_at) for outcome in outcomes],
            "learned_by": [outcome.learned_by.value for outcome in outcomes],
        },
    )
    pairs: dict[UUID, UUID | None] = {}
    learned: set[UUID] = set()
    awaited: set[UUID] = set()
    sightings: set[Sighting] = set()
    for run_id, pair_id, is_news, event_id, authority, task, side, version, ended_at in await cursor.fetchall():
        pairs[run_id] = pair_id
        if is_news:
            if version is not None:
                sightings.add(Sighting(task, Side(side), version, ended_at))
            learned.add(run_id)
            if authority == "real" and event_id is not None:
                awaited.add(event_id)
    bodies = [
        (item.run_id, part, content)
        for item, run in zip(told, ended, strict=True)
        for part, content in (("output", run.output), (PENDING, run.pending))
        if content is not None and item.run_id in pairs
    ]
    if bodies:
        cursor = await conn.execute(_BODIES, [list(column) for column in zip(*bodies, strict=True)])
        learned |= {row[0] for row in await cursor.fetchall()}
    await look_again(conn, awaited)
    await saw_versions(conn, sightings)
    settle = {item.run_id: item.task.settle for item in told if item.task is not None}
    await outcomes_known(conn, {pair: settle.get(run) for run in learned if (pair := pairs[run]) is not None})


async def _redacted(conn: Connection, told: Sequence[_Told]) -> list[Ended]:
    """How the runs ended, as it may be stored, each with its tenant's hashes."""
    runs = [item.run_id for item in told if item.run_id is not None]
    whose = await evidence.owners(conn, told[0].side, runs=runs)
    owners = [NOT_YET if item.run_id is None else whose.get(item.run_id, NOT_YET) for item in told]
    tenants = {owner.tenant for owner in owners}
    await evidence.ready(conn, tenants)
    ended = []
    turns = Turns()
    for item, owner in zip(told, owners, strict=True):
        message = _storable(item.outcome.error_message)
        ended.append(evidence.of_run(conn.vault, owner.tenant, item.outcome.output, message, owner.names))
        if await turns.give_way():
            await evidence.ready(conn, tenants)
    return ended


def _storable(text: str | None) -> str | None:
    """Text as PostgreSQL can keep it: without NUL and lone surrogates."""
    if text is None:
        return None
    return text.replace("\x00", "").encode(errors="replace").decode()

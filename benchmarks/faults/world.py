"""A real database with the rows that intake, fan-out, outcomes and the gateway leave, and a judge over it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
from ulid import ULID

from benchmarks.faults.pairs import Pair, Run
from sandbox.commerce.catalogue import catalogue
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.effects.record import record_effects
from shadow.egress import calls
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import derived_id
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.record import record_outcomes
from shadow.sealing.master import new_text
from shadow.sealing.master import parse as parse_key
from shadow.store import embedded
from shadow.store.database import Connection, Database, Work

_DEADLINE = timedelta(days=30)
_PLATFORMS = {Side.LEGACY: "trigger", Side.CANDIDATE: "inngest"}
_MOST_EFFECTS = 2_000
"""Written by one statement."""

_EVENTS = b"""
INSERT INTO events
    (id, source, door, origin, name, tenant, delivery_id, upstream_id, accepted_at, route, phase, authority)
SELECT id, 'app-inngest', 'inngest', 'producer', name, tenant, 'delivery-' || id, upstream_id, accepted_at, route,
       'shadow', 'legacy'
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
    AS event (id, name, tenant, upstream_id, accepted_at, route)
"""
_DATA = b"""
INSERT INTO bodies (id, part, content)
SELECT id, 'data', content FROM unnest(%s::uuid[], %s::bytea[]) AS body (id, content)
"""
_RUNS = b"""
INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority, state)
SELECT id, event_id, pair_id, task, side, platform, name, CASE side WHEN 'legacy' THEN 'real' ELSE 'none' END, 'sent'
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS run (id, event_id, pair_id, task, side, platform, name)
"""
_PAIRS = b"""
INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at)
SELECT id, event_id, task, tenant, legacy_run, candidate_run, 'open', deadline_at, deadline_at
FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::timestamptz[])
    AS pair (id, event_id, task, tenant, legacy_run, candidate_run, deadline_at)
"""
_TALLIES = b"""
INSERT INTO tallies AS known (task, day, tenant, opened)
SELECT task, day, tenant, count(*) FROM unnest(%s::text[], %s::date[], %s::text[]) AS told (task, day, tenant)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (task, day, tenant) DO UPDATE SET opened = known.opened + excluded.opened
"""


@dataclass
class World:
    """The database, and how pairs get in and verdicts out."""

    catalogue: ResolvedCatalogue
    database: Database
    judge: JudgeLoop

    async def write(self, pairs: Sequence[Pair]) -> None:
        """Keep what is known of these pairs."""
        async with self.database.connection(Work.CONTROL) as connection:
            await self._events(connection, pairs)
        for side in Side:
            runs = [(pair, run) for pair in pairs if (run := _run(pair, side)) is not None]
            await self._effects(side, [run for _pair, run in runs])
            async with self.database.connection(Work.OUTCOMES) as connection:
                await record_outcomes(connection, self.catalogue, [_outcome(pair, run) for pair, run in runs])

    async def verdicts(self) -> int:
        """Judge what is due; returns how many pairs were."""
        judged = 0
        # Everything has settled, and whatever has not come by then never will.
        later = datetime.now(UTC) + 2 * _DEADLINE
        while True:
            turn = await self.judge.once(later)
            judged += turn.judged
            if turn.claimed == 0:
                return judged

    async def _events(self, connection: Connection, pairs: Sequence[Pair]) -> None:
        await connection.vault.ready({pair.tenant for pair in pairs})
        await connection.execute(
            _EVENTS,
            (
                [pair.event for pair in pairs],
                [pair.name for pair in pairs],
                [pair.tenant for pair in pairs],
                [str(ULID.from_datetime(pair.accepted_at)) for pair in pairs],
                [pair.accepted_at for pair in pairs],
                [self.catalogue.tasks[pair.task].route for pair in pairs],
            ),
        )
        sealed = [connection.vault.seal(pair.tenant, pair.event.bytes, "data", pair.data) for pair in pairs]
        await connection.execute(_DATA, ([pair.event for pair in pairs], sealed))
        await evidence.keep_of_events(connection, {pair.event: (pair.tenant, pair.data) for pair in pairs})
        runs = [(pair, side) for pair in pairs for side in Side]
        await connection.execute(
            _RUNS,
            (
                [_run_id(pair, side) for pair, side in runs],
                [pair.event for pair, _side in runs],
                [pair.id for pair, _side in runs],
                [pair.task for pair, _side in runs],
                [side.value for _pair, side in runs],
                [_PLATFORMS[side] for _pair, side in runs],
                [run.platform_run if (run := _run(pair, side)) is not None else None for pair, side in runs],
            ),
        )
        await connection.execute(
            _PAIRS,
            (
                [pair.id for pair in pairs],
                [pair.event for pair in pairs],
                [pair.task for pair in pairs],
                [pair.tenant for pair in pairs],
                [_run_id(pair, Side.LEGACY) for pair in pairs],
                [_run_id(pair, Side.CANDIDATE) for pair in pairs],
                [pair.accepted_at + _DEADLINE for pair in pairs],
            ),
        )
        days = [pair.accepted_at.astimezone(UTC).date() for pair in pairs]
        await connection.execute(_TALLIES, ([p.task for p in pairs], days, [p.tenant or "" for p in pairs]))

    async def _effects(self, side: Side, runs: Sequence[Run]) -> None:
        async with self.database.connection(Work.EGRESS) as connection:
            written = [call for run in runs for call in run.recorded.calls]
            for start in range(0, len(written), _MOST_EFFECTS):
                await calls.write(connection, written[start : start + _MOST_EFFECTS])
            seen = [effect for run in runs for effect in run.recorded.effects]
            for start in range(0, len(seen), _MOST_EFFECTS):
                await record_effects(connection, side, seen[start : start + _MOST_EFFECTS])


def _run(pair: Pair, side: Side) -> Run | None:
    return pair.legacy if side is Side.LEGACY else pair.candidate


def _run_id(pair: Pair, side: Side) -> UUID:
    return derived_id(pair.event, pair.task, side)


def _outcome(pair: Pair, run: Run) -> RunOutcome:
    performance = run.performance
    return RunOutcome(
        platform=_PLATFORMS[run.side],
        platform_run_id=run.platform_run,
        status=Status(run.script.status),
        learned_by=LearnedBy.WATCHER if run.side is Side.CANDIDATE else LearnedBy.POLL,
        asked_for=run.id,
        task=pair.task,
        output=run.output,
        error_name=run.error_name,
        error_message=run.error_message,
        attempts=performance.attempts,
        started_at=performance.started_at,
        finished_at=performance.finished_at,
    )


def commerce_catalogue() -> ResolvedCatalogue:
    """The sandbox's own catalogue, as it is: its identities and its declared order are all the tuning there is."""
    nowhere = "http://127.0.0.1:9"
    text = catalogue(
        Dataset.build(scale=4),
        trigger_url=nowhere,
        inngest_url=nowhere,
        targets_url=nowhere,
        databases=DatabaseUrls(*(f"postgresql://{side}@127.0.0.1:9/{side}" for side in Side)),
        keys=Keys(),
        deadline="15m",
    )
    return parse(text, "commerce.yaml", {})


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A database of its own; it goes with the block."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-faults-"))
    url, server = embedded.start(folder, ephemeral=True)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug here
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
        master = parse_key(new_text())
        database = Database(url, sealing_key=lambda: master)
        try:
            await database.prepare()
            known = commerce_catalogue()
            yield World(known, database, JudgeLoop(database, known, lease=timedelta(minutes=30)))
        finally:
            await database.close()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["World", "commerce_catalogue", "world"]

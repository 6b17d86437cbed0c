"""What is known of a batch of pairs before their ledgers are read: how their runs ended, and what is in doubt.

The number of queries does not depend on the size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.judge.doubt import Watched, load_doubts
from shadow.store.database import Connection

_COLUMNS = """
id, side, platform_run_id, status, error_name, error_message, attempts, started_at, finished_at, event_id, world,
cost_cents, authority, pair_id
"""
_RUNS = f"""
SELECT {_COLUMNS} FROM runs WHERE id = ANY(%(expected)s) AND state = 'finished'
UNION ALL
SELECT {_COLUMNS} FROM runs
WHERE event_id = ANY(%(events)s) AND pair_id = ANY(%(pairs)s) AND id <> ALL(%(expected)s) AND state = 'finished'
"""  # noqa: S608  # of constants
_EXTRA_RUNS = f"""
SELECT {_COLUMNS} FROM runs
WHERE event_id = ANY(%(events)s) AND pair_id = ANY(%(pairs)s) AND id <> ALL(%(expected)s) AND state = 'finished'
"""  # noqa: S608  # of constants
_PAIR = 13
"""Index of a run's pair."""


@dataclass(frozen=True, slots=True)
class ClaimedPair:
    """A row of `pairs` that the judge has claimed."""

    id: UUID
    event_id: UUID
    task: str
    tenant: str | None
    legacy_run: UUID
    candidate_run: UUID
    deadline_at: datetime
    incomparable: str | None
    probed_at: datetime | None = None
    probe_failures: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """How a run ended, before its output and effects are read."""

    id: UUID
    side: Side
    platform_run_id: str | None
    status: str
    error_name: str | None
    error_message: str | None
    attempts: int | None
    started_at: datetime | None
    finished_at: datetime
    event_id: UUID | None = None
    """What started it; the two runs of a pair of children were started by an event each."""
    world: str | None = None
    """What became of the rows that it needs; see `model/world.py`."""
    cost_cents: float | None = None
    authority: str = "none"
    """Or real."""


@dataclass(frozen=True, slots=True)
class PairFacts:
    """How the runs of a pair ended."""

    pair: ClaimedPair
    legacy: FinishedRun | None
    candidate: FinishedRun | None
    extra: tuple[FinishedRun, ...] = ()
    """Further runs of the same event for the same task: what they did was done too."""
    doubt: str | None = None
    """Why a ledger may not be complete."""

    @property
    def runs(self) -> list[FinishedRun]:
        """All that are known to have ended."""
        return [run for run in (self.legacy, self.candidate, *self.extra) if run is not None]

    @property
    def events(self) -> set[UUID]:
        """Those that the two runs are of; children of a pair have one each."""
        of_runs = (run.event_id for run in (self.legacy, self.candidate) if run is not None)
        return {self.pair.event_id, *(event for event in of_runs if event is not None)}


async def load_facts(connection: Connection, pairs: Sequence[ClaimedPair]) -> list[PairFacts]:
    """How the runs of these pairs ended, and what is in doubt: two queries, and more only where there is a doubt, or
    where the two runs of a pair have an event each."""
    asked: dict[str, object] = {
        "expected": [run for pair in pairs for run in (pair.legacy_run, pair.candidate_run)],
        "events": [pair.event_id for pair in pairs],
        "pairs": [pair.id for pair in pairs],
    }
    expected = {run for pair in pairs for run in (pair.legacy_run, pair.candidate_run)}
    cursor = await connection.execute(_RUNS, asked, binary=True)
    runs: dict[UUID, FinishedRun] = {}
    extra: dict[UUID, list[FinishedRun]] = {}
    for row in await cursor.fetchall():
        run = _finished(row)
        if run.id in expected:
            runs[run.id] = run
        else:
            extra.setdefault(row[_PAIR], []).append(run)
    others = {run.event_id for run in runs.values() if run.event_id is not None} - {pair.event_id for pair in pairs}
    if others:
        cursor = await connection.execute(_EXTRA_RUNS, {**asked, "events": list(others)}, binary=True)
        for row in await cursor.fetchall():
            extra.setdefault(row[_PAIR], []).append(_finished(row))
    for found in extra.values():
        found.sort(key=lambda run: run.id)
    facts = [
        PairFacts(pair, runs.get(pair.legacy_run), runs.get(pair.candidate_run), tuple(extra.get(pair.id, ())))
        for pair in pairs
    ]
    doubts = await load_doubts(connection, [watched for fact in facts for watched in _watched(fact)])
    return [_in_doubt(fact, doubts) for fact in facts] if doubts else facts


def _watched(fact: PairFacts) -> list[Watched]:
    """Only pairs of which both sides have ended are in question."""
    if fact.legacy is None or fact.candidate is None:
        return []
    return [Watched(run.id, run.side.value, fact.pair.task, run.started_at, run.finished_at) for run in fact.runs]


def _in_doubt(fact: PairFacts, doubts: Mapping[UUID, str]) -> PairFacts:
    found = [doubts[run.id] for run in fact.runs if run.id in doubts]
    return replace(fact, doubt=found[0]) if found else fact


def _finished(row: Sequence[Any]) -> FinishedRun:
    identifier, side, *more = row[:_PAIR]
    return FinishedRun(identifier, Side(side), *more)

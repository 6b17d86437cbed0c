"""Reading what was seen of routes since they were moved: a few indexed queries, whatever was recorded meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shadow.catalogue import ResolvedCatalogue
from shadow.model.ids import first_id_at
from shadow.steering.evidence import Critical, Dead, Leak, Runs, Seen
from shadow.store.database import Connection

MOST_RUNS = 200
"""The candidate's newest runs by which its failures are counted, or as many as the catalogue asks for: a route that
has been live for months has to notice as soon as on its first day."""
MOST = 1000
"""Pairs, incidents and dispatches that are counted."""
_SKEW = timedelta(minutes=5)
"""How much a platform's clock may be behind: runs are found by when they ended."""

_ENTERED = """
SELECT wanted.route, (
    SELECT min(move.effective_at) FROM moves AS move
    WHERE move.tasks && wanted.tasks::text[] AND move.to_phase IN ('ramp', 'live')
      AND move.decided_at > coalesce((
          SELECT max(before.decided_at) FROM moves AS before
          WHERE before.tasks && wanted.tasks::text[] AND before.to_phase NOT IN ('ramp', 'live')), '-infinity')),
    (SELECT max(phase.effective_at) FROM phases AS phase WHERE phase.task = ANY(wanted.tasks::text[]))
FROM unnest(%s::text[], %s::text[]) AS wanted (route, tasks)
"""
_CRITICAL = """
SELECT wanted.task, first.pair_id, first.signature, first.sentence, first.number
FROM unnest(%(tasks)s::text[], %(entered)s::uuid[]) AS wanted (task, entered)
CROSS JOIN LATERAL (
    SELECT shown.*, count(*) OVER () AS number FROM (
        SELECT pair.id AS pair_id, worst.signature, worst.sentence FROM pairs AS pair
        CROSS JOIN LATERAL (
            SELECT signature, sentence FROM differences
            WHERE differences.pair_id = pair.id AND differences.severity = 'critical'
              AND differences.allowance IS NULL
            ORDER BY ordinal LIMIT 1) AS worst
        WHERE pair.task = wanted.task AND pair.id >= wanted.entered AND pair.verdict = 'mismatch'
          AND pair.severity = 'critical' AND pair.replay IS NULL
        ORDER BY pair.id LIMIT %(most)s) AS shown
    ORDER BY shown.pair_id LIMIT 1) AS first
"""
_LEAKS = """
SELECT wanted.task, first.id, first.detail, first.number
FROM unnest(%(tasks)s::text[], %(entered)s::uuid[]) AS wanted (task, entered)
CROSS JOIN LATERAL (
    SELECT found.*, count(*) OVER () AS number FROM (
        SELECT id, detail FROM incidents
        WHERE incidents.task = wanted.task AND incidents.id >= wanted.entered AND incidents.kind = 'leak'
        ORDER BY id LIMIT %(most)s) AS found
    ORDER BY found.id LIMIT 1) AS first
"""
_RUNS = """
SELECT wanted.task, count(*), count(*) FILTER (WHERE newest.failed),
       (array_agg(newest.id ORDER BY newest.finished_at DESC) FILTER (WHERE newest.failed))[:3]
FROM unnest(%(tasks)s::text[], %(moved)s::uuid[], %(ended)s::timestamptz[], %(runs)s::int[])
     AS wanted (task, moved, ended, runs)
CROSS JOIN LATERAL (
    SELECT run.id, run.finished_at, run.status IN ('failed', 'timed_out', 'expired', 'crashed') AS failed
    FROM runs AS run
    WHERE run.side = 'candidate' AND run.authority = 'real' AND run.state = 'finished' AND run.task = wanted.task
      AND run.id >= wanted.moved AND run.finished_at >= wanted.ended
    ORDER BY run.finished_at DESC LIMIT wanted.runs) AS newest
GROUP BY wanted.task
"""
# A worker that is gone fails nothing: its runs do not end at all.
_OVERDUE = """
SELECT wanted.task, count(late.id), (array_agg(late.id))[:3]
FROM unnest(%(tasks)s::text[], %(moved)s::uuid[], %(due)s::uuid[], %(started)s::timestamptz[])
     AS wanted (task, moved, due, started)
CROSS JOIN LATERAL (
    SELECT run.id FROM runs AS run
    WHERE run.side = 'candidate' AND run.authority = 'real' AND run.state <> 'finished' AND run.task = wanted.task
      AND run.id >= wanted.moved AND run.id < wanted.due
      AND (run.scheduled_at IS NULL OR run.scheduled_at < wanted.started)
    ORDER BY run.id LIMIT %(most)s) AS late
GROUP BY wanted.task
"""
# Counted by delta with the pairs of the gate, in whatever epoch: legacy's runs don't depend on the candidate's version.
_LEGACY = """
SELECT epoch.task, sum(neither_failed + candidate_failed + legacy_failed + both_failed)::bigint,
       sum(legacy_failed + both_failed)::bigint
FROM epochs AS epoch JOIN gate_runs AS counted ON counted.epoch = epoch.id
WHERE epoch.task = ANY(%(tasks)s) GROUP BY epoch.task
"""
_DEAD = """
SELECT event.route, count(*), (array_agg(event.id ORDER BY event.id))[1],
       (array_agg(dispatch.error ORDER BY event.id))[1]
FROM (SELECT id, event_id, error FROM dispatches
      WHERE state = 'dead' AND side = 'candidate' AND id >= %(since)s ORDER BY id LIMIT %(most)s) AS dispatch
JOIN events AS event ON event.id = dispatch.event_id
JOIN unnest(%(routes)s::text[], %(entered)s::uuid[]) AS wanted (route, entered) ON wanted.route = event.route
WHERE event.id >= wanted.entered AND event.purpose = 'live'
GROUP BY event.route
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A route in `ramp` or `live`."""

    route: str
    tasks: tuple[str, ...]
    entered: datetime
    """When it left `shadow`: whatever is wrong since then is evidence, however often it was moved on meanwhile."""
    moved: datetime
    """When it was last moved on: a share of failures is one of what ran since."""


async def entered(connection: Connection, routes: Mapping[str, tuple[str, ...]], now: datetime) -> dict[str, Watched]:
    """When each of these routes, which stand in `ramp` or `live`, came there; without those that are about to."""
    if not routes:
        return {}
    cursor = await connection.execute(
        _ENTERED, (list(routes), ["{" + ",".join(_quoted(task) for task in tasks) + "}" for tasks in routes.values()])
    )
    found = {}
    for route, first, last in await cursor.fetchall():
        came = first or last
        if came is not None and came <= now:
            found[route] = Watched(route, routes[route], came, last if last is not None and last <= now else came)
    return found


async def look(
    connection: Connection, catalogue: ResolvedCatalogue, watched: Sequence[Watched], now: datetime
) -> dict[str, Seen]:
    """What was seen of every task of these routes since they came there."""
    if not watched:
        return {}
    since = {task: one for one in watched for task in one.tasks}
    started = [now - catalogue.tasks[task].deadline for task in since]
    asked = {
        "tasks": list(since),
        "entered": [first_id_at(one.entered) for one in since.values()],
        "moved": [first_id_at(one.moved) for one in since.values()],
        "ended": [one.moved - _SKEW for one in since.values()],
        "runs": [max(MOST_RUNS, catalogue.tasks[task].cutover.failures_runs) for task in since],
        "due": [first_id_at(moment) for moment in started],
        "started": started,
        "most": MOST,
    }
    critical = await _rows(connection, _CRITICAL, asked)
    leaks = await _rows(connection, _LEAKS, asked)
    runs = await _rows(connection, _RUNS, asked)
    overdue = await _rows(connection, _OVERDUE, asked)
    legacy = await _rows(connection, _LEGACY, asked)
    of_routes = {
        "routes": [one.route for one in watched],
        "entered": [first_id_at(one.entered) for one in watched],
        "since": first_id_at(min(one.entered for one in watched)),
        "most": MOST,
    }
    dead = await _rows(connection, _DEAD, of_routes)
    seen = {}
    for task, one in since.items():
        finished, failed, examples = runs.get(task, (0, 0, None))
        late, unfinished = overdue.get(task, (0, None))
        number, event, error = dead.get(one.route, (0, None, None))
        seen[task] = Seen(
            task,
            critical=Critical(*critical[task]) if task in critical else None,
            leak=Leak(*leaks[task]) if task in leaks else None,
            runs=Runs(finished, failed, late, (*(examples or ()), *(unfinished or ()))),
            legacy=Runs(*legacy.get(task, (0, 0))),
            dead=Dead(event, error, number) if event is not None else None,
        )
    return seen


async def _rows(connection: Connection, query: str, asked: Mapping[str, object]) -> dict[str, tuple[Any, ...]]:
    """By the first column."""
    cursor = await connection.execute(query.encode(), asked)
    return {row[0]: row[1:] for row in await cursor.fetchall()}


def _quoted(text: str) -> str:
    """An element of an array as PostgreSQL reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""Pairs of children: opened by whichever twin comes first, completed by the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

_OPEN = b"""
INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at, incomparable,
                   parent_pair, starts_at)
SELECT id, event_id, task, tenant, COALESCE(legacy_run, id), COALESCE(candidate_run, id), 'open', deadline_at,
       deadline_at, incomparable, parent_pair, starts_at
FROM unnest(%(id)s::uuid[], %(event_id)s::uuid[], %(task)s::text[], %(tenant)s::text[], %(legacy_run)s::uuid[],
            %(candidate_run)s::uuid[], %(deadline_at)s::timestamptz[], %(incomparable)s::text[],
            %(parent_pair)s::uuid[], %(starts_at)s::timestamptz[])
     AS pair (id, event_id, task, tenant, legacy_run, candidate_run, deadline_at, incomparable, parent_pair, starts_at)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_COMPLETE = b"""
UPDATE pairs
SET legacy_run = COALESCE(given.legacy_run, pairs.legacy_run),
    candidate_run = COALESCE(given.candidate_run, pairs.candidate_run),
    deadline_at = GREATEST(pairs.deadline_at, given.deadline_at),
    due_at = CASE WHEN pairs.due_at = pairs.deadline_at THEN GREATEST(pairs.deadline_at, given.deadline_at)
                  ELSE pairs.due_at END
FROM unnest(%(id)s::uuid[], %(legacy_run)s::uuid[], %(candidate_run)s::uuid[], %(deadline_at)s::timestamptz[])
     AS given (id, legacy_run, candidate_run, deadline_at)
WHERE pairs.id = given.id
  AND (COALESCE(given.legacy_run, pairs.legacy_run) <> pairs.legacy_run
       OR COALESCE(given.candidate_run, pairs.candidate_run) <> pairs.candidate_run)
  AND pairs.id IN (SELECT id FROM pairs WHERE id = ANY(%(id)s::uuid[]) ORDER BY id FOR UPDATE)
"""
_COUNT = b"""
INSERT INTO tallies (task, day, tenant, opened)
SELECT task, day, tenant, count(*)
FROM unnest(%(task)s::text[], %(day)s::date[], %(owner)s::text[]) AS pair (task, day, tenant)
GROUP BY task, day, tenant
ORDER BY task, day, tenant
ON CONFLICT (task, day, tenant) DO UPDATE SET opened = tallies.opened + excluded.opened
"""


@dataclass(frozen=True, slots=True)
class ChildPair:
    """A pair as one of its twins knows it."""

    id: UUID
    parent_pair: UUID
    event: EventRow
    task: str
    side: Side
    """Of the twin."""
    run: UUID
    deadline: datetime
    incomparable: str | None


async def open_child_pairs(conn: Connection, pairs: Sequence[ChildPair]) -> list[ChildPair]:
    """Write the pairs, with those of their runs that are known. A run that has not come is named by the pair's own id,
    which no run has.

    Returns:
        those that are new; they are to be counted.
    """
    if not pairs:
        return []
    pairs = sorted(pairs, key=lambda pair: pair.id)
    columns = {
        "id": [pair.id for pair in pairs],
        "event_id": [pair.event.id for pair in pairs],
        "task": [pair.task for pair in pairs],
        "tenant": [pair.event.tenant for pair in pairs],
        "legacy_run": [pair.run if pair.side is Side.LEGACY else None for pair in pairs],
        "candidate_run": [pair.run if pair.side is Side.CANDIDATE else None for pair in pairs],
        "deadline_at": [pair.deadline for pair in pairs],
        "incomparable": [pair.incomparable for pair in pairs],
        "parent_pair": [pair.parent_pair for pair in pairs],
        "starts_at": [pair.event.counts_from for pair in pairs],
    }
    cursor = await conn.execute(_OPEN, columns)
    fresh = {row[0] for row in await cursor.fetchall()}
    await conn.execute(_COMPLETE, columns)
    opened = {pair.id: pair for pair in pairs if pair.id in fresh}
    return list(opened.values())


async def count_opened(conn: Connection, pairs: Sequence[ChildPair]) -> None:
    """Count them. Last in a transaction: the rows of the tallies are everybody's."""
    if pairs:
        await conn.execute(
            _COUNT,
            {
                "task": [pair.task for pair in pairs],
                "day": [pair.event.accepted_at.astimezone(UTC).date() for pair in pairs],
                "owner": [pair.event.tenant or "" for pair in pairs],
            },
        )

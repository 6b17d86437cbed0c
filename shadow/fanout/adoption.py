"""Tying a platform's run id to the run that it is, also when its outcome was told before its id was known.

A worker may report a run's end, or call a target, before the answer that started it is written down. It then stands as
a run of nobody's (unsolicited); once the id is known, the expected run takes over all that was learned of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from shadow.store.database import Connection

log = structlog.get_logger(__name__)

SHARED = "run_shared: an earlier event with the same idempotency key had started the run"
"""Why a pair can't be compared whose run was started for another event already."""

_ALIAS = b"""
INSERT INTO run_aliases (platform, alias, run_id)
SELECT platform, alias, run_id FROM unnest(%s::text[], %s::text[], %s::uuid[]) AS known (platform, alias, run_id)
ORDER BY platform, alias
ON CONFLICT (platform, alias) DO NOTHING
RETURNING platform, alias
"""
_OWNERS = b"""
SELECT known.platform, known.alias, known.run_id, run.event_id
FROM run_aliases AS known
JOIN unnest(%s::text[], %s::text[]) AS wanted (platform, alias)
  ON wanted.platform = known.platform AND wanted.alias = known.alias
LEFT JOIN runs AS run ON run.id = known.run_id
"""
_HOLD = b"SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_ADOPT = b"""
WITH adopted AS (
    SELECT * FROM unnest(%(ours)s::uuid[], %(theirs)s::uuid[]) AS adopted (ours, theirs)
),
moved AS (
    UPDATE bodies SET id = adopted.ours FROM adopted
    WHERE bodies.id = adopted.theirs AND bodies.id = ANY(%(theirs)s::uuid[])
),
followed AS (
    UPDATE effects SET run_id = adopted.ours FROM adopted
    WHERE effects.run_id = adopted.theirs AND effects.run_id = ANY(%(theirs)s::uuid[])
),
renamed AS (
    UPDATE run_aliases SET run_id = adopted.ours FROM adopted WHERE run_aliases.run_id = adopted.theirs
      AND (run_aliases.platform, run_aliases.alias)
          IN (SELECT * FROM unnest(%(platforms)s::text[], %(aliases)s::text[]))
),
gone AS (
    DELETE FROM runs WHERE id = ANY(%(theirs)s::uuid[])
    RETURNING *
),
counted AS (
    -- What it cost was nothing of ours, and is ours now.
    INSERT INTO cost_changes (event_id, task, side, platform, day, runs, priced, cents, told, executions)
    SELECT owner.event_id, gone.task, gone.side, gone.platform,
           (COALESCE(gone.finished_at, now()) AT TIME ZONE 'UTC')::date, owner.sign,
           owner.sign * (gone.cost_cents IS NOT NULL)::int, owner.sign * COALESCE(gone.cost_cents, 0),
           owner.sign * (gone.executions IS NOT NULL)::int, owner.sign * COALESCE(gone.executions, 0)
    FROM gone JOIN adopted ON adopted.theirs = gone.id
    JOIN runs AS ours ON ours.id = adopted.ours AND ours.id = ANY(%(ours)s::uuid[])
    CROSS JOIN LATERAL (
        VALUES (NULL::uuid, -1), (ours.event_id, CASE WHEN ours.state = 'finished' THEN 0 ELSE 1 END)
    ) AS owner (event_id, sign)
    WHERE gone.state = 'finished' AND owner.sign <> 0
)
UPDATE runs AS run
SET state = gone.state, status = gone.status, error_name = gone.error_name, error_message = gone.error_message,
    attempts = gone.attempts, version = gone.version, cost_cents = gone.cost_cents, executions = gone.executions,
    started_at = gone.started_at, finished_at = gone.finished_at, learned_by = gone.learned_by, poll_at = NULL
FROM adopted JOIN gone ON gone.id = adopted.theirs
WHERE run.id = adopted.ours AND run.id = ANY(%(ours)s::uuid[]) AND run.state <> 'finished'
  AND gone.state = 'finished'
"""
_UNASKED = b"UPDATE runs SET poll_at = NULL WHERE id = ANY(%s::uuid[])"
_LOCK_PAIRS = b"SELECT id FROM pairs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_DUE = b"UPDATE pairs SET due_at = now() WHERE id = ANY(%s::uuid[])"
_INCOMPARABLE = b"UPDATE pairs SET due_at = now(), incomparable = %s WHERE id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class Link:
    """A run of ours and what the platform calls it."""

    platform: str
    alias: str
    run_id: UUID
    pair_id: UUID | None


@dataclass(slots=True)
class Disturbed:
    """Pairs of which something was learned."""

    due: set[UUID] = field(default_factory=set)
    """To be looked at again."""
    shared: set[UUID] = field(default_factory=set)
    """Not comparable: another event's run stands for theirs."""


async def link(conn: Connection, links: Sequence[Link]) -> Disturbed:
    """Write the aliases; where one was taken by an unsolicited run, adopt that.

    Returns:
        the pairs to `disturb`, once they are there.
    """
    disturbed = Disturbed()
    if not links:
        return disturbed
    cursor = await conn.execute(
        _ALIAS,
        ([item.platform for item in links], [item.alias for item in links], [item.run_id for item in links]),
    )
    fresh = {(platform, alias) for platform, alias in await cursor.fetchall()}
    taken = {(item.platform, item.alias): item for item in links if (item.platform, item.alias) not in fresh}
    if not taken:
        return disturbed
    cursor = await conn.execute(
        _OWNERS, ([platform for platform, _alias in taken], [alias for _platform, alias in taken])
    )
    adopted: list[tuple[Link, UUID]] = []
    shared: list[UUID] = []
    for platform, alias, owner, event_id in await cursor.fetchall():
        item = taken[platform, alias]
        if owner == item.run_id:
            continue
        if event_id is None:
            adopted.append((item, owner))
            if item.pair_id is not None:
                disturbed.due.add(item.pair_id)
        else:
            shared.append(item.run_id)
            if item.pair_id is not None:
                disturbed.shared.add(item.pair_id)
            log.warning("fanout.run_shared", platform=platform, run=str(item.run_id), owner=str(owner))
    if shared:
        await conn.execute(_UNASKED, (sorted(shared),))
    if adopted:
        # Calls of theirs that are being written down right now are waited for, so that they follow too.
        await conn.execute(_HOLD, ([owner for _item, owner in adopted],))
        await conn.execute(
            _ADOPT,
            {
                "ours": [item.run_id for item, _owner in adopted],
                "theirs": [owner for _item, owner in adopted],
                "platforms": [item.platform for item, _owner in adopted],
                "aliases": [item.alias for item, _owner in adopted],
            },
        )
    return disturbed


async def disturb(conn: Connection, disturbed: Disturbed) -> None:
    """Have the judge look at those pairs again."""
    pairs = sorted(disturbed.due | disturbed.shared)
    if not pairs:
        return
    await conn.execute(_LOCK_PAIRS, (pairs,))
    await conn.execute(_DUE, (sorted(disturbed.due),))
    await conn.execute(_INCOMPARABLE, (SHARED, sorted(disturbed.shared)))
    await conn.execute(b"NOTIFY shadow_pairs")

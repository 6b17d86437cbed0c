"""Lists of issued runs, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.fanout.issued import IssuedRun, issued_runs
from shadow.intake import run_tags
from shadow.model.ids import first_id_at
from shadow.store.database import Connection

_ANY = b"SELECT EXISTS (SELECT FROM events WHERE door = 'trigger.dev' AND authority = 'candidate')"
# The status in Trigger.dev's words: as `api/front/run_shape.py` has it for a run that the candidate's platform has.
_PAGE = b"""
SELECT event.id FROM events AS event
LEFT JOIN LATERAL (
    SELECT state, status FROM runs WHERE runs.event_id = event.id AND side = 'candidate' ORDER BY id LIMIT 1
) AS run ON true
WHERE door = 'trigger.dev' AND authority = 'candidate' AND event.name = ANY(%(names)s::text[])
  AND event.id < %(below)s AND event.id >= %(from)s
  AND (%(since)s::timestamptz IS NULL OR accepted_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR accepted_at <= %(until)s)
  AND (%(events)s::uuid[] IS NULL OR event.id = ANY(%(events)s))
  AND (%(tags)s::bytea[] IS NULL OR event.id IN (SELECT event_id FROM run_tags WHERE tag = ANY(%(tags)s)))
  AND (%(statuses)s::text[] IS NULL OR CASE
        WHEN run.status = 'completed' THEN 'COMPLETED' WHEN run.status = 'failed' THEN 'FAILED'
        WHEN run.status = 'cancelled' THEN 'CANCELED' WHEN run.status = 'timed_out' THEN 'TIMED_OUT'
        WHEN run.status = 'expired' THEN 'EXPIRED' WHEN run.status = 'crashed' THEN 'CRASHED'
        WHEN scheduled_at > now() THEN 'DELAYED' WHEN run.state = 'sent' THEN 'EXECUTING' ELSE 'QUEUED'
      END = ANY(%(statuses)s))
ORDER BY event.id DESC LIMIT %(limit)s
"""
_SLACK = timedelta(minutes=1)
"""By how much an id may be older than its event's acceptance."""
_LAST = UUID(int=(1 << 128) - 1)
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs a list is to hold; None: whichever."""

    tasks: frozenset[str] | None = None
    """As Trigger.dev names them."""
    statuses: frozenset[str] | None = None
    """In Trigger.dev's words."""
    tags: frozenset[str] | None = None
    """Of which a run has one at least."""
    since: datetime | None = None
    until: datetime | None = None
    events: tuple[UUID, ...] | None = None


async def any_issued(conn: Connection) -> bool:
    """Whether a run was ever issued, of those that are kept."""
    row = await (await conn.execute(_ANY)).fetchone()
    return row is not None and bool(row[0])


async def page(
    conn: Connection, catalogue: ResolvedCatalogue, platform: str, wanted: Wanted, below: UUID | None, limit: int
) -> list[IssuedRun]:
    """The newest of those runs whose events are older than `below`.

    Args:
        platform: in whose stead they were issued.
    """
    names = [
        task.event
        for task in catalogue.tasks.values()
        if task.legacy.platform == platform and (wanted.tasks is None or task.legacy.task in wanted.tasks)
    ]
    values = {
        "names": names,
        "below": below or _LAST,
        "from": first_id_at(wanted.since - _SLACK) if wanted.since is not None else _FIRST,
        "since": wanted.since,
        "until": wanted.until,
        "events": None if wanted.events is None else list(wanted.events),
        "tags": None if wanted.tags is None else await run_tags.hashed(conn, sorted(wanted.tags)),
        "statuses": None if wanted.statuses is None else sorted(wanted.statuses),
        "limit": limit,
    }
    found = await (await conn.execute(_PAGE, values)).fetchall()
    return await issued_runs(conn, catalogue, [row[0] for row in found])

"""When a pair is to be looked at after something was learned of it: as late as it may be, so that it is claimed once.

A pair that has learned all it can learn soon is not due at once but when it will have settled, and one that lacks a run
at its deadline, which is what the judge would find (`judge/pair.py`), at the price of two rows written for nothing.
Whatever else is known of it, the judge alone decides: it looks again, and waits on where there is a reason to.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from shadow.store.arrays import Uuids
from shadow.store.database import Connection

# A statement of its own: the next one has to see what others had written while this one waited for them, as when both
# runs of a pair end at once.
_LOCK = b"SELECT FROM pairs WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_WAKE = b"""
UPDATE pairs SET (state, due_at) = (
    SELECT
        CASE WHEN NOT known.quiet OR legacy.id IS NULL AND candidate.id IS NULL THEN pairs.state
             WHEN legacy.id IS NULL OR candidate.id IS NULL THEN 'waiting' ELSE 'settling' END,
        CASE WHEN NOT known.quiet THEN now()
             WHEN legacy.id IS NULL OR candidate.id IS NULL THEN pairs.due_at
             ELSE greatest(legacy.finished_at, candidate.finished_at) + asked.settle END
    -- Nobody has claimed it, and nothing has made it due that the judge has not seen yet.
    FROM (SELECT pairs.state IN ('open', 'waiting') AND pairs.due_at = pairs.deadline_at
                 AND asked.settle IS NOT NULL) AS known (quiet)
    LEFT JOIN runs AS legacy ON legacy.id = pairs.legacy_run AND legacy.state = 'finished'
    LEFT JOIN runs AS candidate ON candidate.id = pairs.candidate_run AND candidate.state = 'finished'
)
FROM unnest(%(pairs)s, %(settle)s::interval[]) AS asked (id, settle)
WHERE pairs.id = asked.id
RETURNING pairs.due_at <= now()
"""


async def outcomes_known(conn: Connection, pairs: Mapping[UUID, timedelta | None]) -> None:
    """Have these pairs looked at of whose runs an outcome was learned. The caller has written it, and commits.

    A pair that the judge holds at this moment, or that has settled or was judged, is due at once: that voids what was
    judged without the news.

    Args:
        pairs: pair -> how long late effects are waited for; None: not known, then the judge is asked at once.
    """
    if not pairs:
        return
    ids = Uuids(sorted(pairs))
    await conn.execute(_LOCK, (ids,))
    cursor = await conn.execute(_WAKE, {"pairs": ids, "settle": [pairs[pair] for pair in ids]})
    if any(row[0] for row in await cursor.fetchall()):
        await conn.execute(b"NOTIFY shadow_pairs")

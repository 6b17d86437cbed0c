"""Counts of signatures after the evidence of their oldest pairs was deleted: they say how many pairs show one now.

The judge changes these counts by delta, and locks the signature's row before it does. Under that lock they can be
counted anew: what it has committed is seen, and what it has not comes on top. Pairs of replays are not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from psycopg.errors import LockNotAvailable

from shadow.store.database import Connection

log = structlog.get_logger(__name__)

_OLD = "SELECT id FROM signatures WHERE first_seen < %s AND pairs > 0 ORDER BY id"
_LOCK = "SELECT id FROM signatures WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_SIGNATURES = """
UPDATE signatures SET pairs = counted.pairs, allowed = counted.allowed
FROM (
    SELECT old.id, count(shown.pair_id) AS pairs, count(*) FILTER (WHERE shown.allowed) AS allowed
    FROM unnest(%s::text[]) AS old (id) LEFT JOIN LATERAL (
        SELECT pair_id, bool_and(allowance IS NOT NULL) AS allowed FROM differences JOIN pairs ON pairs.id = pair_id
        WHERE signature = old.id AND pairs.replay IS NULL GROUP BY 1
    ) AS shown ON true
    GROUP BY 1
) AS counted
WHERE signatures.id = counted.id
"""
_TENANTS = """
UPDATE signature_tenants AS kept SET (pairs, allowed) = (
    SELECT count(*), count(*) FILTER (WHERE shown.allowed) FROM (
        SELECT bool_and(allowance IS NOT NULL) AS allowed FROM differences JOIN pairs ON pairs.id = pair_id
        WHERE differences.signature = kept.signature AND coalesce(pairs.tenant, '') = kept.tenant
          AND pairs.replay IS NULL
        GROUP BY pair_id
    ) AS shown
)
WHERE kept.signature = ANY(%s)
"""
_ALLOWANCES = """
UPDATE allowances SET pairs = (
    SELECT count(DISTINCT pair_id) FROM differences JOIN pairs ON pairs.id = pair_id
    WHERE differences.signature = allowances.signature AND differences.allowance = allowances.id
      AND pairs.replay IS NULL
)
WHERE allowances.signature = ANY(%s)
"""
_EXAMPLES = """
UPDATE signatures SET example_pair = other.pair_id, path = other.path, sentence = other.sentence,
    severity = other.severity, example_differences = other.difference_count
FROM unnest(%s::text[]) AS old (id), LATERAL (
    SELECT newest.pair_id, newest.path, newest.sentence, newest.severity, pairs.difference_count
    FROM (SELECT DISTINCT ON (pair_id) pair_id, path, sentence, severity FROM differences
          WHERE differences.signature = old.id
            AND NOT EXISTS (SELECT FROM pairs WHERE pairs.id = pair_id AND pairs.replay IS NOT NULL)
          ORDER BY pair_id DESC, ordinal LIMIT 100) AS newest
    JOIN pairs ON pairs.id = newest.pair_id ORDER BY pairs.difference_count, pair_id DESC LIMIT 1
) AS other
WHERE signatures.id = old.id AND NOT EXISTS (SELECT FROM pairs WHERE pairs.id = signatures.example_pair)
"""


async def recount_signatures(connection: Connection, kept_since: datetime) -> int:
    """Count anew what pairs from before then may have shown; returns how many signatures that are.

    Args:
        connection: in autocommit mode; each signature is a transaction of its own, so that the judge waits for no more.
        kept_since: evidence of before is deleted.
    """
    cursor = await connection.execute(_OLD, (kept_since,))
    signatures = [row[0] for row in await cursor.fetchall()]
    done = 0
    for signature in signatures:
        try:
            await _recount(connection, [signature])
            done += 1
        except LockNotAvailable:
            log.info("retention.signature_in_use", signature=signature)  # the next round counts it
    return done


async def _recount(connection: Connection, signatures: Sequence[str]) -> None:
    async with connection.transaction():
        await connection.execute(_LOCK, (signatures,))
        for statement in (_SIGNATURES, _TENANTS, _ALLOWANCES, _EXAMPLES):
            await connection.execute(statement, (signatures,))

"""Pairs that the gate has counted and that were judged again: it is told of them, and counts them as they are now."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from shadow.store.database import Connection

_RECOUNT = """
INSERT INTO gate_corrections (pair_id)
SELECT id FROM pairs WHERE id = ANY(%s) AND counted_place IS NOT NULL ORDER BY id
ON CONFLICT DO NOTHING
"""


async def recount(connection: Connection, pairs: Collection[UUID]) -> None:
    """Have the gate look again at those of these pairs that it has counted.

    Last in a transaction that holds their rows: the gate locks pairs before it takes its own list up, so that a pair is
    on it whenever its verdict is newer than what was counted.
    """
    if pairs:
        await connection.execute(_RECOUNT, (sorted(pairs),))

"""Reading sealed originals back, as delivery does."""

from __future__ import annotations

from uuid import UUID

from shadow.sealing.vault import Forgotten
from shadow.store.database import Database, Work


async def originals(database: Database, *parts: str) -> dict[tuple[UUID, str], bytes]:
    """All originals of these parts (by default of events), opened: (event, part) -> content."""
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT id, part, content FROM bodies WHERE part = ANY(%s) ORDER BY id",
            (list(parts or ("data", "request", "headers")),),
        )
        stored = await cursor.fetchall()
    opened: dict[tuple[UUID, str], bytes] = {}
    for (owner, part, _content), original in zip(stored, await database.vault.open(stored), strict=True):
        assert not isinstance(original, Forgotten)
        opened[owner, part] = original
    return opened

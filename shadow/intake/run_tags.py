"""By which tags issued runs are listed: a keyed hash of each, since a tag may name a person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID

from shadow.store.database import Connection

_KEEP = b"""
INSERT INTO run_tags (tag, event_id)
SELECT tag, event_id FROM unnest(%s::bytea[], %s::uuid[]) AS tagged (tag, event_id) ORDER BY tag, event_id
ON CONFLICT DO NOTHING
"""


async def hashed(conn: Connection, tags: Iterable[str]) -> list[bytes]:
    """What stands for those tags in the table."""
    key = await conn.vault.business_keys()
    return [hashlib.blake2b(tag.encode(errors="replace"), key=key[:64], digest_size=16).digest() for tag in tags]


async def keep(conn: Connection, tagged: Sequence[tuple[UUID, Sequence[str]]]) -> None:
    """Note the tags of the runs of those events. Harmless to repeat."""
    rows = [(tag, event) for event, tags in tagged for tag in await hashed(conn, tags)]
    await conn.execute(_KEEP, ([tag for tag, _event in rows], [event for _tag, event in rows]))

"""Notices: what happened that people want to hear of. Made in the transaction of what they tell: none is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shadow.catalogue.notice_settings import NoticeKind
from shadow.model.ids import new_id
from shadow.store.database import Connection

CHANNEL = "shadow_notices"
"""Of NOTIFY: there is something to tell."""

_NOTE = """
INSERT INTO notices (id, kind, task, route, title, facts, once) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (once) DO NOTHING
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told."""

    kind: NoticeKind
    title: str
    """One sentence, which says what happened without anything else being read. Nothing secret or personal is in it."""
    task: str | None = None
    route: str | None = None
    """One of the two at least, where it is about one."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON: figures, ids and reasons, for programs and for who wants more than the sentence."""
    once: str | None = None
    """What makes it that notice: a second one with the same is not made. None: every one is news."""


async def note(connection: Connection, notice: Notice) -> UUID | None:
    """Make a notice, in the caller's transaction. Harmless to repeat where `once` is given.

    Returns:
        its id; None where there was that notice already.
    """
    cursor = await connection.execute(
        _NOTE,
        (
            new_id(),
            notice.kind,
            notice.task,
            notice.route,
            notice.title,
            Jsonb(dict(notice.facts)),
            notice.once,
        ),
    )
    made = await cursor.fetchone()
    if made is None:
        return None
    await connection.execute(f"NOTIFY {CHANNEL}")
    found: UUID = made[0]
    return found

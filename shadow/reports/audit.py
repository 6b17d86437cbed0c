"""The audit: everything that people decided and that happened to the migration, in order of time.

One statement over the tables that keep it; each row says what it is, of which tasks, who did it, and why.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.reports.paging import DEFAULT_LIMIT, BadCursor
from shadow.reports.shapes import Shape
from shadow.store.acts import ActKind

Kind = Literal[
    "move",
    "allowance",
    "allowance_ended",
    "proposal",
    "sign_off",
    "sign_off_revoked",
    "deployment",
    "containment",
    "replay",
    "incident",
    "raw_read",
    "token",
    "egress_key",
    "dead_letter",
    "sealing",
    "judgement",
    "epoch",
]
KINDS: dict[str, tuple[Kind, ...]] = {
    "moves": ("move",),
    "allowances": ("allowance", "allowance_ended"),
    "proposals": ("proposal",),
    "sign-offs": ("sign_off", "sign_off_revoked"),
    "deployments": ("deployment",),
    "containment": ("containment",),
    "replays": ("replay",),
    "incidents": ("incident",),
    "reads of originals": ("raw_read",),
    "tokens and keys": ("token", "egress_key", "sealing"),
    "dead letters": ("dead_letter",),
    "judging again": ("judgement",),
    "epochs": ("epoch",),
}
"""What a filter calls them."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Each part is cut to the page before they are put together, so that none is sorted whole.
_PARTS = {
    "move": """
        SELECT id, decided_at AS at, 'move' AS kind, tasks, actor, reason, id::text AS link,
            'moved from ' || from_phase || CASE WHEN from_phase = 'ramp' THEN ' ' || from_share || ' %' ELSE '' END
            || ' to ' || to_phase || CASE WHEN to_phase = 'ramp' THEN ' ' || to_share || ' %' ELSE '' END
            || CASE WHEN cause = 'automatic' THEN ', by itself' WHEN forced THEN ', by force' ELSE '' END AS says
        FROM moves""",
    "allowance": """
        SELECT id, made_at AS at, 'allowance' AS kind, ARRAY[task] AS tasks, actor, reason, signature AS link,
            'allowed a ' || max_severity || ' difference' || CASE WHEN tenant IS NULL THEN '' WHEN tenant = ''
            THEN ' of events without a tenant' ELSE ' of the tenant ' || tenant END
            || ' until ' || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS says
        FROM allowances""",
    "allowance_ended": """
        SELECT id, ended_at AS at, 'allowance_ended' AS kind, ARRAY[task] AS tasks, ended_by AS actor, NULL AS reason,
            signature AS link, CASE WHEN ended_by IS NULL THEN 'an allowance expired' ELSE 'revoked an allowance' END
            AS says
        FROM allowances WHERE ended_at IS NOT NULL""",
    "proposal": """
        SELECT id, decided_at AS at, 'proposal' AS kind, ARRAY[task] AS tasks, decided_by AS actor, reason,
            NULL AS link, state || ' the proposed rule for ' || place AS says
        FROM proposals WHERE decided_at IS NOT NULL""",
    "sign_off": """
        SELECT id, made_at AS at, 'sign_off' AS kind, ARRAY[task] AS tasks, actor, reason, NULL AS link,
            'signed off in place of the statistic' AS says
        FROM sign_offs""",
    "sign_off_revoked": """
        SELECT id, revoked_at AS at, 'sign_off_revoked' AS kind, ARRAY[task] AS tasks, revoked_by AS actor,
            NULL AS reason, NULL AS link, 'took back the sign-off of ' || actor AS says
        FROM sign_offs WHERE revoked_at IS NOT NULL""",
    "deployment": """
        SELECT id, made_at AS at, 'deployment' AS kind, tasks, actor, note AS reason, NULL AS link,
            'deployed ' || side || coalesce(' ' || app, '') || ' version ' || version AS says
        FROM deployments""",
    "containment": """
        SELECT id, made_at AS at, 'containment' AS kind, ARRAY[task] AS tasks, actor, reason, NULL AS link,
            CASE kind WHEN 'declaration' THEN 'declared harmless' ELSE 'tried to prove its containment: ' || state END
            || CASE WHEN ended_at IS NULL THEN '' ELSE ' (ended' || coalesce(': ' || ended_because, '') || ')' END
            AS says
        FROM containments""",
    "replay": """
        SELECT id, made_at AS at, 'replay' AS kind, ARRAY[task] AS tasks, actor, reason, signature AS link,
            CASE purpose WHEN 'replay' THEN 'ran recorded events again on the candidate'
            ELSE 'had legacy run recorded events again' END AS says
        FROM replays""",
    "incident": """
        SELECT id, noticed_at AS at, 'incident' AS kind, CASE WHEN task IS NULL THEN ARRAY[]::text[]
            ELSE ARRAY[task] END AS tasks, NULL AS actor, NULL AS reason, run_id::text AS link,
            replace(kind, '_', ' ') || ': ' || detail || CASE WHEN moved_back THEN ' (moved back)' ELSE '' END AS says
        FROM incidents""",
    "raw_read": """
        SELECT id, read_at AS at, 'raw_read' AS kind, tasks, actor, reason, event_id::text AS link,
            'read the originals (' || CASE WHEN cardinality(parts) = 0 THEN 'which are gone'
            ELSE array_to_string(parts, ', ') END || ') of the event ' || event_id
            || CASE WHEN tenant IS NULL THEN '' ELSE ' of the tenant ' || tenant END
            AS says
        FROM raw_reads""",
    **{
        kind.value: f"SELECT id, at, kind, tasks, actor, reason, link, says FROM acts WHERE kind = '{kind}'"  # noqa: S608
        for kind in ActKind
    },
}
_PAGE = """
(SELECT * FROM ({part}) AS {name}
 WHERE (CAST(:task AS text) IS NULL OR CAST(:task AS text) = ANY(tasks))
   AND (CAST(:at AS timestamptz) IS NULL OR (at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
 ORDER BY at DESC, id DESC LIMIT :most)"""


class AuditEntry(Shape):
    """One thing that was decided, or happened."""

    id: UUID
    at: datetime
    kind: Kind
    tasks: list[str]
    actor: str | None = Field(description="Null: nobody, it happened.")
    says: str
    reason: str | None
    link: str | None = Field(
        description="A move's id, an allowance's or replay's signature, an incident's run, the event that was read or"
        " sent again, or the id of a token or key."
    )


class AuditPage(Shape):
    items: list[AuditEntry]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


async def page(
    engine: AsyncEngine,
    *,
    task: str | None = None,
    kinds: Collection[Kind] | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> AuditPage:
    """A page of the audit, newest first, of all tasks or of one.

    Raises:
        BadCursor: `cursor` is none of ours.
    """
    parts = [
        _PAGE.format(part=part, name=f"of_{name}") for name, part in _PARTS.items() if kinds is None or name in kinds
    ]
    at, identifier = (None, None) if cursor is None else _read_cursor(cursor)
    found = "\nUNION ALL".join(parts)
    query = text(f"SELECT * FROM ({found}) AS found ORDER BY at DESC, id DESC LIMIT :most")  # noqa: S608 - ours alone
    async with engine.connect() as connection:
        rows = (
            await connection.execute(query, {"task": task, "at": at, "id": identifier, "most": limit + 1})
        ).mappings()
        items = [AuditEntry.model_validate(dict(row)) for row in rows]
    more = len(items) > limit
    return AuditPage(items=items[:limit], next_cursor=_cursor_of(items[limit - 1]) if more else None)


def _cursor_of(last: AuditEntry) -> str:
    micros = (last.at - _EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(micros.to_bytes(8, "big") + last.id.bytes).decode()


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        content = urlsafe_b64decode(cursor)
        at = _EPOCH + timedelta(microseconds=int.from_bytes(content[:8], "big"))
    except (ValueError, OverflowError):
        raise BadCursor(cursor) from None
    if len(content) != 24:
        raise BadCursor(cursor)
    return at, UUID(bytes=content[8:])

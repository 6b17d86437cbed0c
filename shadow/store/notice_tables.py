"""The tables of notifications: what happened that people want to hear of, and to whom it is still to be told."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.schema import NOW, Moment, metadata

notices = Table(
    "notices",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="gate_opened, gate_closed, gate_regressed, moved, moved_back or leak"),
    Column("task", Text),
    Column("route", Text),
    Column("title", Text, nullable=False, comment="one sentence"),
    Column("facts", JSONB, nullable=False),
    Column("once", Text, unique=True, comment="what makes it that notice, so that it is made once; null: as it comes"),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("fanned_at", Moment, comment="when deliveries were made of it; null until then"),
    Index("notices_made", "made_at"),
    Index("notices_unfanned", "made_at", postgresql_where=text("fanned_at IS NULL")),
)

notice_deliveries = Table(
    "notice_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("notice", Uuid, nullable=False),
    Column("channel", Text, nullable=False, comment="of the catalogue's `notifications`"),
    Column("due_at", Moment, comment="null once it was taken, or given up"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sent_at", Moment),
    Column("error", Text),
    Index("notice_deliveries_once", "notice", "channel", unique=True),
    Index("notice_deliveries_due", "channel", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

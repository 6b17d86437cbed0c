"""Who may use the control API, who read originals, and what else people did."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, Index, LargeBinary, Table, Text, Uuid

from shadow.store.schema import NOW, Moment, metadata

tokens = Table(
    "tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("tenants", ARRAY(Text), comment="to which it is limited; null: to none of them"),
)

raw_reads = Table(
    "raw_reads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("read_at", Moment, nullable=False, server_default=NOW),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("tenant", Text),
    Column("tasks", ARRAY(Text), nullable=False, comment="of the catalogue that the event feeds"),
    Column("parts", ARRAY(Text), nullable=False, comment="of the event that were opened: data, request, headers"),
    Index("raw_reads_read", "read_at", "id"),
    Index("raw_reads_event", "event_id"),
)

acts = Table(
    "acts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", Moment, nullable=False, server_default=NOW),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="token, egress_key, dead_letter, sealing, judgement or epoch"),
    Column("tasks", ARRAY(Text), nullable=False, comment="of the catalogue that it was about"),
    Column("says", Text, nullable=False),
    Column("reason", Text),
    Column("link", Text),
    Index("acts_kind", "kind", "at", "id"),
)

"""The tables of runs that Shadow issues in Trigger.dev's stead."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid

from shadow.store.schema import Moment, metadata

linked_keys = Table(
    "linked_keys",
    metadata,
    Column("scope", Text, nullable=False, comment="as of dedupe_keys"),
    Column("key", Text, nullable=False),
    Column(
        "run",
        Text,
        nullable=False,
        comment="of Trigger.dev: it had been started under that key, and belongs to no event of that key",
    ),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("scope", "key"),
)

run_tags = Table(
    "run_tags",
    metadata,
    Column("tag", LargeBinary, nullable=False, comment="keyed hash of a tag of an issued run, to list runs by it"),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("tag", "event_id"),
    Index("run_tags_event", "event_id"),
)

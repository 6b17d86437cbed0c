"""The tables of ticks, and of the queues that ticks work off."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid, text

from shadow.store.schema import NOW, Moment, metadata

ticks = Table(
    "ticks",
    metadata,
    Column("task", Text, nullable=False),
    Column("nominal_at", Moment, nullable=False),
    Column(
        "external_id",
        Text,
        nullable=False,
        server_default="",
        comment="of legacy's schedule, where each is a tenant's; else empty",
    ),
    Column("phase", Text, nullable=False, comment="of the route at the nominal time"),
    Column("authority", Text, nullable=False, comment="the side whose run it is: decided once, by the nominal time"),
    Column("event_id", Uuid, comment="that stands for it; null until the run with authority is known"),
    Column("legacy_runs", Integer, nullable=False, server_default="0", comment="that legacy's scheduler started"),
    Column(
        "candidate_runs",
        Integer,
        nullable=False,
        server_default="0",
        comment="that the candidate's own trigger started",
    ),
    Column("started_at", Moment, comment="when the run with authority began, as far as it was told"),
    Column("missed_at", Moment, comment="when it was late beyond its grace; stays when the run comes after all"),
    Column("doubled_at", Moment, comment="when a second run of one side was known"),
    Column("decided_at", Moment, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("task", "nominal_at", "external_id"),
    Index("ticks_waiting", "nominal_at", postgresql_where=text("event_id IS NULL")),
)

tick_marks = Table(
    "tick_marks",
    metadata,
    Column("task", Text, primary_key=True),
    Column("expected_until", Moment, nullable=False, comment="nominal times up to then have their rows"),
)

queue_copies = Table(
    "queue_copies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("nominal_at", Moment, nullable=False),
    Column("external_id", Text, nullable=False, server_default=""),
    Column("taken_at", Moment, nullable=False, comment="by legacy's database, before its rows were read"),
    Column("content", LargeBinary, nullable=False, comment="the queue's rows, sealed like a body"),
    Index("queue_copies_tick", "task", "nominal_at", "external_id", unique=True),
    Index("queue_copies_taken", "taken_at"),
)

"""The tables of phases: where every task stands, and every move that was made."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.schema import NOW, Moment, metadata

phases = Table(
    "phases",
    metadata,
    Column("task", Text, primary_key=True),
    Column("phase", Text, nullable=False, comment="from `effective_at` on"),
    Column("previous", Text, nullable=False, comment="until then"),
    Column("effective_at", Moment, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("share", SmallInteger, nullable=False, server_default="0", comment="ramp: percent of keys, from then on"),
    Column("previous_share", SmallInteger, nullable=False, server_default="0"),
    Column("allow", ARRAY(Text), nullable=False, server_default="{}", comment="ramp: keys that go to the candidate"),
    Column("deny", ARRAY(Text), nullable=False, server_default="{}", comment="ramp: keys that stay with legacy"),
    Column("previous_allow", ARRAY(Text), nullable=False, server_default="{}"),
    Column("previous_deny", ARRAY(Text), nullable=False, server_default="{}"),
    Column(
        "reverse",
        Boolean,
        nullable=False,
        server_default="false",
        comment="legacy was shown to be contained, so that it may run without authority",
    ),
)

moves = Table(
    "moves",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("route", Text, nullable=False),
    Column("tasks", ARRAY(Text), nullable=False),
    Column("from_phase", Text, nullable=False),
    Column("to_phase", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("decided_at", Moment, nullable=False, server_default=NOW),
    Column("effective_at", Moment, nullable=False),
    Column("from_share", SmallInteger, nullable=False, server_default="0"),
    Column("to_share", SmallInteger, nullable=False, server_default="0"),
    Column("allow", ARRAY(Text), nullable=False, server_default="{}"),
    Column("deny", ARRAY(Text), nullable=False, server_default="{}"),
    Column("cause", Text, nullable=False, server_default="person", comment="person or automatic"),
    Column("evidence", JSONB, comment="what the gates of its tasks said when it was decided"),
    Column("evidence_hash", Text, comment="SHA-256 of that, in hexadecimal"),
)

"""The tables of containment: keys of workers, proof that they hold no others, and what went wrong all the same."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.schema import NOW, Moment, metadata

egress_keys = Table(
    "egress_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("side", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key"),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "kind", Text, nullable=False, comment="leak, wrong_side, unguarded_host, wrong_credential or stale_decision"
    ),
    Column("task", Text),
    Column("route", Text),
    Column("side", Text),
    Column("run_id", Uuid),
    Column("effect_id", Uuid),
    Column("target", Text),
    Column("operation", Text),
    Column("detail", Text, nullable=False),
    Column("noticed_at", Moment, nullable=False, server_default=NOW),
    Column("moved_back", Boolean, nullable=False, server_default=text("false")),
    Index("incidents_task", "task", "id"),
    Index("incidents_effect", "effect_id", unique=True, postgresql_where=text("effect_id IS NOT NULL")),
)

containments = Table(
    "containments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="proof or declaration"),
    Column("version", Text, comment="of the candidate, with which a proof ends"),
    Column("state", Text, nullable=False, comment="running, proven, failed, declared or ended"),
    Column("parts", JSONB, nullable=False, comment="proof: what each part showed"),
    Column("leaks", Text, nullable=False, comment="none, found or unknown (there was no witness)"),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("ended_at", Moment),
    Column("ended_because", Text),
    Index("containments_task", "task", "id"),
    Index("containments_proven", "task", postgresql_where=text("state = 'proven'")),
)

sealing_keys = Table(
    "sealing_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False, comment="empty for what has no tenant"),
    Column("wrapped", LargeBinary, comment="the key, sealed by the master key; null once forgotten"),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("forgotten_at", Moment, comment="from when on it opens nothing; it seals nothing as soon as this is set"),
    Index("sealing_keys_present", "tenant", unique=True, postgresql_where=text("forgotten_at IS NULL")),
    Index("sealing_keys_forgotten", "forgotten_at", postgresql_where=text("forgotten_at IS NOT NULL")),
)

guard_keys = Table(
    "guard_keys",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False, comment="with which workers and Shadow take fingerprints of secrets"),
    Column("made_at", Moment, nullable=False, server_default=NOW),
)

guard_reports = Table(
    "guard_reports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("side", Text, nullable=False),
    Column("version", Text, comment="of the worker's deployment"),
    Column("gateway", Text, comment="the host of the gateway, as the worker knows it"),
    Column("denies", Boolean, nullable=False, comment="whether every other host is denied"),
    Column("allowed", ARRAY(Text), nullable=False, comment="hosts that are let through beside the gateway"),
    Column("reached", ARRAY(Text), nullable=False, comment="hosts beyond these that calls went to all the same"),
    Column(
        "fingerprints",
        ARRAY(Text),
        nullable=False,
        comment="HMAC-SHA256 of every secret that the worker holds, in hexadecimal",
    ),
    Column("tasks", ARRAY(Text), comment="that the worker runs; null: any of its side"),
    Column(
        "covers",
        Text,
        nullable=False,
        server_default="clients",
        comment="what the guard reaches: the package's own clients, or the whole process",
    ),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Index("guard_reports_side", "side", "made_at"),
)

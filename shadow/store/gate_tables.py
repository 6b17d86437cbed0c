"""The tables of the gate: epochs with what was counted in them, deployments, sign-offs, and what each gate says."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from shadow.store.schema import NOW, Moment, metadata

epochs = Table(
    "epochs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, ... of the task"),
    Column("legacy_version", Text, comment="null while nobody told one"),
    Column("candidate_version", Text, comment="null while nobody told one"),
    Column("rules", Text, nullable=False, comment="fingerprint of the task's rules"),
    Column("because", Text, nullable=False, comment="what began it, in words"),
    Column("started_at", Moment, nullable=False, comment="pairs of events accepted from then on count"),
    Column("ended_at", Moment, comment="null while it lasts"),
    Column("counts", JSONB, nullable=False, comment="live, replay, left_out: what was counted -> pairs; standing"),
    Column("log_e", JSONB, nullable=False, comment="logarithms of the e-values, and what was asked of them"),
    Column("opened_at", Moment, comment="when the statistic first reached its threshold"),
    Column("opened_after", BigInteger, comment="how many pairs had been counted then"),
    Column("regressed_at", Moment, comment="when the opposite one did, after that"),
    Column("counted_until", Moment, comment="pairs that started before are all counted"),
    Index("epochs_current", "task", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("epochs_task", "task", "number", unique=True),
)

gate_corrections = Table(
    "gate_corrections",
    metadata,
    Column("pair_id", Uuid, primary_key=True, comment="that was judged again; the row goes when that is counted"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("side", Text, nullable=False),
    Column("app", Text, comment="the platform's name for it, or the catalogue's for the platform; null: all"),
    Column("version", Text, nullable=False),
    Column("tasks", ARRAY(Text), nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text),
    Column("made_at", Moment, nullable=False, server_default=NOW),
)

sign_offs = Table(
    "sign_offs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("epoch", Uuid, nullable=False, comment="with which it ends"),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("revoked_at", Moment),
    Column("revoked_by", Text),
    Index("sign_offs_epoch", "epoch"),
)

gates = Table(
    "gates",
    metadata,
    Column("task", Text, primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("report", JSONB, nullable=False, comment="see gate/report.py"),
    Column("evaluated_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False, comment="since when it is open, or closed"),
)

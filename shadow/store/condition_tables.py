"""The tables that a gate's conditions rest on: how runs ended, how long they took, and what was shown."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, PrimaryKeyConstraint, Table, Text, Uuid

from shadow.store.schema import Moment, metadata

gate_runs = Table(
    "gate_runs",
    metadata,
    Column("epoch", Uuid, primary_key=True),
    Column("neither_failed", BigInteger, nullable=False, server_default="0", comment="pairs"),
    Column("candidate_failed", BigInteger, nullable=False, server_default="0"),
    Column("legacy_failed", BigInteger, nullable=False, server_default="0"),
    Column("both_failed", BigInteger, nullable=False, server_default="0"),
    Column(
        "latency_bound",
        Text,
        comment="the one that pairs were held against; with another one they are counted anew",
    ),
    Column(
        "timed",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="pairs whose runs completed and took a time that is known",
    ),
    Column(
        "slower",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of which the candidate took longer than the bound",
    ),
    Column(
        "log_ratio",
        Float,
        nullable=False,
        server_default="0",
        comment="sum over them of the logarithms of candidate / legacy",
    ),
    Column("newest_at", Moment, comment="when the event of the newest pair that could be compared was accepted"),
)

shape_marks = Table(
    "shape_marks",
    metadata,
    Column("what", Text, primary_key=True, comment="legacy"),
    Column(
        "finished_at",
        Moment,
        nullable=False,
        comment="with the run's id: how far runs were read, in the order in which they ended",
    ),
    Column("run_id", Uuid, nullable=False),
)

task_shapes = Table(
    "task_shapes",
    metadata,
    Column("task", Text, nullable=False),
    Column("of", Text, nullable=False, comment="effect or event"),
    Column(
        "shape",
        Text,
        nullable=False,
        comment="as JSON: of an effect its kind, target and operation; of an event its keys with their types",
    ),
    Column(
        "legacy_at", Moment, nullable=False, comment="when the newest event was accepted whose legacy run showed it"
    ),
    Column("compared_at", Moment, comment="the same of those whose pair was compared"),
    Column("example_pair", Uuid, comment="the newest live one that shows it, to be replayed; null: none does"),
    PrimaryKeyConstraint("task", "of", "shape"),
)

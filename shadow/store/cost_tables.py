"""The tables of costs: what runs used up, by task, side and day."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Float, Identity, Integer, PrimaryKeyConstraint, Table, Text, Uuid

from shadow.store.schema import metadata

cost_changes = Table(
    "cost_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, comment="of the run's event, which says what it was for; null: nothing of ours"),
    Column("task", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("day", Date, nullable=False, comment="UTC, on which the run ended"),
    Column("runs", Integer, nullable=False),
    Column("priced", Integer, nullable=False, comment="of them, those of which the platform said what they cost"),
    Column("cents", Float, nullable=False, comment="what it said"),
    Column("told", Integer, nullable=False, comment="of them, those whose executions somebody told"),
    Column("executions", BigInteger, nullable=False, comment="what they said"),
)
"""By how much tallies shall change: written with the outcome, gone once it is counted."""

cost_tallies = Table(
    "cost_tallies",
    metadata,
    Column("task", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("purpose", Text, nullable=False, comment="of the event: live, replay, canary, legacy_twice; or unsolicited"),
    Column("day", Date, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("priced", BigInteger, nullable=False),
    Column("cents", Float, nullable=False),
    Column("told", BigInteger, nullable=False),
    Column("executions", BigInteger, nullable=False),
    PrimaryKeyConstraint("task", "side", "platform", "purpose", "day"),
)

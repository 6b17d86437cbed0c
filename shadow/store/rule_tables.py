"""The tables about rules: which there are, what they did, and what order legacy keeps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, PrimaryKeyConstraint, Table, Text

from shadow.store.schema import NOW, Moment, metadata

task_rules = Table(
    "task_rules",
    metadata,
    Column("task", Text, nullable=False),
    Column("rule", Text, nullable=False, comment="its id: a fingerprint of what it says"),
    Column("since", Moment, nullable=False, server_default=NOW, comment="when the judge first had it"),
    PrimaryKeyConstraint("task", "rule"),
)

rule_tallies = Table(
    "rule_tallies",
    metadata,
    Column("task", Text, nullable=False),
    Column("day", Date, nullable=False, comment="UTC, of the event's acceptance"),
    Column("rule", Text, nullable=False),
    Column("selected", BigInteger, nullable=False, server_default="0", comment="values that it spoke of"),
    Column("hid", BigInteger, nullable=False, server_default="0", comment="of which differ without it, not with it"),
    PrimaryKeyConstraint("task", "day", "rule"),
)

orders_seen = Table(
    "orders_seen",
    metadata,
    Column("task", Text, nullable=False),
    Column("one", Text, nullable=False, comment="a shape of effects, as JSON: kind, target, operation"),
    Column("other", Text, nullable=False, comment="another, later by name"),
    Column("before", BigInteger, nullable=False, server_default="0", comment="legacy runs: all of one came first"),
    Column("after", BigInteger, nullable=False, server_default="0", comment="all of the other came first"),
    Column("mixed", BigInteger, nullable=False, server_default="0", comment="neither"),
    PrimaryKeyConstraint("task", "one", "other"),
)

"""Which gateways there were, and when."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Table, Uuid, text

from shadow.store.schema import Moment, metadata

gateways = Table(
    "gateways",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("since", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False, comment="by itself: not indexed, as it changes each second"),
    Column("closed_at", Moment, comment="from then on it took no new calls"),
    Column("left_at", Moment, comment="it had answered all; null of one that has gone quiet: it was cut off"),
    Column(
        "noted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether it was told of that it was cut off",
    ),
    Index("gateways_since", "since"),
)

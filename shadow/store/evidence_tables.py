"""The table of evidence packs: what a migration rested on, kept when its route was retired."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Text, Uuid

from shadow.store.schema import Moment, metadata

evidence_packs = Table(
    "evidence_packs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("task", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("move", Uuid, nullable=False, comment="to `retired`, that it was made for"),
    Column("made_at", Moment, nullable=False),
    Column("json", LargeBinary, nullable=False, comment="see store/codec.py"),
    Column("html", LargeBinary, nullable=False, comment="see store/codec.py"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the JSON, in hexadecimal"),
    Index("evidence_packs_once", "move", "task", unique=True),
    Index("evidence_packs_task", "task", "made_at"),
)

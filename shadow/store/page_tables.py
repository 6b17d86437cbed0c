"""The table of the pages: who is signed in."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Uuid

from shadow.store.schema import NOW, Moment, metadata

page_sessions = Table(
    "page_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of what the browser holds"),
    Column("token", Uuid, nullable=False, comment="with which somebody signed in, and with which it ends"),
    Column("made_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, nullable=False, comment="moves on while it is used"),
    Index("page_sessions_expiry", "expires_at"),
)

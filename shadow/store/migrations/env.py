"""Alembic's entry: migrations run online, in one transaction, on the URL the caller gives."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from shadow.store.tables import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()

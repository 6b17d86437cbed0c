"""Alembic's entry: migrations run online, in one transaction, on the URL the caller gives."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from shadow.store.tables import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        # A lock that is waited for is in everybody's way: whatever asks for the table meanwhile waits behind it.
        connection.execute(text(f"SET LOCAL lock_timeout = '{context.config.attributes['lock_timeout']}ms'"))
        context.run_migrations()
engine.dispose()

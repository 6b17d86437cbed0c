"""Alembic's entry: migrations run online, each in a transaction of its own, on the URL the caller gives."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from shadow.store.tables import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    # A lock that is waited for is in everybody's way: whatever asks for the table meanwhile waits behind it.
    connection.execute(text(f"SET lock_timeout = '{context.config.attributes['lock_timeout']}ms'"))
    connection.commit()
    # None keeps its locks while the next one waits for others: who has those may wait for the first.
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()

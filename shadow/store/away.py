"""Whether an error says that the database is away, rather than that it does not like what it was given."""

from __future__ import annotations

import psycopg
from psycopg.errors import ProgramLimitExceeded, ReadOnlySqlTransaction


def is_away(error: BaseException) -> bool:
    """Whether the same would fail for everybody now, and may succeed later: the database is stopped, starting, out of
    connections or disk, read-only, or does not answer in time.

    A deadlock counts: whoever comes again finds it gone.
    """
    if isinstance(error, ProgramLimitExceeded):
        return False  # an operational error by its class, of what was given by its meaning
    return isinstance(
        error,
        psycopg.OperationalError | psycopg.InterfaceError | ReadOnlySqlTransaction | TimeoutError | OSError,
    )

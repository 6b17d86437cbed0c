"""The phases as a process of this machine last knew them, sealed on its disk: for one that starts while the database is
away.

A process that runs goes on deciding by what it read last, however long the database is away. What its copy on the disk
adds to that is the time in which nobody looked: from the end of one process to the start of the next. A route may have
been moved then. So that time is bounded, and beyond it nothing is decided.

Two files: what was read, written when it changes, and when somebody looked last, written each second. Processes that
share a folder share them; the newest of what was read stays. A look says at what: the phases of a process that could
not write down what it had read, of another database, or of an older copy that was put back, are not made new by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from psycopg.conninfo import conninfo_to_dict

from shadow.cutover.decision import Phase, Ramp
from shadow.cutover.standing import Standing
from shadow.sealing.master import WrongSealingKey
from shadow.sealing.vault import Vault
from shadow.spool.encoding import decode, encode

READ = "phases.sealed"
LOOKED = "phases.looked"
LOCK = "phases.lock"
_AHEAD = timedelta(seconds=1)
"""How far ahead of the clock a look or a reading may lie: further, and the clock was set back, by nobody knows how
much."""
_File = TypeVar("_File")


class NotKnown(Exception):
    """There is no copy by which anything could be decided; its text says why."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A task's standing, as it is kept."""

    task: str
    phase: Phase
    previous: Phase
    effective_at: datetime
    share: int
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    previous_share: int
    previous_allow: tuple[str, ...]
    previous_deny: tuple[str, ...]
    reverse: bool

    def standing(self) -> Standing:
        return Standing(
            self.phase,
            self.previous,
            self.effective_at,
            Ramp(self.share, frozenset(self.allow), frozenset(self.deny)),
            Ramp(self.previous_share, frozenset(self.previous_allow), frozenset(self.previous_deny)),
            self.reverse,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read."""

    database: str
    read_at: datetime
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    at: datetime
    seen: str
    """What was known then (`_digest`)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The copy."""

    standings: Mapping[str, Standing]
    read_at: datetime
    """When they were first read to be so."""
    looked_at: datetime
    """When a process that knew them looked last, whether the database was there or not."""


class LastKnown:
    """The copy of one data folder. Blocking: called in threads."""

    def __init__(self, folder: Path, url: str, vault: Vault, most: timedelta) -> None:
        """
        Args:
            url: of the database whose phases they are.
            most: how long nobody may have looked; nothing: there is never a copy.
        """
        self._folder = folder
        self._database = _name(url)
        self._vault = vault
        self._most = most
        self._written: Mapping[str, Standing] | None = None
        self._known: str | None = None
        """What this process knows (`_digest`), on the disk or not."""

    def keep(self, standings: Mapping[str, Standing], now: datetime) -> None:
        """They were read just now.

        Raises:
            OSError: the disk does not take it.
        """
        if not self._most:
            return
        if standings != self._written:
            rows = tuple(_row(task, standing) for task, standing in sorted(standings.items()))
            read = _Read(self._database, now, rows)
            self._known = _digest(read)
            with self._locked():
                with contextlib.suppress(NotKnown):
                    if now < self._read().read_at <= now + _AHEAD:
                        return  # another process has read since
                self._replace(READ, encode(read), sync=True)
            self._written = dict(standings)
        self.look(now)

    def look(self, now: datetime) -> None:
        """This process looked, and found the database away or the phases as it knows them.

        Raises:
            OSError: the disk does not take it.
        """
        if self._most and self._known is not None:
            self._replace(LOOKED, encode(_Look(now, self._known)), sync=False)

    def found(self, now: datetime) -> Kept:
        """The copy, if something may be decided by it.

        Raises:
            NotKnown: there is none, or it may not be.
        """
        if not self._most:
            raise NotKnown("`limits.last_known` is 0")
        read = self._read()
        look, known = self._opened(LOOKED, _Look), _digest(read)
        if look.seen != known:
            raise NotKnown("whoever looked at the phases last knew others than this copy has")
        looked_at = look.at
        if looked_at > now + _AHEAD:
            raise NotKnown("the clock has been set back since somebody looked at the phases")
        if now - looked_at > self._most:
            ago = int((now - looked_at).total_seconds())
            raise NotKnown(f"nobody has looked at the phases for {ago} s, and `limits.last_known` is less")
        self._known = known
        return Kept({row.task: row.standing() for row in read.rows}, read.read_at, looked_at)

    def _read(self) -> _Read:
        read = self._opened(READ, _Read)
        if read.database != self._database:
            raise NotKnown("the copy of the phases is another database's")
        return read

    def _opened(self, name: str, kind: type[_File]) -> _File:
        try:
            return decode(kind, self._vault.unlock((self._folder / name).read_bytes()))
        except OSError:
            raise NotKnown("no process that uses this data folder has read the phases yet") from None
        except WrongSealingKey:
            raise NotKnown("the copy of the phases is sealed by another master key, or damaged") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise NotKnown("the copy of the phases is of another version") from None

    def _replace(self, name: str, content: bytes, *, sync: bool) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._vault.lock(content))
                if sync:  # a look that outlived the machine's end must not stand beside older phases
                    file.flush()
                    os.fsync(file.fileno())
            partial.replace(self._folder / name)
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _digest(read: _Read) -> str:
    """Which phases of which database they are, whenever they were read."""
    told = hashlib.sha256(read.database.encode())
    for row in read.rows:
        told.update(b"\n" + encode(row))
    return told.hexdigest()


def _row(task: str, standing: Standing) -> _Row:
    ramp, before = standing.ramp, standing.previous_ramp
    return _Row(
        task,
        standing.phase,
        standing.previous,
        standing.effective_at.astimezone(UTC),
        ramp.share,
        tuple(sorted(ramp.allow)),
        tuple(sorted(ramp.deny)),
        before.share,
        tuple(sorted(before.allow)),
        tuple(sorted(before.deny)),
        standing.reverse,
    )


def _name(url: str) -> str:
    """Which database that is, without what may change about it."""
    told = conninfo_to_dict(url)
    return "/".join(str(told.get(part) or "") for part in ("host", "port", "dbname"))

"""The spool of one process: items in, on disk before anybody is told; files of it and of dead processes out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import structlog

from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.sealing.master import WrongSealingKey
from shadow.sealing.vault import Vault
from shadow.spool.encoding import Value, decode
from shadow.spool.file import DAMAGED, SUFFIX, SpoolFile, is_damage
from shadow.store.rounds import Rounds

log = structlog.get_logger(__name__)

MIB = 1 << 20
MOST_BYTES = 2048 * MIB
_MOST_WAITING = 64 * MIB
"""Bytes that may wait in memory for the disk."""
_TRIES = 3
_RESCUED_AT_ONCE = 64


class Kind(StrEnum):
    """What an item is, in the order in which they are written down: an event before what became of it."""

    EVENTS = "events"
    HANDED = "handed"
    REFUSED = "refused"
    TAGS = "tags"
    EFFECTS = "effects"
    RUNS = "runs"
    CALL = "call"
    ANSWERED = "answered"


class NotSpooled(OSError):
    """Neither the database nor the disk takes it: whoever brought it keeps it, and comes again."""


class SpoolFull(NotSpooled):
    """As much waits as the spool may hold."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the spool holds as much as it may: {most} bytes")


Write = Callable[[Sequence[bytes]], Awaitable[None]]
"""Writes items of a kind to the database, in their order, all or none. Harmless to repeat."""


class Standing(NamedTuple):
    """How a spool stands."""

    items: int
    """That wait."""
    bytes: int
    refused: int
    """Items that the database will not take; they stay on the disk."""


class _Item(NamedTuple):
    kind: str
    body: bytes


class Spool:
    """A folder of files, one for each process that spools.

    Whatever is appended at the same time shares one sync. Everything is sealed by the master key, which is at hand when
    the database is not.
    """

    def __init__(self, folder: Path, vault: Vault, *, most_bytes: int = MOST_BYTES) -> None:
        """
        Args:
            most_bytes: how much of all processes' may wait here; beyond it nothing more is taken.
        """
        self.writers: dict[Kind, Write] = {}
        """Who writes which kind down. Each part that spools says so when it is made."""
        self.folder = folder
        self._vault = vault
        self._most = most_bytes
        self._turn = threading.Lock()
        self._own: SpoolFile | None = None
        self._adopted: dict[Path, SpoolFile] = {}
        self._waiting = Standing(0, 0, 0)
        self._of_others = 0
        self._damaged = 0
        self._in_memory = 0
        self._rounds: Rounds[_Item, None] = Rounds(self._write)

    async def stop(self) -> None:
        """End; what waits stays, for whoever adopts it. Nobody may append any more."""
        await asyncio.to_thread(self._let_go)

    async def append(self, kind: Kind, body: bytes) -> None:
        """Return once the item is on disk.

        Raises:
            NotSpooled: it is not.
        """
        sealed = self._vault.lock(body)
        if self._waiting.bytes + self._of_others + len(sealed) > self._most:
            raise SpoolFull(self._most)
        if self._in_memory + len(sealed) > _MOST_WAITING:
            raise NotSpooled("too much waits for the disk")
        self._in_memory += len(sealed)
        try:
            await self._rounds.ask(_Item(kind.value, sealed))
        finally:
            self._in_memory -= len(sealed)

    async def _write(self, items: Sequence[_Item]) -> list[None]:
        try:
            await asyncio.to_thread(self._add, items)
        except (sqlite3.Error, OSError) as error:
            log.error("spool.not_written", error=type(error).__name__, items=len(items))
            raise NotSpooled(str(error)) from error
        reach("spool.appended")
        for item in items:
            metrics.spooled(item.kind)
        return [None] * len(items)

    def _add(self, items: Sequence[_Item]) -> None:
        with self._turn:
            if self._own is None:
                self._own = self._made()
            try:
                self._own.add(items)
            except sqlite3.Error as error:
                if not self._put_aside(self._own, error):
                    raise
                self._own = self._made()
                self._own.add(items)
            waiting, size, refused = self._waiting
            self._waiting = Standing(waiting + len(items), size + sum(len(item.body) for item in items), refused)

    def _made(self) -> SpoolFile:
        for left in reversed(range(_TRIES)):
            try:
                return SpoolFile.create(self.folder / f"{os.getpid()}-{uuid4().hex[:12]}{SUFFIX}")
            except OSError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def files(self) -> list[SpoolFile]:
        """Those that are this process's to empty: its own, and those of processes that are no more.

        Blocking. What other processes hold is measured meanwhile.
        """
        of_others = 0
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else ():
            if path in self._adopted or (self._own is not None and path == self._own.path):
                continue
            try:
                found = SpoolFile.adopt(path)
                if found is None:
                    of_others += path.stat().st_size
                    continue
            except FileNotFoundError:
                continue
            except (sqlite3.Error, OSError) as error:
                if is_damage(error):
                    _tell_damaged(path, 0)
                else:
                    log.error("spool.unreadable", file=str(path), error=type(error).__name__)
                continue
            log.info("spool.adopted", file=str(path))
            self._adopted[path] = found
        self._of_others = of_others
        self._damaged = sum(1 for _ in self.folder.glob(f"*{DAMAGED}"))
        self.measure()
        with self._turn:
            return self._held()

    def waiting(self, kind: Kind, of: type[Value]) -> list[Value]:
        """The items of a kind that wait, of this process and of those that are no more; of very many the newest.

        What nobody can read is left out: it is set aside when its turn comes. Blocking.
        """
        found = []
        for file in self.files():
            try:
                bodies = file.newest(kind.value, _MOST_WAITING)
            except sqlite3.Error as error:
                self.failed(file, error)
                continue
            for body in bodies:
                with contextlib.suppress(WrongSealingKey, ValueError, TypeError, KeyError, AttributeError):
                    found.append(decode(of, self.opened(body)))
        return found

    def failed(self, file: SpoolFile, error: sqlite3.Error) -> None:
        """A file could not be read. One that is damaged is put aside, and what can still be read of it goes on in
        another; any other is left for the next time. Blocking."""
        with self._turn:
            self._put_aside(file, error)

    def _put_aside(self, file: SpoolFile, error: sqlite3.Error) -> bool:
        """Whether the file is gone from here."""
        if not is_damage(error):
            log.error("spool.unreadable", file=str(file.path), error=type(error).__name__)
            return False
        if file is not self._own and self._adopted.get(file.path) is not file:
            return True  # somebody else was first
        try:
            with contextlib.closing(file.readable()) as items:
                rescued, number = self._rescued(items)
            file.put_aside()
        except (sqlite3.Error, OSError) as why:  # the disk is full, mostly: another time
            log.error("spool.damaged_stays", file=str(file.path), error=type(why).__name__)
            return False
        if file is self._own:
            self._own = None
        self._adopted.pop(file.path, None)
        if rescued is not None:
            self._adopted[rescued.path] = rescued
        self._damaged += 1
        _tell_damaged(file.path, number)
        return True

    def _rescued(self, items: Iterable[tuple[str, bytes]]) -> tuple[SpoolFile | None, int]:
        """A file of these items, and how many they are; None: there are none. Should the process end before the
        damaged one is put aside, they are in both, which is harmless."""
        made: SpoolFile | None = None
        number = 0
        left = iter(items)
        try:
            while batch := list(islice(left, _RESCUED_AT_ONCE)):
                made = made or self._made()
                made.add(batch)
                number += len(batch)
        except BaseException:
            if made is not None:
                made.close(remove=True)
            raise
        return made, number

    def measure(self) -> None:
        """Count what waits. Blocking."""
        with self._turn:
            sizes = []
            for file in self._held():
                try:
                    sizes.append(file.size())
                except sqlite3.Error as error:
                    self._put_aside(file, error)
            self._waiting = Standing(*(sum(column) for column in zip(*sizes, strict=True))) if sizes else _EMPTY

    def _held(self) -> list[SpoolFile]:
        return [*self._adopted.values(), *([self._own] if self._own is not None else ())]

    @property
    def damaged(self) -> int:
        """Files in the folder that were put aside."""
        return self._damaged

    @property
    def standing(self) -> Standing:
        """How it stood when it was last measured, and what came since."""
        return self._waiting

    def drop_empty(self) -> None:
        """Remove files in which nothing is left. Blocking."""
        with self._turn:
            for file in self._held():
                try:
                    if not _is_empty(file):
                        continue
                except sqlite3.Error as error:
                    self._put_aside(file, error)
                    continue
                file.close(remove=True)
                if file is self._own:
                    self._own = None
                else:
                    del self._adopted[file.path]
        self.measure()

    def opened(self, body: bytes) -> bytes:
        """What an item says.

        Raises:
            WrongSealingKey: it was sealed by another master key, or changed.
        """
        return self._vault.unlock(body)

    def _let_go(self) -> None:
        with self._turn:
            for file in self._held():
                is_empty = False
                with contextlib.suppress(sqlite3.Error):
                    is_empty = _is_empty(file)
                file.close(remove=is_empty)
            self._adopted.clear()
            self._own = None


_EMPTY = Standing(0, 0, 0)


def _tell_damaged(path: Path, rescued: int) -> None:
    log.error(
        "spool.damaged", file=str(path.with_suffix(DAMAGED)), rescued=rescued, hint="the file stays, to be looked at"
    )


def _is_empty(file: SpoolFile) -> bool:
    waiting, _size, refused = file.size()
    return not waiting and not refused

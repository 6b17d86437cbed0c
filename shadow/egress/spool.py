"""What could not be written to the database: sealed, appended to a file, synced; written down once it is back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import fcntl
import os
import typing
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import structlog

from shadow.egress.calls import Answered, Call, Item
from shadow.sealing.master import WrongSealingKey
from shadow.sealing.vault import Vault
from shadow.store.database import Database

log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
_BATCH = 500
_SUFFIX = ".jsonl"
_OPEN = ".open"
"""What ends the name of a file that is being written."""
_BAD = ".unreadable"
_KINDS: dict[str, type[Call] | type[Answered]] = {"call": Call, "answered": Answered}


class Spool:
    """A folder of files, one for each process that ever spooled. Any process writes any file's lines down.

    A line is a call or an answer, which are harmless to write twice: a file goes only when all of it is committed. It
    is sealed by the master key, which is at hand when the database is not.
    """

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._folder = folder
        self._vault = vault
        self._name = f"egress-{os.getpid()}-{uuid4().hex[:8]}"
        self._part = 0
        self._lock = asyncio.Lock()
        self._handle: typing.IO[bytes] | None = None
        self._path = folder

    async def append(self, item: Item) -> None:
        """Return once the line is on disk.

        Raises:
            OSError: it is not.
        """
        line = self.sealed(item)
        async with self._lock:
            await asyncio.to_thread(self._append, line)

    def sealed(self, item: Item) -> bytes:
        """A line."""
        return self._vault.lock(encode(item)) + b"\n"

    def _append(self, line: bytes) -> None:
        if self._handle is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._name}-{self._part:06d}{_SUFFIX}{_OPEN}"
            # It is locked before anybody can take it for left behind.
            begun = path.with_suffix(".begun")
            handle = begun.open("ab")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                begun.chmod(0o600)
                begun.rename(path)
            except BaseException:
                handle.close()
                raise
            self._handle, self._path = handle, path
        self._handle.write(line)
        self._handle.flush()
        os.fsync(self._handle.fileno())

    async def close_part(self) -> None:
        """Begin another file with the next line, so that what is there can be written down."""
        async with self._lock:
            if self._handle is None:
                return
            await asyncio.to_thread(self._path.rename, self._path.with_suffix(""))
            self._handle.close()  # only now: nobody else may lock it before it has its name
            self._handle = None
            self._part += 1

    def adopt(self) -> None:
        """Take over what processes left behind that are no more.

        A process holds a lock on the file that it writes, which ends with it. Its number tells nothing: in a container
        every process has the same.
        """
        if not self._folder.is_dir():
            return
        for path in self._folder.glob(f"egress-*{_SUFFIX}{_OPEN}"):
            # Another process may have been quicker.
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rename(path.with_suffix(""))
                log.info("egress.spool_adopted", file=str(path))

    def complete(self) -> list[Path]:
        """Files to which nothing is added any more; those of one process oldest first: a call before its answer."""
        return sorted(self._folder.glob(f"*{_SUFFIX}")) if self._folder.is_dir() else []

    @property
    def waiting(self) -> bool:
        """Whether there is anything to write down."""
        return self._handle is not None or bool(self.complete())


def read(path: Path, vault: Vault) -> tuple[list[Item], list[bytes]]:
    """The items of a file, and the lines that are none: the last one may have been cut off by a crash."""
    items: list[Item] = []
    bad: list[bytes] = []
    for line in path.read_bytes().splitlines():
        if not line.strip():
            continue
        try:
            items.append(decode(vault.unlock(line)))
        except (ValueError, TypeError, KeyError, WrongSealingKey):
            bad.append(line)
    # A call before its answer, whichever process was quicker to spool.
    return sorted(items, key=lambda item: isinstance(item, Answered)), bad


def encode(item: Item) -> bytes:
    """What a line says, before it is sealed."""
    kind = next(name for name, type_ in _KINDS.items() if isinstance(item, type_))
    fields = {field.name: _plain(getattr(item, field.name)) for field in dataclasses.fields(item)}
    return orjson.dumps({"line": kind, **fields})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def decode(line: bytes) -> Item:
    """The item of a line, once it is opened.

    Raises:
        ValueError, TypeError, KeyError: it is none of ours.
    """
    fields = orjson.loads(line)
    type_ = _KINDS[fields.pop("line")]
    hints = typing.get_type_hints(type_)
    return type_(**{name: _typed(hints[name], value) for name, value in fields.items()})


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if parts[-1] is Ellipsis:
            return tuple(_typed(parts[0], item) for item in value)
        return tuple(_typed(part, item) for part, item in zip(parts, value, strict=True))
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if options:
        return _typed(options[0], value)
    if hint is bytes:
        return base64.b64decode(value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is UUID:
        return UUID(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value


Write = Callable[[Sequence[Item]], Awaitable[None]]
"""Writes items down in one transaction, and does what follows."""


class SpoolReplay:
    """The loop that writes spooled lines down."""

    def __init__(self, spool: Spool, database: Database, write: Write, *, every: float = EVERY_SECONDS) -> None:
        self._spool = spool
        self._database = database
        self._write = write
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="egress-spool")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self) -> int:
        """Write down what is there; how many lines that were.

        Raises:
            psycopg.Error, TimeoutError: the database is still away; nothing is lost.
        """
        await self._spool.close_part()
        await asyncio.to_thread(self._spool.adopt)
        done = 0
        for path in await asyncio.to_thread(self._spool.complete):
            items, bad = await asyncio.to_thread(read, path, self._database.vault)
            for start in range(0, len(items), _BATCH):
                bad += await self._written(items[start : start + _BATCH])
            done += len(items)
            if bad:
                log.error("egress.spool_unreadable", file=str(path), lines=len(bad))
                await asyncio.to_thread(path.rename, path.with_suffix(_BAD))
            else:
                await asyncio.to_thread(path.unlink, missing_ok=True)
        if done:
            log.info("egress.spool_replayed", lines=done)
        return done

    async def _written(self, items: Sequence[Item]) -> list[bytes]:
        """Write items down; the lines of those that the database will never take."""
        try:
            await self._write(items)
        except (psycopg.DataError, psycopg.IntegrityError):
            if len(items) == 1:
                return [self._spool.sealed(items[0])]
            return [line for item in items for line in await self._written([item])]
        return []

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await asyncio.to_thread(self._spool.adopt)
                if not self._spool.waiting:
                    continue
                async with self._database.direct():
                    pass  # a pool would wait for a connection that nobody can give
                await self.once()
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.info("egress.spool_waits", error=type(error).__name__)
            except Exception:
                log.exception("egress.spool_failed")

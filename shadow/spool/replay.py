"""The loop that writes down what was spooled, once the database is back. Any process empties its own files and those
of processes that are no more."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.sealing.master import WrongSealingKey
from shadow.spool.file import SpoolFile, Stored
from shadow.spool.spool import MOST_BYTES, Kind, Spool, Write
from shadow.store.away import is_away
from shadow.store.database import Database

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
_AT_ONCE = 200
_BYTES_AT_ONCE = 16 << 20
_LOOK_SECONDS = 5.0
"""For a connection that says whether the database is there."""
_LONGEST_REASON = 300
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file stood when a round began."""

    file: SpoolFile
    last: int
    """The id of its last item."""
    kinds: set[str]
    """Of what waits."""

    @classmethod
    def at(cls, file: SpoolFile) -> _Look:
        return cls(file, file.last(), file.kinds())


@asynccontextmanager
async def spooling(folder: Path, database: Database, *, most_bytes: int = MOST_BYTES) -> AsyncIterator[SpoolReplay]:
    """A spool, emptied for as long as this lasts."""
    spool = Spool(folder, database.vault, most_bytes=most_bytes)
    replay = SpoolReplay(spool, database)
    await replay.start()
    try:
        yield replay
    finally:
        await replay.stop()
        await spool.stop()


class SpoolReplay:
    """Empties the files of a spool into the database."""

    def __init__(self, spool: Spool, database: Database, *, every: float = EVERY_SECONDS) -> None:
        self.spool = spool
        self._database = database
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="spool-replay")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self) -> int:
        """Write down what is there; how many items that were.

        Raises:
            psycopg.Error, TimeoutError: the database is still away; nothing is lost.
        """
        async with self._turn:
            return await self._once()

    async def _once(self) -> int:
        files = await asyncio.to_thread(self.spool.files)
        # What follows an event is added after it. What comes while these are written down has its turn with the next
        # round: it may follow an event that comes meanwhile too, and would find none.
        looked = [look for file in files if (look := await self._asked(file, _Look.at)) is not None]
        standing = self.spool.standing
        metrics.spool_waits(standing.items, standing.bytes, standing.refused, self.spool.damaged)
        if not any(look.kinds for look in looked):
            await asyncio.to_thread(self.spool.drop_empty)
            return 0
        async with asyncio.timeout(_LOOK_SECONDS), self._database.direct():
            pass  # a pool would wait for a connection that nobody can give
        done = 0
        for kind, write in sorted(self.spool.writers.items(), key=lambda item: list(Kind).index(item[0])):
            if kind is Kind.EVENTS:
                done += await self._events(write)
                continue
            for look in looked:
                if kind in look.kinds:
                    done += (await self._emptied(look.file, kind, write, look.last))[0]
        await asyncio.to_thread(self.spool.drop_empty)
        if done:
            log.info("spool.replayed", items=done)
        return done

    async def _asked(self, file: SpoolFile, question: Callable[[SpoolFile], Answer]) -> Answer | None:
        """What a file says; None where it can't be read: then it keeps nobody else up."""
        try:
            return await asyncio.to_thread(question, file)
        except sqlite3.Error as error:
            await asyncio.to_thread(self.spool.failed, file, error)
            return None

    async def _events(self, write: Write) -> int:
        """Write down all events, those too that are spooled meanwhile: a batch that can't be stored whole comes again
        event by event, and what follows them may lie in another file. How many items."""
        done = 0
        passed: set[Path] = set()
        while True:
            waiting = [
                file
                for file in await asyncio.to_thread(self.spool.files)
                if file.path not in passed and Kind.EVENTS in (await self._asked(file, SpoolFile.kinds) or ())
            ]
            if not waiting:
                return done
            for file in waiting:
                number, whole = await self._emptied(file, Kind.EVENTS, write)
                done += number
                if not whole:
                    passed.add(file.path)  # what was rescued of it lies in another

    async def _emptied(self, file: SpoolFile, kind: Kind, write: Write, last: int | None = None) -> tuple[int, bool]:
        """Write down all of a kind, up to that item; how many items, and whether all could be read."""
        done = 0
        oldest = partial(SpoolFile.oldest, kind=kind.value, most=_AT_ONCE, most_bytes=_BYTES_AT_ONCE, last=last)
        while items := await self._asked(file, oldest):
            await self._written(file, items, write)
            done += len(items)
        return done, items is not None

    async def _written(self, file: SpoolFile, items: Sequence[Stored], write: Write) -> None:
        """Write items down together; when that fails for what they are, each half, until the bad ones stand alone."""
        try:
            await write([self.spool.opened(item.body) for item in items])
        except Exception as error:
            if is_away(error):
                raise
            if len(items) > 1:
                half = len(items) // 2
                await self._written(file, items[:half], write)
                await self._written(file, items[half:], write)
                return
            reason = f"{type(error).__name__}: {error}" if isinstance(error, WrongSealingKey) else type(error).__name__
            log.error("spool.refused", file=str(file.path), item=items[0].id, kind=items[0].kind, error=reason)
            await asyncio.to_thread(file.refuse, items[0], reason[:_LONGEST_REASON])
            return
        reach("spool.replayed")
        await asyncio.to_thread(file.remove, items)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.once()
            except Exception as error:
                if is_away(error):
                    log.info("spool.waits", error=type(error).__name__)
                else:
                    log.exception("spool.failed")

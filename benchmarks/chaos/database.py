"""The PostgreSQL of the bench, which can be stopped, killed, frozen, crowded, and made read-only."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import tuple_row

from benchmarks.containment.world import Server
from shadow.store import embedded

_START_SECONDS = 60.0


class Postgres(Server):
    """A server of its own."""

    async def until_there(self) -> None:
        """Returns when it takes connections."""
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=2):
                    return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def down(self, *, killed: bool, seconds: float) -> None:
        """Away for so long: stopped in order, or at once, as by a power cut, without writing anything more."""
        await asyncio.to_thread(self._control, "stop", "-m", "immediate" if killed else "fast", "-w")
        await asyncio.sleep(seconds)
        # As it was started: `restart` would know, but leaves no time in between.
        options = (self.folder / "postmaster.opts").read_text().split(maxsplit=1)[1].strip()
        await asyncio.to_thread(self._control, "-o", options, "start", "-w")
        await self.until_there()

    async def freeze(self, seconds: float) -> None:
        """All its processes stand still for so long."""
        frozen = self._processes()
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            for process in frozen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    async def crowd(self, seconds: float) -> None:
        """Every connection that it has left is somebody else's for so long, and those that exist are ended once."""
        taken: list[psycopg.AsyncConnection[tuple[object, ...]]] = []
        try:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.append(
                        await psycopg.AsyncConnection.connect(self.url, connect_timeout=2, row_factory=tuple_row)
                    )
            if taken:
                with contextlib.suppress(psycopg.Error):
                    await taken[0].execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'shadow-%'"
                    )
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                with contextlib.suppress(psycopg.OperationalError):
                    taken.append(
                        await psycopg.AsyncConnection.connect(self.url, connect_timeout=2, row_factory=tuple_row)
                    )
                    continue
                await asyncio.sleep(0.05)
        finally:
            await asyncio.gather(*(connection.close() for connection in taken), return_exceptions=True)

    async def read_only(self, seconds: float) -> None:
        """No transaction may write for so long."""
        await self._setting("on")
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._setting("off")

    async def _setting(self, value: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            await connection.execute("SELECT pg_reload_conf()")

    def _processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
            return [first, *first.children(recursive=True)]
        except (OSError, psutil.NoSuchProcess):
            return []


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    url, handle = embedded.start(folder / "data", ephemeral=True)
    server = Postgres(url, handle.postgres.pgdata, handle.postgres.bin_path, handle.postgres.system_user)
    try:
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):  # a mount point can't be deleted
            handle.cleanup()


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Postgres]:
    """The server, for as long as this lasts."""
    made = postgres(folder)
    server = await asyncio.to_thread(made.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)

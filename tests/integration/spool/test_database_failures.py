"""A PostgreSQL of the test's own fails in every way it can: what is accepted meanwhile is all there afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks.chaos.database import Postgres, running
from shadow.intake.intake import Intake
from shadow.spool.replay import SpoolReplay, spooling
from shadow.store import embedded
from shadow.store.database import Database
from tests.integration.egress.world import until
from tests.integration.intake.test_intake import arrival, rows

SECONDS = 4.0

FAILURES: dict[str, Callable[[Postgres], Awaitable[None]]] = {
    "stopped": lambda server: server.down(killed=False, seconds=SECONDS),
    "killed": lambda server: server.down(killed=True, seconds=SECONDS),
    "hanging": lambda server: server.freeze(SECONDS * 2),
    "out of connections": lambda server: server.crowd(SECONDS),
    "read-only": lambda server: server.read_only(SECONDS),
}


@asynccontextmanager
async def accepting(server: Postgres, folder: Path) -> AsyncIterator[tuple[Database, Intake, SpoolReplay]]:
    database = Database(server.url)
    await database.prepare()
    async with spooling(folder / "spool", database) as replay:
        intake = Intake(database, replay.spool)
        await intake.start()
        await intake.accept([arrival(0)])
        try:
            yield database, intake, replay
        finally:
            await intake.stop()
            await database.close()


async def back(intake: Intake, replay: SpoolReplay) -> None:
    async def done() -> bool:
        return not intake._presence.away and not replay.spool.standing.items

    await until(done, 60)


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
async def test_nobody_who_brings_an_event_notices(failure: str, tmp_path: Path) -> None:
    async with running(tmp_path) as server, accepting(server, tmp_path) as (database, intake, replay):
        failing = asyncio.create_task(_fail(FAILURES[failure], server))
        accepted, longest = 1, 0.0
        while not failing.done():
            begun = time.monotonic()
            (receipt,) = await intake.accept([arrival(accepted)])
            longest = max(longest, time.monotonic() - begun)
            accepted += receipt is not None
            await asyncio.sleep(0.05)
        await failing
        await back(intake, replay)
        assert await rows(database, "SELECT count(*), count(DISTINCT external_id) FROM events") == [
            (accepted, accepted)
        ]
        assert longest < 15
        assert not (await intake.accept([arrival(accepted)]))[0].spooled


async def _fail(fail: Callable[[Postgres], Awaitable[None]], server: Postgres) -> None:
    await asyncio.sleep(0.3)
    await fail(server)


@pytest.mark.slow
async def test_a_crowd_that_meets_a_database_that_hangs_takes_bounded_memory(tmp_path: Path) -> None:
    """Everything is spooled after the first wait, and nothing of it stays in memory."""
    async with running(tmp_path) as server, accepting(server, tmp_path) as (database, intake, replay):
        failing = asyncio.create_task(server.freeze(12))
        await asyncio.sleep(0.2)
        crowd = [intake.accept([arrival(number, data=b'{"a":"%s"}' % (b"x" * 5_000))]) for number in range(1, 2_001)]
        receipts = await asyncio.gather(*crowd)
        assert all(receipt.spooled for (receipt,) in receipts)
        assert (intake._commits._waiting_items, intake._commits._waiting_bytes) == (0, 0)
        assert replay.spool._in_memory == 0
        await failing
        await back(intake, replay)
        assert await rows(database, "SELECT count(*) FROM events") == [(2_001,)]


@pytest.mark.slow
async def test_a_full_disk_is_an_outage_like_any_other(tmp_path: Path) -> None:
    """PostgreSQL on a small file system of its own, where one can be mounted."""
    place = embedded.location(tmp_path / "data")
    place.mkdir(parents=True, exist_ok=True)
    mounted = await asyncio.to_thread(
        subprocess.run, ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        place.chmod(0o777)
        async with running(tmp_path) as server, accepting(server, tmp_path) as (database, intake, replay):
            ballast = server.folder / "ballast"
            await asyncio.to_thread(_fill, ballast)
            accepted = 1
            big = b'{"a":"%s"}' % (b"x" * 200_000)
            try:
                for _ in range(60):
                    receipts = await intake.accept([arrival(accepted + more, data=big) for more in range(5)])
                    accepted += len(receipts)
                    if any(receipt.spooled for receipt in receipts):
                        break
                assert any(receipt.spooled for receipt in receipts)
            finally:
                ballast.unlink()

            async def there() -> bool:
                try:
                    async with await psycopg.AsyncConnection.connect(server.url, connect_timeout=2):
                        return True
                except psycopg.OperationalError:
                    return False

            await until(there, 60)
            await back(intake, replay)
            assert await rows(database, "SELECT count(*) FROM events") == [(accepted,)]
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(place)], check=False)


def _fill(path: Path) -> None:
    try:
        with path.open("wb") as file:
            while True:
                file.write(b"\0" * 65_536)
    except OSError:
        return

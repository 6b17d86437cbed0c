"""What is written down of a gateway's stay: that it is there, that it left, and that it was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from shadow.egress import attendance
from shadow.egress.attendance import Attendance
from shadow.observe import metrics
from shadow.store.database import Database, Work
from tests.integration.egress.world import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so more often than once a second."""
    monkeypatch.setattr(attendance, "TOUCH_SECONDS", 0.05)
    monkeypatch.setattr(attendance, "_LOOK_SECONDS", 0.02)


async def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        return list(await (await connection.execute(statement)).fetchall())


async def stays(database: Database) -> list[tuple[Any, ...]]:
    """Whether each closed, and whether it left, in the order in which they began."""
    return await rows(
        database, "SELECT closed_at IS NOT NULL, left_at IS NOT NULL FROM gateways ORDER BY since, seen_at"
    )


@asynccontextmanager
async def there(database: Database, clock: Callable[[], float] | None = None) -> AsyncIterator[Attendance]:
    """A gateway that has said that it is there, and leaves in the end."""
    one = Attendance(database, **({} if clock is None else {"clock": clock}))
    before = len(await stays(database))
    await one.start()
    try:
        await until(lambda: _more(database, before))
        yield one
    finally:
        await one.stop()


async def _more(database: Database, before: int) -> bool:
    return len(await stays(database)) > before


async def _killed(one: Attendance) -> None:
    """It says nothing any more."""
    for task in (one._running, one._looking):
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    one._id = None


async def _moves(database: Database) -> None:
    """Wait until one says once more that it is there."""
    ((before,),) = await rows(database, "SELECT max(seen_at) FROM gateways")

    async def later() -> bool:
        return await rows(database, "SELECT max(seen_at) FROM gateways") > [(before,)]

    await until(later)


async def test_it_says_that_it_is_there_until_it_has_left(database: Database) -> None:
    async with there(database) as one:
        await _moves(database)
        assert await stays(database) == [(False, False)]
        one.close()

        async def closed() -> bool:
            return await stays(database) == [(True, False)]

        await until(closed)
        ((closed_at,),) = await rows(database, "SELECT closed_at FROM gateways")
        await _moves(database)  # what is under way goes on
    assert await stays(database) == [(True, True)]
    assert await rows(database, "SELECT closed_at, left_at > closed_at, left_at = seen_at FROM gateways") == [
        (closed_at, True, True)
    ]


async def test_one_that_is_killed_is_told_of_once_it_has_been_silent_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(attendance, "_NOTE_AFTER", 4)
    before = _counted("cut_off")
    with capture_logs() as logs:
        async with there(database) as first, there(database):
            await _killed(first)

            async def told() -> bool:
                return any(line["event"] == "gateway.was_cut_off" for line in logs)

            await until(told)
            await _moves(database)
            await _moves(database)
    assert await stays(database) == [(False, False), (True, True)]
    assert [line["event"] for line in logs].count("gateway.was_cut_off") == 1
    assert _counted("cut_off") == before + 1
    assert _events(logs, "gateway.none_was_there") == 0


async def test_one_that_stood_still_ends_its_stay_and_begins_another(database: Database) -> None:
    now = 0.0

    def clock() -> float:
        return now

    with capture_logs() as logs:
        async with there(database, clock) as one:
            ((seen_at,),) = await rows(database, "SELECT max(seen_at) FROM gateways")
            now += 4.0  # it was late
            await _moves(database)
            assert len(await stays(database)) == 1
            now += 6.0

            async def began() -> bool:
                return len(await stays(database)) == 2

            await until(began)
            await _moves(database)
            one.close()
    assert await stays(database) == [(False, False), (True, True)]
    assert await rows(database, "SELECT bool_and(seen_at >= %s) FROM gateways".replace("%s", f"'{seen_at}'")) == [
        (True,)
    ]
    assert _events(logs, "gateway.stood_still") == 1


async def test_a_time_without_any_is_told_of_by_the_next_that_comes(database: Database) -> None:
    before = _counted("none_there")
    with capture_logs() as logs:
        async with there(database), there(database):
            pass
        assert _events(logs, "gateway.none_was_there") == 0  # the first of all, and one beside another
        await asyncio.sleep(0.1)
        async with there(database):
            pass
    (line,) = [line for line in logs if line["event"] == "gateway.none_was_there"]
    assert 0.1 <= line["seconds"] < 5
    assert _counted("none_there") == before + 1


async def test_while_the_database_is_away_it_is_there_all_the_same(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadow.store.recurring.asyncio.sleep", _shortly)
    async with there(database):
        ((before,),) = await rows(database, "SELECT id FROM gateways")
        with capture_logs() as logs:
            database.held = True

            async def failed() -> bool:
                return _events(logs, "gateway.attendance_unsaid") > 2

            await until(failed)
            database.held = False
        await _moves(database)
        assert await rows(database, "SELECT id FROM gateways") == [(before,)]


async def test_one_that_waited_for_the_database_was_there_since_it_waited(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    database.held = True
    one = Attendance(database, clock=lambda: now)
    await one.start()
    await asyncio.sleep(0.1)
    for _ in range(3):
        now += 4.0
        await asyncio.sleep(0.05)  # it looks
    database.held = False
    await until(lambda: _more(database, 0))
    await one.stop()
    assert await rows(database, "SELECT extract(epoch FROM seen_at - since)::int >= 12 FROM gateways") == [(True,)]


async def test_one_that_can_not_say_that_it_left_ends_all_the_same(database: Database, database_url: str) -> None:
    with capture_logs() as logs:
        async with there(database):
            database.held = True
    database.held = False
    assert await stays(database) == [(False, False)]
    assert _events(logs, "gateway.left_unsaid") == 1


async def test_a_stay_that_the_database_has_lost_begins_anew(database: Database, database_url: str) -> None:
    async with there(database):
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute("DELETE FROM gateways")
        await until(lambda: _more(database, 0))
    assert await stays(database) == [(True, True)]


_really = asyncio.sleep


async def _shortly(seconds: float) -> None:
    await _really(min(seconds, 0.02))


def _events(logs: Any, event: str) -> int:
    return sum(line["event"] == event for line in logs)


def _counted(kind: str) -> float:
    return metrics.REGISTRY.get_sample_value("shadow_gateway_absences_total", {"kind": kind}) or 0.0

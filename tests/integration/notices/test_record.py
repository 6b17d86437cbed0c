"""A notice is made with what it tells, and only once where it says what it is."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.notices.record import Notice, note
from shadow.store.database import Database, Work

MOVED = Notice(
    "moved", "Route payout went from shadow to ramp", route="payout", facts={"share": 10, "by": "ada"}, once="move:1"
)


async def stored(database: Database) -> list[tuple[Any, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT kind, title, task, route, facts, once, fanned_at FROM notices ORDER BY id"
        )
        return await cursor.fetchall()


async def test_a_notice_is_kept_until_it_is_told(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        assert await note(connection, MOVED) is not None
    assert await stored(database) == [
        ("moved", MOVED.title, None, "payout", {"share": 10, "by": "ada"}, "move:1", None)
    ]


async def test_the_same_notice_is_made_once(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        made = [await note(connection, MOVED) for _ in range(2)]
    assert [one is None for one in made] == [False, True]
    assert len(await stored(database)) == 1


async def test_notices_that_say_nothing_of_that_are_all_made(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        for _ in range(2):
            await note(connection, Notice("leak", "A write got out", task="payout"))
    assert len(await stored(database)) == 2


async def test_what_is_rolled_back_is_told_to_nobody(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.connection(Work.CONTROL) as connection:
            await note(connection, MOVED)
            raise RuntimeError("the move did not happen")
    assert await stored(database) == []


async def test_whoever_waits_for_notices_is_woken(database: Database) -> None:
    async with database.direct() as listening:
        await listening.execute("LISTEN shadow_notices")
        async with database.connection(Work.CONTROL) as connection:
            await note(connection, MOVED)
        told = [notice.channel async for notice in listening.notifies(timeout=5, stop_after=1)]
    assert told == ["shadow_notices"]

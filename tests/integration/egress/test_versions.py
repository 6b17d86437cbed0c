"""What calls say of their worker's version is known of their task and of their run, and no call waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.egress.versions import Versions
from shadow.store.database import Database, Work
from tests.integration.egress.world import World, until

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE


async def seen(world: World) -> list[tuple[Any, ...]]:
    return await world.rows("SELECT task, side, version FROM versions_seen ORDER BY 1, 2, 3")


async def test_a_version_header_is_noted_by_task_and_side_and_kept_with_the_run(world: World) -> None:
    twins = await world.twins()
    for side, version in ((LEGACY, "legacy-3"), (CANDIDATE, "candidate-7")):
        await twins.call(side, json={"requestId": "wd_1"}, headers={"x-shadow-version": version})
        await twins.finish(LEGACY)
    await until(lambda: world.rows("SELECT FROM runs WHERE side = 'candidate' AND version IS NOT NULL"))
    assert await seen(world) == [("payout", "candidate", "candidate-7"), ("payout", "legacy", "legacy-3")]
    assert await world.rows("SELECT side, version FROM runs ORDER BY side") == [
        ("candidate", "candidate-7"),
        ("legacy", "legacy-3"),
    ]


async def test_so_is_that_of_a_run_that_nobody_knows(world: World) -> None:
    headers = {"x-shadow-key": world.keys[CANDIDATE], "x-shadow-run": "nobodys", "x-shadow-task": "process-payout"}
    answer = await world.client.post("/egress/pay/v1/transfers", headers={**headers, "x-shadow-version": "v8"})
    assert answer.status_code == 403
    await until(lambda: seen(world))
    assert await seen(world) == [("payout", "candidate", "v8")]


async def test_a_run_keeps_its_first_version_and_the_task_all_of_them(world: World) -> None:
    twins = await world.twins()
    for version in ("v1", "v2"):
        await twins.call(LEGACY, json={"requestId": "wd_1"}, headers={"x-shadow-version": version})
        await world.gateway.versions.tell()
    assert [version for _task, _side, version in await seen(world)] == ["v1", "v2"]
    assert await world.rows("SELECT version FROM runs WHERE side = 'legacy'") == [("v1",)]


async def test_what_could_not_be_told_is_told_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = Versions(database)
    versions.note("payout", CANDIDATE, "v1", None)
    with monkeypatch.context() as away:
        away.setattr(database, "connection", _away)
        with pytest.raises(OSError, match="away"):
            await versions.tell()
    await versions.tell()
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute("SELECT task, version FROM versions_seen")
        assert await cursor.fetchall() == [("payout", "v1")]


def _away(_work: Work) -> Any:
    raise OSError("away")

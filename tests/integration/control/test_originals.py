"""Originals are opened for whoever may, for a reason, and never without a trace."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from api.control import ControlServices
from shadow.access.tokens import Scope, issue
from shadow.cli import app
from shadow.model.ids import new_id
from shadow.reports import audit
from tests.integration.judge.world import Told, World

REASON = {"reason": "INC-311: the address was cut off"}
ADDRESS = "ada@shop.test"


@pytest.fixture
async def raw(anonymous: httpx.AsyncClient, world: World) -> httpx.AsyncClient:
    secret, _ = await issue(world.database.engine, "support", [Scope.RAW])
    anonymous.headers["Authorization"] = f"Bearer {secret}"
    return anonymous


@pytest.fixture
async def told(world: World) -> Told:
    return await world.event(data={"email": ADDRESS})


async def test_what_came_in_is_shown_as_it_came_and_the_read_is_in_the_audit(
    raw: httpx.AsyncClient, world: World, told: Told
) -> None:
    answer = await raw.post(f"/v1/events/{told.event}/originals", json=REASON)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["state"], found["tenant"]) == ("kept", "acme")
    (part,) = found["parts"]
    assert (part["part"], json.loads(part["content"])) == ("data", {"email": ADDRESS})
    assert answer.headers["cache-control"] == "no-store"
    (entry,) = (await audit.page(world.database.engine, kinds=audit.KINDS["reads of originals"])).items
    assert (entry.kind, entry.actor, entry.reason, entry.tasks, str(entry.id)) == (
        "raw_read",
        "token:support",
        REASON["reason"],
        ["order-sync"],
        found["read"],
    )
    assert str(told.event) in entry.says
    assert "data" in entry.says
    assert ADDRESS not in entry.says


async def test_the_audit_can_be_asked_for_reads_alone_and_by_task(
    raw: httpx.AsyncClient, world: World, told: Told
) -> None:
    await raw.post(f"/v1/events/{told.event}/originals", json=REASON)
    kinds = audit.KINDS["reads of originals"]
    assert len((await audit.page(world.database.engine, kinds=kinds, task="order-sync")).items) == 1
    assert (await audit.page(world.database.engine, kinds=kinds, task="digest")).items == []


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 2001}])
async def test_without_a_reason_nothing_is_opened(
    raw: httpx.AsyncClient, world: World, told: Told, body: dict[str, str]
) -> None:
    assert (await raw.post(f"/v1/events/{told.event}/originals", json=body)).status_code == 422
    assert await world.rows("SELECT id FROM raw_reads") == []


async def test_an_event_that_is_not_there_is_no_read(raw: httpx.AsyncClient, world: World) -> None:
    assert (await raw.post(f"/v1/events/{new_id()}/originals", json=REASON)).status_code == 404
    assert await world.rows("SELECT id FROM raw_reads") == []


async def test_to_want_what_is_gone_is_on_record_too(raw: httpx.AsyncClient, world: World, told: Told) -> None:
    await world.rows("DELETE FROM bodies WHERE id = %s AND part = 'data' RETURNING id", told.event)
    found = (await raw.post(f"/v1/events/{told.event}/originals", json=REASON)).json()
    assert (found["state"], found["parts"]) == ("deleted", [])
    assert await world.rows("SELECT parts FROM raw_reads") == [([],)]


async def test_nothing_is_shown_that_could_not_be_written_down(
    services: ControlServices, raw: httpx.AsyncClient, world: World, told: Told
) -> None:
    async with world.connection() as connection:
        await connection.execute("ALTER TABLE raw_reads RENAME TO raw_reads_away")
    try:
        with capture_logs():  # nobody has to render it
            answer = await raw.post(f"/v1/events/{told.event}/originals", json=REASON)
        assert answer.status_code == 500
        assert ADDRESS not in answer.text
    finally:
        async with world.connection() as connection:
            await connection.execute("ALTER TABLE raw_reads_away RENAME TO raw_reads")


async def test_the_command_leaves_the_same_trace(world: World, told: Told, database_url: str) -> None:
    arguments = ["originals", str(told.event), "--database-url", database_url, "--actor", "ann"]

    async def run(*more: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *more])

    assert (await run()).exit_code == 2
    shown = await run("--reason", "INC-311")
    assert shown.exit_code == 0, shown.output
    assert ADDRESS in shown.stdout
    assert await world.rows("SELECT actor, reason, event_id FROM raw_reads") == [("ann", "INC-311", told.event)]

"""Judging again through the API: page by page, foretold or done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.catalogue import parse
from shadow.judge.loop import JudgeLoop
from tests.integration.judge.world import CATALOGUE, World

LATER = timedelta(minutes=1)
SINCE = "2020-01-01T00:00:00Z"
PATH = "/v1/tasks/order-sync/judgements"


@pytest.fixture
def services(world: World) -> ControlServices:
    """Of a process that was started after the rules were changed."""
    changed = CATALOGUE.replace("$.tookMs, reason: how long it took", "$.host, reason: which machine it was")
    return ControlServices(world.database, parse(changed, "test.yaml", {}))


async def differing(world: World, judge: JudgeLoop, number: int) -> None:
    for _ in range(number):
        told = await world.event()
        await told.both({"host": "a"}, candidate={"host": "b"})
        await judge.once(told.accepted_at + LATER)


async def asked(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"since": SINCE, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_dry_run_tells_and_the_run_does(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    await differing(world, judge, 2)
    told = await asked(client, dry_run=True)
    assert told["verdicts"] == [{"before": "mismatch", "after": "match", "pairs": 2}]
    assert await world.verdicts() == {"mismatch": 2}
    done = await asked(client, dry_run=False)
    assert done == {**told, "dry_run": False}
    assert await world.verdicts() == {"match": 2}
    (pair, *_) = (await client.get("/v1/pairs")).json()["items"]
    assert pair["rules"] == done["rules"]


async def test_pages_follow_each_other_to_the_end(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    await differing(world, judge, 5)
    sizes, cursor = [], None
    while True:
        page = await asked(client, dry_run=False, limit=2, cursor=cursor)
        sizes.append(page["judged"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sizes == [2, 2, 1]
    assert await world.verdicts() == {"match": 5}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.dry_run"),  # nobody shall judge again by a slip
        ({"dry_run": True, "until": SINCE}, "body.until"),
        ({"dry_run": True, "limit": 1001}, "body.limit"),
        ({"dry_run": True, "since": "2020-01-01"}, "body.since"),
    ],
)
async def test_a_wrong_request_is_named_by_its_field(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(PATH, json={"since": SINCE, **body})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_any_moment_that_can_be_written_can_be_asked_for(client: httpx.AsyncClient, moment: str) -> None:
    assert (await asked(client, dry_run=True, since=moment))["examined"] == 0
    assert await asked(client, dry_run=True, since="0001-01-01T00:00:00Z", until=moment.replace("0001-", "0002-"))


async def test_an_unknown_task_is_none(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/tasks/none/judgements", json={"since": SINCE, "dry_run": True})
    assert answer.status_code == 404


async def test_it_needs_the_scope_operate_even_to_tell(world: World, services: ControlServices) -> None:
    secret, _token = await issue(world.database.engine, "ci", [Scope.READ])
    transport = httpx.ASGITransport(control_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = await client.post(PATH, json={"since": SINCE, "dry_run": True}, headers=headers)
    assert answer.status_code == 403

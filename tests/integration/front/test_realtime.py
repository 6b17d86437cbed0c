"""Realtime feeds of issued runs, as Electric's protocol has them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shadow.cutover.decision import Phase
from tests.integration.front.door import Door
from tests.integration.front.world import KEY

MODERN = {**KEY, "x-trigger-electric-version": "1.0.0-beta.1"}


@pytest.fixture(autouse=True)
def _live(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE


async def _poll(door: Door, run: str, before: httpx.Response | None = None, **query: str) -> httpx.Response:
    asked = {"offset": "-1", **query}
    if before is not None:
        asked |= {"handle": before.headers["electric-handle"], "offset": before.headers["electric-offset"]}
    return await door.world.client.get(f"/realtime/v1/runs/{run}", params=asked, headers=MODERN)


def _row(answer: httpx.Response) -> Any:
    (change, end) = answer.json()
    assert end == {"headers": {"control": "up-to-date"}}
    return change["value"]


async def test_a_feed_begins_with_the_run_as_it_is_and_goes_on_with_its_changes(door: Door) -> None:
    run = (await door.trigger({"payload": {"n": 1}, "options": {"tags": ["a b", 'q"'], "ttl": "1h"}}))["id"]
    first = await _poll(door, run)
    row = _row(first)
    assert (row["friendlyId"], row["status"], row["taskIdentifier"]) == (run, "PENDING", "hello")
    assert (row["payload"], row["payloadType"], row["runTags"]) == ('{"n":1}', "application/json", '{"a b","q\\""}')
    assert (row["completedAt"], row["ttl"]) == (None, "1h")
    assert not row["createdAt"].endswith("Z")
    waiting = asyncio.create_task(_poll(door, run, first, live="true"))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await door.ends(run, "failed")
    second = await waiting
    row = _row(second)
    assert (row["status"], row["completedAt"] is not None) == ("COMPLETED_WITH_ERRORS", True)
    assert '"BUILT_IN_ERROR"' in row["error"]
    assert second.headers["electric-offset"] != first.headers["electric-offset"]


async def test_a_snapshot_that_is_read_again_brings_nothing_new(door: Door) -> None:
    run = (await door.trigger())["id"]
    first = await _poll(door, run)
    assert (await _poll(door, run, first)).json() == [{"headers": {"control": "up-to-date"}}]


async def test_who_comes_with_a_strange_handle_starts_again(door: Door) -> None:
    run = (await door.trigger())["id"]
    answer = await _poll(door, run, handle="stranger", offset="5_0")
    assert (answer.status_code, answer.json()) == (409, [{"headers": {"control": "must-refetch"}}])


async def test_columns_that_a_client_skips_are_left_out(door: Door) -> None:
    run = (await door.trigger())["id"]
    row = _row(await _poll(door, run, skipColumns="payload,status"))
    assert ("payload" in row, "status" in row) == (False, True)


async def test_a_token_of_the_run_subscribes_to_it_and_to_no_other(door: Door) -> None:
    first, second = [await door.world.trigger_call() for _ in range(2)]
    token = {"authorization": f"Bearer {first.headers['x-trigger-jwt']}"}
    for answer, status in ((first, 200), (second, 403)):
        path = f"/realtime/v1/runs/{answer.json()['id']}"
        assert (await door.world.client.get(path, params={"offset": "-1"}, headers=token)).status_code == status


async def test_feeds_of_legacys_runs_are_trigger_devs(door: Door) -> None:
    door.world.routing.phase = Phase.LEGACY
    run = (await door.trigger())["id"]
    assert _row(await _poll(door, run))["friendlyId"] == run
    assert b"/realtime/v1/runs/" in door.world.requests[-1].extensions["target"]

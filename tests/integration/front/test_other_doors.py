"""The webhook and Inngest doors on a real database."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from shadow.model.ids import Seed
from tests.integration.front.world import World, states

PAYOUT = {"name": "payout/approved", "data": {"requestId": "wd_1", "tenantId": "acme"}}


def github(body: bytes, delivery: str = "d-1") -> dict[str, Any]:
    digest = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": delivery}}


async def test_ids_are_those_that_the_stored_batch_will_get(world: World) -> None:
    answer = await world.client.post("/e/producer-key", json=[PAYOUT, {**PAYOUT, "id": "evt-1"}])
    rows = await world.rows("SELECT seed, position FROM dispatches WHERE side = 'candidate' ORDER BY position")
    expected = [(Seed.parse(seed) or Seed.new()).ulid(position) for seed, position in rows]
    assert answer.json()["ids"] == expected
    events = await world.rows("SELECT upstream_id, delivery_id, external_id, tenant FROM events ORDER BY upstream_id")
    assert events == [(expected[0], expected[0], None, "acme"), (expected[1], "evt-1", "evt-1", "acme")]


async def test_the_same_id_again_gets_the_first_ones_ulid(world: World) -> None:
    first = await world.client.post("/e/producer-key", json={**PAYOUT, "id": "evt-1"})
    second = await world.client.post("/e/producer-key", json={**PAYOUT, "id": "evt-1"})
    assert first.json() == second.json()
    assert await world.count("events") == 1


async def test_many_requests_at_once_are_stored_each(world: World) -> None:
    answers = await asyncio.gather(*(world.client.post("/e/producer-key", json=PAYOUT) for _ in range(50)))
    ids = {answer.json()["ids"][0] for answer in answers}
    assert len(ids) == 50
    assert {upstream for (upstream,) in await world.rows("SELECT upstream_id FROM events")} == ids


async def test_passthrough_gives_the_apps_own_answer_and_the_workers_nothing_to_forward(world: World) -> None:
    body = b'{ "ref": "refs/heads/main" }'
    answer = await world.client.post("/webhooks/github", **github(body))
    assert (answer.status_code, answer.content, answer.headers["x-app"]) == (200, b"true", "1")
    ((received, headers),) = world.app.received
    assert received == body
    assert headers[b"x-hub-signature-256"].startswith(b"sha256=")
    assert headers[b"x-shadow-key"] == b"secret"
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_an_app_that_fails_is_tried_again_by_whoever_comes_first(world: World) -> None:
    world.app.status = 500
    answer = await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))
    assert answer.status_code == 500
    assert states(await world.dispatches()) == ["legacy forward due", "candidate deliver due"]
    world.app.status = 204
    # the provider brings it again
    answer = await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))
    assert answer.status_code == 204
    assert len(world.app.received) == 2
    assert states(await world.dispatches()) == ["candidate deliver due"]
    # and once more, though it has been taken
    answer = await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))
    assert answer.status_code == 202
    assert answer.json()["duplicate"] is True
    assert len(world.app.received) == 2
    assert await world.count("events") == 1


@pytest.mark.parametrize("path", ["/v1/events/01ABC", "/v2/runs?limit=1"])
async def test_inngests_own_paths_are_its_own(world: World, path: str) -> None:
    direct = await world.client.get(path)
    assert direct.headers["x-inngest-server-kind"] == "dev"

"""A webhook is passed on so that its receiver can still verify the signature."""

from __future__ import annotations

import base64
import hashlib
import hmac

from shadow.catalogue.model import Origin, Side
from shadow.fanout.handoff import Started, record_started
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Stage
from shadow.store.database import Work
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import StageSet

BODY = '{"id": 1,  "note": "spaces, unicode é and order are as they came"}'.encode()
SECRET = b"hush"
SIGNATURE = base64.b64encode(hmac.digest(SECRET, BODY, hashlib.sha256)).decode()


async def _webhook(world: StageSet) -> Arrival:
    arrival = Arrival(
        source="shopify",
        door=Door.WEBHOOK,
        origin=Origin.PRODUCER,
        name="order/created",
        data=b"{}",
        dispatches=(PlannedDispatch(Side.LEGACY, Stage.FORWARD, "app", None),),
        external_id="w-1",
        request=BODY,
        headers=(
            ("content-type", "application/json; charset=utf-8"),
            ("x-shopify-hmac-sha256", SIGNATURE),
            ("connection", "keep-alive"),
            ("content-length", str(len(BODY))),
        ),
    )
    await world.intake.accept([arrival])
    return arrival


async def test_body_and_headers_arrive_byte_for_byte(world: StageSet) -> None:
    await _webhook(world)
    async with world.delivering(Side.LEGACY):
        await until(lambda: len(world.app.requests) == 1)
    ((headers, body),) = world.app.requests
    expected = base64.b64encode(hmac.digest(SECRET, body, hashlib.sha256)).decode()
    assert headers["x-shopify-hmac-sha256"] == expected
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert await world.queued() == 0


async def test_an_app_that_is_down_gets_it_later(world: StageSet) -> None:
    world.app.answers = [503, 502]
    await _webhook(world)
    async with world.delivering(Side.LEGACY):
        await until(lambda: len(world.app.requests) == 3)
    assert {body for _headers, body in world.app.requests} == {BODY}


async def test_what_the_app_refuses_is_a_dead_letter_that_says_so(world: StageSet) -> None:
    world.app.answers = [400]
    await _webhook(world)

    async def dead() -> bool:
        return bool(await world.rows("SELECT 1 FROM dispatches WHERE state = 'dead' AND error = 'HTTP 400'"))

    async with world.delivering(Side.LEGACY):
        await until(dead)
    assert len(world.app.requests) == 1


async def test_a_door_that_has_forwarded_it_itself_says_so_without_knowing_the_dispatch(world: StageSet) -> None:
    await _webhook(world)
    event = await world.value("SELECT id FROM events")
    async with world.database.connection(Work.ACCEPT) as conn:
        await record_started(conn, world.catalogue, [Started(None, event, Side.LEGACY, None, "app")])
    assert await world.queued() == 0

"""What an HTTP endpoint gets, and what its answers mean."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from shadow.intake.arrival import Stage
from shadow.platforms.adapter import Delivered, Failed, Rejected, Result, Throttled
from shadow.platforms.registry import adapters
from tests.unit.shadow.platforms.platforms import Wire, catalogue, delivery, event, spent_quota


async def test_a_request_goes_on_byte_for_byte_with_the_platforms_headers_added() -> None:
    wire = Wire(lambda request: httpx.Response(204))
    passed = delivery(
        stage=Stage.FORWARD,
        request=b'{"id":  1}',
        headers=(("x-shopify-hmac-sha256", "abc="), ("X-Token", "forged"), ("host", "shadow")),
    )
    assert await adapters(catalogue(), wire.client)["app"].deliver([passed]) == [Delivered()]
    (request,) = wire.requests
    assert request.content == b'{"id":  1}'
    assert request.headers["x-shopify-hmac-sha256"] == "abc="
    assert request.headers.get_list("x-token") == ["t"]
    assert request.headers["host"] == "app"


@pytest.mark.parametrize(
    ("door", "request_body"),
    [
        ("inngest", None),
        ("inngest", b'{"name": "order/created", "user": {"id": 1}}'),  # kept for Inngest's sake
        ("trigger.dev", b'{"payload": 1}'),
        ("webhook", b'{"id": 9}'),  # not forwarded: the task gets the event that was made of it
    ],
)
async def test_an_event_for_a_task_is_described_under_its_key(door: str, request_body: bytes | None) -> None:
    wire = Wire(lambda request: httpx.Response(202))
    told = delivery(
        event=event(external_id="o-9", delivery_id="o-9", door=door),
        request=request_body,
        headers=(("content-type", "application/x-other"),),
    )
    await adapters(catalogue(), wire.client)["app"].deliver([told])
    assert wire.requests[0].headers["idempotency-key"] == told.key
    body = wire.body()
    assert (body["id"], body["name"], body["task"], body["data"]) == ("o-9", "order/created", "sync", {"id": 0})


@pytest.mark.parametrize(
    ("status", "headers", "result"),
    [
        (200, {}, Delivered()),
        (204, {}, Delivered()),
        (302, {}, Failed("HTTP 302")),  # not followed
        (400, {}, Rejected("HTTP 400", 400)),
        (401, {}, Failed("HTTP 401")),  # an app that is being deployed
        (404, {}, Failed("HTTP 404")),
        (422, {}, Rejected("HTTP 422", 422)),
        (429, {"retry-after": "3"}, Throttled(timedelta(seconds=3))),
        (503, {"retry-after": "4"}, Failed("HTTP 503", timedelta(seconds=4))),
    ],
)
async def test_what_an_answer_means(status: int, headers: dict[str, str], result: Result) -> None:
    wire = Wire(lambda request: httpx.Response(status, headers=headers))
    assert await adapters(catalogue(), wire.client)["app"].deliver([delivery()]) == [result]


@pytest.mark.parametrize(("remaining", "rests"), [(0, True), (1, False)])
async def test_the_last_request_of_a_quota_says_when_the_next_may_come(remaining: int, rests: bool) -> None:
    wire = Wire(lambda request: httpx.Response(204, headers=spent_quota(remaining)))
    (given,) = await adapters(catalogue(), wire.client)["app"].deliver([delivery()])
    assert isinstance(given, Delivered)
    assert (given.rest is not None) is rests
    assert given.rest is None or timedelta(seconds=7) < given.rest <= timedelta(seconds=9)

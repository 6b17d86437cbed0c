"""Producers speak as the real ones do, and insist with the same ids until they are acknowledged."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Plan, SendEvents, Trigger, Webhook, build_plan
from sandbox.commerce.producers import Sent, produce, shopify_signature
from sandbox.serving import Served

KEYS = Keys()
DATASET = Dataset.build(1, date(2026, 11, 24))


@dataclass
class Doors:
    """Answers like Shadow's doors. `stumbles`: each thing's first call is taken, but answered 503."""

    stumbles: bool = False
    refusing: int | None = None
    seen: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def _answer(self, key: str, what: Any, request: Request, answer: dict[str, Any], status: int) -> Response:
        self.seen[key].append(what)
        self.headers[key] = dict(request.headers)
        if self.refusing is not None:
            return JSONResponse({"error": "no", "status": self.refusing}, self.refusing)
        if self.stumbles and len(self.seen[key]) == 1:
            return JSONResponse({"error": "not now", "status": 503}, 503)
        return JSONResponse(answer, status)

    async def webhook(self, request: Request) -> Response:
        body = await request.body()
        signature = request.headers["x-shopify-hmac-sha256"]
        if signature != shopify_signature(KEYS.shopify_secret, body):
            return JSONResponse({"title": "wrong signature"}, 401)
        key = request.headers["x-shopify-webhook-id"]
        return self._answer(key, body, request, {"id": f"event-{key}", "duplicate": False}, 202)

    async def events(self, request: Request) -> Response:
        events = orjson.loads(await request.body())
        key = "+".join(event["id"] for event in events)
        ids = [f"internal-{event['id']}" for event in events]
        return self._answer(key, [event["id"] for event in events], request, {"ids": ids, "status": 200}, 200)

    async def trigger(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        key = request.headers["x-trigger-request-idempotency-key"]
        return self._answer(key, body, request, {"id": f"run_{key}", "isCached": False}, 200)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/webhooks/shopify", self.webhook, methods=["POST"]),
                Route("/e/{key}", self.events, methods=["POST"]),
                Route("/api/v1/tasks/{task}/trigger", self.trigger, methods=["POST"]),
            ]
        )


def _few(kind: type[Webhook] | type[SendEvents] | type[Trigger], count: int = 2) -> tuple[Any, ...]:
    return tuple(action for action in build_plan(DATASET).actions if isinstance(action, kind))[:count]


async def test_a_whole_plan_is_sent_and_acknowledged_in_its_order() -> None:
    plan = build_plan(DATASET, scale=6)
    told: list[Sent] = []
    doors = Doors()
    async with Served(doors.app()) as served:
        sent = await produce(plan, served.url, KEYS, progress=told.append)
    assert [each.action for each in sent] == list(plan.actions)
    assert all(each.acknowledged and each.ids for each in sent)
    assert Counter(each.action.key for each in told) == Counter(action.key for action in plan.actions)


async def test_what_is_not_acknowledged_is_sent_again_with_the_same_ids() -> None:
    plan = Plan((*_few(Webhook), *_few(Trigger)))
    doors = Doors(stumbles=True)
    async with Served(doors.app()) as served:
        sent = await produce(plan, served.url, KEYS)
    assert all(each.acknowledged and each.attempts == 2 for each in sent)
    assert all(len(seen) == 2 and seen[0] == seen[1] for seen in doors.seen.values())


async def test_a_service_that_is_killed_and_comes_back_loses_nothing() -> None:
    plan = Plan((*_few(Webhook, 1), *_few(SendEvents, 1), *_few(Trigger, 1)))
    async with Served(Doors().app()) as gone:
        url, port = gone.url, int(gone.url.rpartition(":")[2])
    doors = Doors()
    sending = asyncio.create_task(produce(plan, url, KEYS))
    await asyncio.sleep(0.3)
    assert not sending.done()
    async with Served(doors.app(), port=port):
        sent = await sending
    assert all(each.acknowledged for each in sent)
    assert {len(seen) for seen in doors.seen.values()} == {1}


@pytest.mark.parametrize("kind", [Webhook, Trigger])
async def test_a_refusal_is_final(kind: type[Webhook] | type[Trigger]) -> None:
    doors = Doors(refusing=422)
    async with Served(doors.app()) as served:
        (sent,) = await produce(Plan(_few(kind, 1)), served.url, KEYS)
    assert not sent.acknowledged
    assert sent.attempts == 1
    assert "422" in str(sent.problem)


async def test_patience_ends() -> None:
    doors = Doors(refusing=503)
    async with Served(doors.app()) as served:
        (sent,) = await produce(Plan(_few(Trigger, 1)), served.url, KEYS, patience=0.5)
    assert not sent.acknowledged
    assert sent.attempts > 1


async def test_a_trigger_looks_like_the_sdk_s() -> None:
    action = next(a for a in build_plan(DATASET).actions if isinstance(a, Trigger) and a.idempotency_key)
    doors = Doors()
    async with Served(doors.app()) as served:
        await produce(Plan((action,)), served.url, KEYS)
    (body,), headers = doors.seen[action.request_key], doors.headers[action.request_key]
    assert orjson.loads(body["payload"]) == {"json": action.payload}
    options = body["options"]
    assert options["payloadType"] == "application/super+json"
    assert options["payloadSize"] == len(body["payload"])
    assert options["idempotencyKey"] == action.idempotency_key
    assert headers["authorization"] == f"Bearer {KEYS.trigger_app}"
    assert headers["x-trigger-source"] == "sdk"
    assert headers["x-trigger-api-version"] == "2025-07-16"


def test_a_webhook_signature_is_shopify_s() -> None:
    # Test case 2 of RFC 4231.
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert b64decode(shopify_signature("Jefe", b"what do ya want for nothing?")) == expected

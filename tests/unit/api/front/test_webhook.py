"""The webhook door: what providers send and what they are answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import httpx
import orjson
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.intake.arrival import Door, Stage, State
from tests.unit.api.front.listener import Listener
from tests.unit.shadow.catalogues import TEXT

ORDER = orjson.dumps({"id": 5551234, "total": "12.50"})


def shopify(body: bytes = ORDER, topic: str = "orders/create", **headers: str) -> dict[str, Any]:
    digest = base64.b64encode(hmac.digest(b"hush", body, "sha256")).decode()
    return {
        "content": body,
        "headers": {
            "content-type": "application/json",
            "x-shopify-topic": topic,
            "x-shopify-webhook-id": "delivery-1",
            "x-shopify-hmac-sha256": digest,
            **headers,
        },
    }


def github(body: bytes) -> dict[str, Any]:
    digest = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "d-1"}}


async def test_a_delivery_is_stored_and_answered_with_its_events_id() -> None:
    front = Listener()
    answer = await front.client.post("/webhooks/shopify", **shopify())
    assert answer.status_code == 202
    assert set(answer.json()) == {"id", "duplicate"}
    assert answer.json()["duplicate"] is False
    (arrival,) = front.accepted
    assert (arrival.source, arrival.door, arrival.name) == ("shopify", Door.WEBHOOK, "shopify/order.created")
    assert orjson.loads(arrival.data) == {"orderId": 5551234}
    assert arrival.external_id == "delivery-1"
    assert arrival.delivery_id == "shopify:delivery-1"
    assert arrival.decision is not None
    assert arrival.request is None  # nobody needs the bytes again
    assert [(item.side, item.task) for item in arrival.dispatches] == [
        (Side.LEGACY, "sync-order"),
        (Side.LEGACY, "credit-creator"),
        (Side.CANDIDATE, None),
    ]


async def test_a_delivery_that_comes_again_is_the_same_event() -> None:
    front = Listener()
    first = (await front.client.post("/webhooks/shopify", **shopify())).json()
    second = (await front.client.post("/webhooks/shopify", **shopify())).json()
    assert second == {"id": first["id"], "duplicate": True}
    assert len(front.accepted) == 1


@pytest.mark.parametrize(
    ("path", "request_", "status", "detail"),
    [
        # no such source
        ("/webhooks/nobody", shopify(), 404, "no webhook source"),
        # a source, but of another door
        ("/webhooks/app-events", shopify(), 404, "no webhook source"),
        # signed over other bytes
        ("/webhooks/shopify", {**shopify(), "content": b"{}"}, 401, "signature"),
        # not signed
        ("/webhooks/shopify", {"content": ORDER}, 401, "x-shopify-hmac-sha256 is missing"),
        # signed, but no JSON
        ("/webhooks/shopify", shopify(b"{bad"), 400, "expected JSON"),
        ("/webhooks/shopify", shopify(b""), 400, "expected JSON"),
        # more than any platform takes
        ("/webhooks/shopify", shopify(b" " * (3 * 1024 * 1024 + 1)), 413, "3145728"),
    ],
)
async def test_a_bad_delivery_is_refused_with_problem_details_and_nothing_is_stored(
    path: str, request_: dict[str, Any], status: int, detail: str
) -> None:
    front = Listener()
    answer = await front.client.post(path, **request_)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert detail in answer.json()["detail"]
    assert front.accepted == []


async def test_webhooks_are_posted() -> None:
    answer = await Listener().client.get("/webhooks/shopify")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_delivery_that_cannot_be_mapped_is_accepted_and_kept_as_a_dead_letter() -> None:
    front = Listener()
    answer = await front.client.post("/webhooks/shopify", **shopify(topic="themes/publish"))
    assert answer.status_code == 202
    (arrival,) = front.accepted
    assert arrival.mapping_error is not None
    assert "themes/publish" in arrival.mapping_error
    assert [(item.stage, item.state) for item in arrival.dispatches] == [(Stage.MAP, State.DEAD)]
    assert arrival.request == ORDER
    assert ("x-shopify-topic", "themes/publish") in arrival.headers


async def test_while_nothing_can_be_stored_the_provider_is_asked_to_come_again() -> None:
    front = Listener()
    front.intake.failing = True
    answer = await front.client.post("/webhooks/shopify", **shopify())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_nobody_foresaw_is_a_problem() -> None:
    front = Listener()
    front.intake.breaking = True
    answer = await front.client.post("/webhooks/shopify", **shopify())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["status"] == 500


async def test_a_delivery_without_an_id_is_known_again_by_its_events() -> None:
    named = TEXT.replace(
        "name: shopify/order.created, data: {orderId: $.id}", 'name: shopify/order.created, id: "$.total"'
    )
    front = Listener(parse(named, "named.yaml", {}))
    request = shopify()
    del request["headers"]["x-shopify-webhook-id"]
    first = (await front.client.post("/webhooks/shopify", **request)).json()
    second = (await front.client.post("/webhooks/shopify", **request)).json()
    assert second == {"id": first["id"], "duplicate": True}
    assert front.accepted[0].external_id is None


async def test_in_phase_legacy_the_candidate_gets_nothing() -> None:
    front = Listener(phase=Phase.LEGACY)
    await front.client.post("/webhooks/shopify", **shopify())
    assert {item.side for item in front.accepted[0].dispatches} == {Side.LEGACY}


async def test_an_ignored_delivery_is_acknowledged_and_dropped() -> None:
    ignoring = TEXT.replace(
        "  shopify:\n    kind: webhook\n", "  shopify:\n    kind: webhook\n    ignore: [{$.test: true}]\n"
    )
    front = Listener(parse(ignoring, "ignoring.yaml", {}))
    answer = await front.client.post("/webhooks/shopify", **shopify(b'{"id":1,"test":true}'))
    assert (answer.status_code, answer.json()) == (202, {"status": "ignored"})
    assert front.accepted == []


async def test_what_is_forwarded_is_kept_byte_for_byte() -> None:
    accepting = TEXT.replace("    answer: passthrough\n", "")
    front = Listener(parse(accepting, "accepting.yaml", {}))
    body = b'{ "ref": "refs/heads/main" }'
    answer = await front.client.post("/webhooks/forwarding", **github(body))
    assert answer.status_code == 202
    (arrival,) = front.accepted
    assert arrival.request == body
    assert dict(arrival.headers)["x-github-delivery"] == "d-1"
    assert [item.stage for item in arrival.dispatches] == [Stage.FORWARD, Stage.DELIVER]
    assert front.requests == []  # the workers do it


async def test_what_is_ignored_is_forwarded_all_the_same() -> None:
    ignoring = TEXT.replace("    answer: passthrough\n", "    ignore: [{$.test: true}]\n")
    front = Listener(parse(ignoring, "ignoring.yaml", {}))
    answer = await front.client.post("/webhooks/forwarding", **github(b'{"test":true}'))
    assert answer.json() == {"status": "ignored"}
    (arrival,) = front.accepted
    assert arrival.decision is None
    assert [item.stage for item in arrival.dispatches] == [Stage.FORWARD]


async def test_with_passthrough_an_unreachable_app_leaves_the_delivery_to_the_workers() -> None:
    front = Listener()
    answer = await front.client.post("/webhooks/forwarding", **github(b'{"ref":"x"}'))
    assert answer.status_code == 202
    (arrival,) = front.accepted
    assert arrival.dispatches[0].stage is Stage.FORWARD
    assert arrival.dispatches[0].delay.total_seconds() >= 30
    assert len(front.requests) == 1


async def test_a_form_is_read_as_an_object() -> None:
    forms = TEXT.replace(
        "signature: {scheme: github, secrets: [hush]}", "signature: {scheme: github, secrets: [hush]}"
    ).replace("    answer: passthrough\n", "")
    front = Listener(parse(forms, "forms.yaml", {}))
    request = github(b"ref=a%20b&empty=")
    request["headers"]["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    assert (await front.client.post("/webhooks/forwarding", **request)).status_code == 202
    assert orjson.loads(front.accepted[0].data) == {"ref": "a b"}


async def test_a_tenant_that_no_column_holds_is_a_mapping_error_and_hurts_no_other_event() -> None:
    tenants = TEXT.replace(
        "name: shopify/order.created, data: {orderId: $.id}", "name: shopify/order.created, tenant: $.shop"
    )
    front = Listener(parse(tenants, "tenants.yaml", {}))
    answer = await front.client.post("/webhooks/shopify", **shopify(b'{"id":1,"shop":"a\\u0000b"}'))
    assert answer.status_code == 202
    assert "tenant" in (front.accepted[0].mapping_error or "")


async def test_health_is_told_and_unknown_paths_are_problems() -> None:
    front = Listener()
    assert (await front.client.get("/healthz")).json() == {"status": "ok"}
    answer = await front.client.get("/nothing/here")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_more_can_be_mounted() -> None:
    async def more(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    front = Listener(extra=[("/shadow/effects", more)])
    answer: httpx.Response = await front.client.post("/shadow/effects/batch")
    assert answer.text == "/shadow/effects/batch"

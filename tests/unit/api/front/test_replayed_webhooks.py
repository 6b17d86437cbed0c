"""A delivery that comes again, from its provider or from whoever has got hold of it: it is one event, whatever the
provider signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from shadow.catalogue import ResolvedCatalogue, parse
from tests.unit.api.front.listener import NOW, Listener

SECRET = "hush"
STANDARD = base64.b64encode(SECRET.encode()).decode()
BODY = b'{"id":"evt_1","event_id":"Ev1","total":"12.50"}'
AT = str(int(NOW.timestamp()))
CATALOGUE = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: k}
  inngest: {kind: inngest, side: candidate, event_url: "http://127.0.0.1:9", event_key: k, app: shop}
sources:
"""
SOURCE = """
  SCHEME:
    kind: webhook
    signature: {scheme: SCHEME, secrets: [SECRET]EXTRA}
    DEDUPE
    events: [{name: order/created}]
"""
TASK = """
tasks:
  sync: {event: order/created, sources: [SCHEME], legacy: {platform: trigger}, candidate: {platform: inngest}}
"""


def hexed(message: bytes) -> str:
    return hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()


def based(message: bytes) -> str:
    return base64.b64encode(hmac.digest(SECRET.encode(), message, "sha256")).decode()


Signed = Callable[[bytes, str], Mapping[str, str]]
"""A body and a timestamp -> the headers with which its provider sends it."""
SIGNED: Mapping[str, Signed] = {
    "shopify": lambda body, _at: {"x-shopify-hmac-sha256": based(body), "x-shopify-webhook-id": "d-1"},
    "github": lambda body, _at: {"x-hub-signature-256": f"sha256={hexed(body)}", "x-github-delivery": "d-1"},
    "stripe": lambda body, at: {"stripe-signature": f"t={at},v1={hexed(at.encode() + b'.' + body)}"},
    "slack": lambda body, at: {
        "x-slack-request-timestamp": at,
        "x-slack-signature": f"v0={hexed(b'v0:' + at.encode() + b':' + body)}",
    },
    "standard-webhooks": lambda body, at: {
        "webhook-id": "d-1",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{based(b'd-1.' + at.encode() + b'.' + body)}",
    },
    "hmac": lambda body, _at: {"x-acme": hexed(body)},
}
TIMED = ("stripe", "slack", "standard-webhooks")
UNSIGNED_IDS = {"shopify": "x-shopify-webhook-id", "github": "x-github-delivery"}


def catalogue(scheme: str, dedupe: str = "dedupe: delivery") -> ResolvedCatalogue:
    secret = f"whsec_{STANDARD}" if scheme == "standard-webhooks" else SECRET
    extra = ", header: x-acme" if scheme == "hmac" else ""
    text = SOURCE.replace("SECRET", secret).replace("EXTRA", extra).replace("DEDUPE", dedupe)
    if scheme == "hmac" and dedupe == "dedupe: delivery":
        text = text.replace("    events:", "    delivery_id: $.id\n    events:")  # it has none by itself
    return parse((CATALOGUE + text + TASK).replace("SCHEME", scheme), "test.yaml", {})


@pytest.mark.parametrize("scheme", SIGNED)
async def test_the_same_delivery_again_gets_the_first_answer_and_stores_nothing(scheme: str) -> None:
    front = Listener(catalogue(scheme))
    headers = SIGNED[scheme](BODY, AT)
    answers = [await front.client.post(f"/webhooks/{scheme}", content=BODY, headers=dict(headers)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.json()["duplicate"] for answer in answers] == [False, True, True]
    assert len(front.accepted) == 1


@pytest.mark.parametrize("scheme", TIMED)
async def test_where_a_timestamp_is_signed_an_old_delivery_is_refused(scheme: str) -> None:
    front = Listener(catalogue(scheme))
    headers = dict(SIGNED[scheme](BODY, AT))
    for later in (timedelta(minutes=5, seconds=1), timedelta(days=1), -timedelta(minutes=5, seconds=1)):
        object.__setattr__(front.services, "clock", lambda later=later: NOW + later)
        answer = await front.client.post(f"/webhooks/{scheme}", content=BODY, headers=headers)
        assert answer.status_code == 401
        assert "timestamp" in answer.json()["detail"]
    assert front.accepted == []


@pytest.mark.parametrize("scheme", TIMED)
async def test_nobody_can_make_an_old_delivery_young(scheme: str) -> None:
    front = Listener(catalogue(scheme))
    old = str(int((NOW - timedelta(hours=1)).timestamp()))
    headers = {name: value.replace(old, AT) for name, value in SIGNED[scheme](BODY, old).items()}
    assert (await front.client.post(f"/webhooks/{scheme}", content=BODY, headers=headers)).status_code == 401


@pytest.mark.parametrize("scheme", [*UNSIGNED_IDS, "hmac"])
async def test_by_its_bytes_a_delivery_is_known_under_any_id(scheme: str) -> None:
    front = Listener(catalogue(scheme, "dedupe: body"))
    headers = dict(SIGNED[scheme](BODY, AT))
    first = await front.client.post(f"/webhooks/{scheme}", content=BODY, headers=headers)
    if scheme in UNSIGNED_IDS:
        headers[UNSIGNED_IDS[scheme]] = "d-2"
    again = await front.client.post(f"/webhooks/{scheme}", content=BODY, headers=headers)
    assert again.json() == {"id": first.json()["id"], "duplicate": True}
    assert len(front.accepted) == 1
    other = BODY.replace(b"12.50", b"12.51")
    await front.client.post(f"/webhooks/{scheme}", content=other, headers=dict(SIGNED[scheme](other, AT)))
    assert len(front.accepted) == 2


async def test_by_its_id_two_deliveries_with_the_same_bytes_are_two() -> None:
    """Providers do send equal bytes twice: refusing the second would lose an event."""
    front = Listener(catalogue("github"))
    headers = dict(SIGNED["github"](BODY, AT))
    for delivery in ("d-1", "d-2"):
        await front.client.post("/webhooks/github", content=BODY, headers={**headers, "x-github-delivery": delivery})
    assert len(front.accepted) == 2
    assert front.accepted[0] != replace(front.accepted[1])

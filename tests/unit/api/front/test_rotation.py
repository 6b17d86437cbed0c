"""While a key is rotated both work; when the old one is taken out of its list it is refused. One test a kind."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from api.front.reports import PREFIX, worker_app
from shadow.catalogue import ResolvedCatalogue, parse
from tests.unit.api.front.listener import NOWHERE, AwayDatabase, Listener

OLD, NEW = "the-old-one", "the-new-one"
CATALOGUE = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: k}
  inngest: {kind: inngest, side: candidate, event_url: "http://127.0.0.1:9", event_key: k, app: shop}
sources:
  hook: {kind: webhook, signature: {scheme: github, secrets: [KEYS]}, events: [{name: order/created}]}
  app: {kind: inngest, keys: [KEYS]}
  sdk: {kind: trigger.dev, keys: [KEYS]}
report_keys: {legacy: [KEYS], candidate: [unused]}
tasks:
  sync:
    event: order/created
    sources: [hook, app, sdk]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
LIMITS
"""
EVENT = b'{"name":"order/created","data":{}}'


def catalogue(*keys: str, limits: str = "") -> ResolvedCatalogue:
    return parse(CATALOGUE.replace("KEYS", ", ".join(keys)).replace("LIMITS", limits), "test.yaml", {})


def listener(resolved: ResolvedCatalogue) -> Listener:
    return Listener(resolved, extra=[(PREFIX, worker_app(resolved, AwayDatabase(NOWHERE)))])


def with_key(kind: str, key: str) -> tuple[str, dict[str, Any]]:
    """The path of a request of that kind, and how it is sent."""
    bearer = {"authorization": f"Bearer {key}"}
    digest = hmac.new(key.encode(), EVENT, hashlib.sha256).hexdigest()
    signed = {"x-hub-signature-256": f"sha256={digest}"}
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "webhook secret": ("/webhooks/hook", {"content": EVENT, "headers": signed}),
        "event key": (f"/e/{key}", {"content": EVENT}),
        "secret key": ("/api/v1/tasks/sync/trigger", {"json": {"payload": {}}, "headers": bearer}),
        "report key": ("/shadow/runs", {"json": {}, "headers": bearer}),
    }
    return ways[kind]


KINDS = ("webhook secret", "event key", "secret key", "report key")


@pytest.mark.parametrize("kind", KINDS)
async def test_both_work_during_the_overlap_and_the_old_one_is_refused_after_it(kind: str) -> None:
    during, after = listener(catalogue(OLD, NEW)), listener(catalogue(NEW))

    async def is_taken(front: Listener, key: str) -> bool:
        path, request = with_key(kind, key)
        return (await front.client.post(path, **request)).status_code != 401

    assert await is_taken(during, OLD)
    assert await is_taken(during, NEW)
    assert await is_taken(after, NEW)
    assert not await is_taken(after, OLD)
    assert not await is_taken(during, "nobodys")


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_a_key_that_sends_more_than_it_may_is_told_when_to_come_back(kind: str) -> None:
    front = listener(catalogue(OLD, NEW, limits="limits: {requests_per_second: 0.5}"))
    path, request = with_key(kind, OLD)
    answers = [await front.client.post(path, **request) for _ in range(2)]
    assert answers[0].status_code != 429
    assert answers[1].status_code == 429
    assert 1 <= int(answers[1].headers["retry-after"]) <= 2
    said = answers[1].json()
    if kind == "event key":
        assert (said["status"], said["ids"]) == (429, [""])  # what Inngest's SDKs read
        assert "limits.requests_per_second" in said["error"]
    elif kind == "secret key":
        assert said["error"] == "Rate limit exceeded"
        assert int(answers[1].headers["x-ratelimit-reset"]) == said["reset"]  # what Trigger.dev's SDK reads
    other, more = with_key(kind, NEW)
    assert (await front.client.post(other, **more)).status_code != 429, "another key is not held back"
    assert len(front.accepted) <= 2


async def test_webhooks_are_never_refused_for_coming_fast_and_nobody_is_by_default() -> None:
    limited = listener(catalogue(OLD, limits="limits: {requests_per_second: 0.5}"))
    path, request = with_key("webhook secret", OLD)
    assert [(await limited.client.post(path, **request)).status_code for _ in range(5)] == [202] * 5
    unlimited = listener(catalogue(OLD))
    path, request = with_key("event key", OLD)
    assert [(await unlimited.client.post(path, **request)).status_code for _ in range(50)] == [200] * 50

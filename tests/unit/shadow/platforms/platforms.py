"""Platforms that answer as a test says, and events to deliver to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.model.ids import Seed, new_id
from shadow.platforms.adapter import Delivery
from shadow.platforms.event import EventRow

CATALOGUE = """
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://trigger", secret_key: tr_prod_secret}
  app: {kind: http, side: legacy, url: "http://app/hooks", headers: {x-token: t}}
  inngest:
    kind: inngest
    side: candidate
    event_url: http://inngest/
    api_url: http://inngest
    event_key: a/key
    signing_key: signkey-test-1234
    app: shop
    batch_size: 3
sources:
  store: {kind: inngest, keys: [producer]}
tasks:
  sync:
    event: order/created
    sources: [store]
    legacy: {platform: trigger, task: "sync/order", payload: {order: $.id}, options: {queue: {name: slow}}}
    candidate: {platform: inngest}
"""
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
SEED = Seed(1795482488675, bytes(range(10)))

Answer = Callable[[httpx.Request], httpx.Response]


def catalogue() -> ResolvedCatalogue:
    return parse(CATALOGUE, "platforms.yaml", {})


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class Wire:
    """Answers requests and keeps them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answer(request)
        # A transport gives bodies as streams; one that is read already can't be passed on raw.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Body(answer.content))

    def body(self, index: int = -1) -> Any:
        return orjson.loads(self.requests[index].content)


def event(**changes: Any) -> EventRow:
    values: dict[str, Any] = {
        "id": new_id(),
        "source": "store",
        "door": "inngest",
        "origin": "producer",
        "name": "order/created",
        "tenant": "acme",
        "external_id": "o-1",
        "delivery_id": "o-1",
        "upstream_id": SEED.ulid(0),
        "occurred_at": None,
        "scheduled_at": None,
        "accepted_at": NOW,
        "route": "order/created",
        "phase": "shadow",
        "authority": "legacy",
    }
    return EventRow(**(values | changes))


def delivery(position: int = 0, *, seeded: bool = False, **changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "dispatch_id": new_id(),
        "event": changes.pop("event", None) or event(external_id=f"o-{position}", delivery_id=f"o-{position}"),
        "data": orjson.dumps({"id": position}),
        "task": None if seeded else catalogue().tasks["sync"],
        "seed": SEED if seeded else None,
        "position": position,
    }
    return Delivery(**(values | changes))


def spent_quota(remaining: int) -> dict[str, str]:
    """Headers that leave so many requests until nine seconds from now."""
    reset = int((datetime.now(UTC).timestamp() + 9) * 1000)
    return {"x-ratelimit-limit": "10", "x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": str(reset)}

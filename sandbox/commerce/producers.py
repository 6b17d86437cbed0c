"""The producers: Shopify, the app's Inngest client and the app's Trigger.dev client, sending a plan to the doors."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import inngest
import orjson

from sandbox.commerce import sdk
from sandbox.commerce.catalogue import SHOPIFY
from sandbox.commerce.database import Row
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Action, Plan, SendEvents, Trigger, Webhook

_RETRIED = frozenset({408, 409, 425, 429})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0
SDK_VERSION = "4.5.12"
API_VERSION = "2025-07-16"


@dataclass(frozen=True)
class Sent:
    """What became of an action. `ids`: of the event, the events, or the run, as the door answered."""

    kind: str
    """webhook, event or trigger."""
    action: Action
    ids: tuple[str, ...]
    acknowledged: bool
    attempts: int
    problem: str | None = None
    """Why it was not acknowledged."""


class NotAcknowledged(Exception):
    """A door did not take an action. `final`: it will not, however often it is asked."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class Producers:
    """All three kinds of producer, for one front."""

    def __init__(self, front_url: str, keys: Keys) -> None:
        self._keys = keys
        self._http = httpx.AsyncClient(base_url=front_url, timeout=30.0, follow_redirects=False, trust_env=False)
        self._inngest = inngest.Inngest(
            app_id="shop",
            event_api_base_url=front_url,
            api_base_url=front_url,
            event_key=keys.event_app,
            is_production=keys.signing_key is not None,
            signing_key=keys.signing_key,
            logger=sdk.quiet_logger(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await sdk.close(self._inngest)

    async def send(self, action: Action) -> tuple[str, ...]:
        """Send one action once; returns the ids that the door answered.

        Raises NotAcknowledged when it was not taken.
        """
        match action:
            case Webhook():
                return await self._webhook(action)
            case SendEvents():
                return await self._events(action)
            case Trigger():
                return await self._trigger(action)

    async def _webhook(self, webhook: Webhook) -> tuple[str, ...]:
        headers = {
            "content-type": "application/json",
            "user-agent": "Shopify-Captain-Hook",
            "x-shopify-topic": webhook.topic,
            "x-shopify-shop-domain": webhook.shop_domain,
            "x-shopify-webhook-id": webhook.webhook_id,
            "x-shopify-api-version": "2024-10",
            "x-shopify-hmac-sha256": shopify_signature(self._keys.shopify_secret, webhook.body),
        }
        answer = await self._post(f"/webhooks/{SHOPIFY}", webhook.body, headers)
        return tuple(str(value) for name, value in answer.items() if name in ("id", "event", "event_id") and value)

    async def _events(self, send: SendEvents) -> tuple[str, ...]:
        events = [inngest.Event(name=event["name"], id=event["id"], data=event["data"]) for event in send.events]
        try:
            return tuple(await self._inngest.send(events))
        except Exception as error:
            # The SDK raises errors of its own, of JSON and of HTTP, and none of them says whether to try again.
            raise NotAcknowledged(f"{type(error).__name__}: {error}", final=False) from error

    async def _trigger(self, trigger: Trigger) -> tuple[str, ...]:
        payload = orjson.dumps({"json": trigger.payload}).decode()
        options: Row = {
            "payloadType": "application/super+json",
            "payloadSize": len(payload),
            "tags": list(trigger.tags),
        }
        if trigger.idempotency_key is not None:
            options["idempotencyKey"] = trigger.idempotency_key
            options["idempotencyKeyTTL"] = "1h"
            options["idempotencyKeyOptions"] = trigger.idempotency_options
        headers = {
            "authorization": f"Bearer {self._keys.trigger_app}",
            "content-type": "application/json",
            "user-agent": "node",
            "trigger-version": SDK_VERSION,
            "x-trigger-api-version": API_VERSION,
            "x-trigger-realtime-streams-version": "v2",
            "x-trigger-source": "sdk",
            "x-trigger-request-idempotency-key": trigger.request_key,
        }
        body = orjson.dumps({"payload": payload, "options": options})
        answer = await self._post(f"/api/v1/tasks/{trigger.task}/trigger", body, headers)
        if "id" not in answer:
            raise NotAcknowledged(f"200 without a run: {answer!r:.200}", final=False)
        return (str(answer["id"]),)

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Row:
        try:
            response = await self._http.post(path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NotAcknowledged(type(error).__name__, final=False) from error
        if not response.is_success:
            final = response.status_code < 500 and response.status_code not in _RETRIED
            raise NotAcknowledged(f"HTTP {response.status_code}: {response.text[:200]}", final=final)
        answer = orjson.loads(response.content) if response.content else {}
        return answer if isinstance(answer, dict) else {}


def shopify_signature(secret: str, body: bytes) -> str:
    """Shopify's signature of a body: base64 of its HMAC-SHA256 (X-Shopify-Hmac-Sha256)."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


async def produce(
    plan: Plan,
    front_url: str,
    keys: Keys,
    *,
    concurrency: int = 8,
    progress: Callable[[Sent], None] | None = None,
    patience: float = 120.0,
) -> list[Sent]:
    """Send all actions of a plan, so many at a time; `progress` is told of each.

    An action that is not acknowledged is sent again with the same ids and keys, for `patience` seconds. The result
    is in the order of the plan.
    """
    producers = Producers(front_url, keys)
    turnstile = asyncio.Semaphore(concurrency)

    async def one(action: Action) -> Sent:
        async with turnstile:
            sent = await insist(producers, action, patience)
        if progress is not None:
            progress(sent)
        return sent

    try:
        return list(await asyncio.gather(*(one(action) for action in plan.actions)))
    finally:
        await producers.close()


async def insist(producers: Producers, action: Action, patience: float) -> Sent:
    """Send an action until it is acknowledged, refused for good, or `patience` seconds have passed."""
    kind = {Webhook: "webhook", SendEvents: "event", Trigger: "trigger"}[type(action)]
    loop = asyncio.get_running_loop()
    deadline, delay, attempts = loop.time() + patience, _FIRST_DELAY, 0
    while True:
        attempts += 1
        try:
            return Sent(kind, action, await producers.send(action), acknowledged=True, attempts=attempts)
        except NotAcknowledged as refusal:
            if refusal.final or loop.time() + delay > deadline:
                return Sent(kind, action, (), acknowledged=False, attempts=attempts, problem=str(refusal))
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)

"""The adapter of any HTTP endpoint: a forwarded webhook goes on byte for byte, so that its signature still verifies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from shadow.catalogue.model import HttpPlatform
from shadow.intake.arrival import Stage
from shadow.platforms.adapter import (
    Cancellation,
    CancelResult,
    Delivered,
    Delivery,
    Failed,
    Rejected,
    Result,
    Throttled,
    Unknown,
)
from shadow.platforms.client import Answer, TooLarge, carry
from shadow.platforms.throttle import retry_after, until_reset

_PATIENCE = timedelta(seconds=5)
_RETRYABLE = frozenset({401, 403, 404, 408, 409, 410, 421, 423, 424, 425})
"""Client errors that a provider would repeat too: an app that is being deployed answers with them."""
_MOST_ANSWER = 4 * 1024 * 1024


class HttpEndpoint:
    """An endpoint that takes requests one by one. What its runs do is reported at `/shadow/runs`."""

    def __init__(self, name: str, platform: HttpPlatform, http: httpx.AsyncClient) -> None:
        self.name = name
        self.batch_size = 1
        self.concurrency = platform.concurrency
        self._url = platform.url
        self._timeout: timedelta = platform.timeout
        self._added = tuple((name, value.get_secret_value()) for name, value in platform.headers.items())
        self._http = http

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        return [[delivery] for delivery in deliveries]

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        results: list[Result] = []
        for delivery in group:
            try:
                answer = await self.send(delivery)
            except (httpx.HTTPError, TimeoutError, TooLarge) as error:
                results.append(Failed(f"{type(error).__name__}: {error}"[:300]))
            else:
                results.append(_result(answer))
        return results

    async def send(self, delivery: Delivery) -> Answer:
        """Hand the delivery over and return what the endpoint answers.

        Raises:
            httpx.TransportError, TimeoutError, TooLarge: there was no answer.
        """
        if delivery.stage is Stage.FORWARD and delivery.request is not None:
            headers, body = list(delivery.headers), delivery.request
        else:
            headers, body = _described(delivery)
        replaced = {name.lower() for name, _value in self._added}
        headers = [(name, value) for name, value in headers if name.lower() not in replaced]
        return await carry(
            self._http,
            "POST",
            self._url,
            (*headers, *self._added),
            body,
            within=self._timeout,
            most=_MOST_ANSWER,
        )

    async def cancel(self, cancellation: Cancellation) -> CancelResult:
        """An endpoint has no runs that could be cancelled."""
        return Unknown()


def _described(delivery: Delivery) -> tuple[list[tuple[str, str]], bytes]:
    """An event that a task is to run for: as JSON, with the key by which a repetition is known."""
    event = delivery.event
    body = orjson.dumps(
        {
            "id": event.delivery_id,
            "name": event.name,
            "task": delivery.task.id if delivery.task else None,
            "tenant": event.tenant,
            "data": orjson.Fragment(delivery.data),
            "occurred_at": event.occurred_at,
            "scheduled_at": event.scheduled_at,
        }
    )
    headers = [
        ("content-type", "application/json"),
        ("user-agent", "shadow"),
        ("idempotency-key", delivery.key),
    ]
    return headers, body


def _result(answer: Answer) -> Result:
    now = datetime.now(UTC)
    if 200 <= answer.status < 300:
        return Delivered(rest=until_reset(answer.fields, now))
    wait = retry_after(answer.fields, now)
    if answer.status == 429:
        return Throttled(wait or _PATIENCE)
    if answer.status in _RETRYABLE or answer.status >= 500 or answer.status < 400:
        return Failed(f"HTTP {answer.status}", wait)
    return Rejected(f"HTTP {answer.status}", answer.status)

"""The outside as a task sees it: a client for each target, and the database.

Nothing here knows of Shadow: the HTTP client and the connection that it is given do.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.commerce.database import Row, TenantDatabase
from sandbox.commerce.hosts import url
from sandbox.commerce.messages import Message
from sandbox.commerce.money import units
from sandbox.targets.analytics import META_API_VERSION
from sandbox.targets.shopify import API_VERSION

PATIENCE_SECONDS = 60.0
"""How long a target that nobody can connect to is tried again: nothing was sent, so nothing can happen twice."""
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 1.0


class TargetUnavailable(Exception):
    """A target could not answer; nothing happened, and it is worth another attempt."""


class TargetRefused(Exception):
    """A target understood the call and said no, for good."""


@dataclass(frozen=True)
class Transfer:
    """Money to be moved. `key` is the same for every attempt at the same payout, None for none."""

    request_id: str
    amount_cents: int
    currency: str
    destination: str
    key: str | None


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return iso(datetime.now(UTC))


def iso(moment: datetime) -> str:
    """A moment in the notation of the platform: ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hashed(address: str) -> str:
    """An address as the analytics targets want it."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


class Outside:
    """Everything outside of one side's tasks."""

    def __init__(self, http: httpx.AsyncClient, database: TenantDatabase) -> None:
        self._http = http
        self.database = database

    # -- Shopify ------------------------------------------------------------------------------------

    async def shopify_order(self, tenant: Row, order_id: str) -> Row:
        """An order as Shopify has it."""
        path = f"/admin/api/{API_VERSION}/orders/{order_id}.json"
        headers = {"x-shopify-shop-domain": tenant["shop_domain"]}
        response = await self._call("GET", "shopify", path, headers=headers)
        order: Row = response.json()["order"]
        return order

    # -- messages -----------------------------------------------------------------------------------

    async def send_email(self, message: Message) -> str:
        """Send an email; returns the provider's id for it."""
        body = {
            "personalizations": [{"to": [{"email": message.to}]}],
            "from": {"email": message.sender},
            "subject": message.subject,
            "content": [{"type": "text/html", "value": message.html}],
            "categories": [message.template],
            "custom_args": {"reference": message.reference},
        }
        response = await self._call("POST", "mail", "/v3/mail/send", json=body)
        message_id: str = response.headers["x-message-id"]
        return message_id

    async def post_to_slack(self, channel: str, text: str) -> None:
        """Post a message to a channel."""
        response = await self._call("POST", "slack", "/api/chat.postMessage", json={"channel": channel, "text": text})
        if not response.json()["ok"]:
            raise TargetRefused(f"slack: {response.json()['error']}")

    # -- analytics ----------------------------------------------------------------------------------

    async def send_to_meta(self, tenant: Row, event: Row) -> None:
        """Report one conversion to Meta."""
        await self._call("POST", "meta", f"/{META_API_VERSION}/{tenant['pixel_id']}/events", json={"data": [event]})

    async def send_to_ga4(self, tenant: Row, client_id: str, event: Row) -> None:
        """Report one event to Google Analytics."""
        body = {"client_id": client_id, "events": [event]}
        await self._call("POST", "ga4", f"/mp/collect?measurement_id={tenant['measurement_id']}", json=body)

    # -- payouts ------------------------------------------------------------------------------------

    async def pay(self, provider: str, transfer: Transfer) -> str:
        """Move money through a provider; returns its id for the transfer.

        Raises TargetRefused when the provider declines, with its reason.
        """
        headers = {} if transfer.key is None else {"idempotency-key": transfer.key}
        body: Row = {"currency": transfer.currency, "reference": transfer.request_id}
        if provider == "swiftpay":
            path = "/v1/transfers"
            body |= {"amount": transfer.amount_cents, "destination": transfer.destination}
        else:
            path = "/payouts"
            body |= {"value": units(transfer.amount_cents), "iban": transfer.destination}
        response = await self._call("POST", provider, path, json=body, headers=headers, refusable=True)
        answer = response.json()
        if response.status_code >= 400:
            error = answer.get("error")
            problem = error.get("message") if isinstance(error, dict) else answer.get("problem")
            raise TargetRefused(f"{provider}: {problem or answer}")
        transfer_id: str = answer["payout"]["id"] if provider == "bankwire" else answer["id"]
        return transfer_id

    # -- the platform's own -------------------------------------------------------------------------

    def save(self, table: str, row: Row) -> None:
        """Write a row."""
        self.database.upsert(table, row)

    # -- how ----------------------------------------------------------------------------------------

    async def _call(
        self, method: str, target: str, path: str, *, refusable: bool = False, **content: Any
    ) -> httpx.Response:
        response = await self._connected(method, target, path, content)
        if response.status_code >= 500 or response.status_code == 429:
            raise TargetUnavailable(f"{target} answered {response.status_code}")
        if response.status_code >= 400 and not refusable:
            raise TargetRefused(f"{target} answered {response.status_code}: {response.text}")
        return response

    async def _connected(self, method: str, target: str, path: str, content: dict[str, Any]) -> httpx.Response:
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + PATIENCE_SECONDS, _FIRST_DELAY
        while True:
            try:
                return await self._http.request(method, url(target, path), **content)
            except httpx.ConnectError as error:
                if loop.time() + delay > deadline:
                    raise TargetUnavailable(f"{target} cannot be reached") from error
            except httpx.TransportError as error:
                raise TargetUnavailable(f"{target} did not answer: {type(error).__name__}") from error
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

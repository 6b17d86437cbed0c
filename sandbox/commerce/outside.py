"""The outside as a task sees it: a client for each target and the database, which notes every effect it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.commerce.database import Row, TenantDatabase
from sandbox.commerce.messages import Message
from sandbox.commerce.money import units
from sandbox.commerce.reporting import Effect, Recorder
from sandbox.targets.analytics import META_API_VERSION
from sandbox.targets.shopify import API_VERSION

EVENTS = "events"
"""The target of emitted events, whatever platform carries them."""


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


def emission(name: str, data: Mapping[str, Any], scheduled_for: datetime) -> Effect:
    """The effect of having emitted an event: the same whether it left as an event or as a delayed task."""
    return Effect("event", EVENTS, name, None, {**data, "scheduledFor": iso(scheduled_for)})


class Outside:
    """Everything outside, for one attempt of a run or one step. `http` reaches the targets of the side's world."""

    def __init__(self, http: httpx.AsyncClient, database: TenantDatabase, recorder: Recorder) -> None:
        self._http = http
        self._recorder = recorder
        self.database = database

    # -- Shopify ------------------------------------------------------------------------------------

    async def shopify_order(self, tenant: Row, order_id: str) -> Row:
        """An order as Shopify has it."""
        path = f"/admin/api/{API_VERSION}/orders/{{id}}.json"
        headers = {"x-shopify-access-token": "shpat-pretend", "x-shopify-shop-domain": tenant["shop_domain"]}
        response = await self._call("GET", "shopify", path.format(id=order_id), headers=headers)
        data = {"shop": tenant["shop_domain"], "id": order_id, "status": response.status_code}
        self._note("http", "shopify", f"GET {path}", order_id, data)
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
        headers = {"authorization": "Bearer SG.pretend"}
        response = await self._call("POST", "mail", "/v3/mail/send", json=body, headers=headers)
        message_id = response.headers["x-message-id"]
        data = {
            "to": message.to,
            "from": message.sender,
            "subject": message.subject,
            "html": message.html,
            "template": message.template,
            "reference": message.reference,
            "messageId": message_id,
        }
        self._note("email", "mail", "send", None, data)
        return message_id

    async def post_to_slack(self, channel: str, text: str) -> None:
        """Post a message to a channel."""
        body = {"channel": channel, "text": text}
        headers = {"authorization": "Bearer xoxb-pretend"}
        response = await self._call("POST", "slack", "/api/chat.postMessage", json=body, headers=headers)
        if not response.json()["ok"]:
            raise TargetRefused(f"slack: {response.json()['error']}")
        self._note("http", "slack", "POST /api/chat.postMessage", None, {"body": body})

    # -- analytics ----------------------------------------------------------------------------------

    async def send_to_meta(self, tenant: Row, event: Row) -> None:
        """Report one conversion to Meta."""
        path = f"/{META_API_VERSION}/{{pixel}}/events"
        body = {"data": [event]}
        await self._call("POST", "meta", path.format(pixel=tenant["pixel_id"]), json=body)
        data = {"pixel_account": tenant["pixel_id"], "body": body}
        self._note("http", "meta", f"POST {path}", None, data)

    async def send_to_ga4(self, tenant: Row, client_id: str, event: Row) -> None:
        """Report one event to Google Analytics."""
        body = {"client_id": client_id, "events": [event]}
        query = f"measurement_id={tenant['measurement_id']}&api_secret=pretend"
        await self._call("POST", "ga4", f"/mp/collect?{query}", json=body)
        data = {"property_account": tenant["measurement_id"], "body": body}
        self._note("http", "ga4", "POST /mp/collect", None, data)

    # -- payouts ------------------------------------------------------------------------------------

    async def pay(self, provider: str, transfer: Transfer) -> str:
        """Move money through a provider; returns its id for the transfer.

        Raises TargetRefused when the provider declines, with its reason.
        """
        headers = {} if transfer.key is None else {"idempotency-key": transfer.key}
        if provider == "swiftpay":
            path, body = (
                "/v1/transfers",
                {
                    "amount": transfer.amount_cents,
                    "currency": transfer.currency,
                    "destination": transfer.destination,
                },
            )
        else:
            path, body = (
                "/payouts",
                {
                    "value": units(transfer.amount_cents),
                    "currency": transfer.currency,
                    "iban": transfer.destination,
                    "reference": transfer.request_id,
                },
            )
        response = await self._call("POST", provider, path, json=body, headers=headers, refusable=True)
        answer = response.json()
        data = {"body": body, "status": response.status_code, "answer": answer}
        self._note("http", provider, f"POST {path}", transfer.request_id, data, transfer.key)
        if response.status_code >= 400:
            problem = answer.get("error", {}).get("message") or answer.get("problem")
            raise TargetRefused(f"{provider}: {problem}")
        transfer_id: str = answer["payout"]["id"] if provider == "bankwire" else answer["id"]
        return transfer_id

    # -- the platform's own -------------------------------------------------------------------------

    def save(self, table: str, row: Row, *, identity: str | None = None) -> None:
        """Write a row. `identity`: its business key, where the primary key is generated."""
        self.database.upsert(table, row)
        self._note("sql", "tenant-db", f"upsert {table}", identity or str(row["id"]), row)

    def emitted(self, name: str, data: Row, scheduled_for: datetime) -> None:
        """Note that an event has been emitted which takes effect at a later time."""
        self._recorder.add(emission(name, data, scheduled_for))

    # -- how ----------------------------------------------------------------------------------------

    async def _call(
        self, method: str, target: str, path: str, *, refusable: bool = False, **content: Any
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, f"/{target}{path}", **content)
        except httpx.TransportError as error:
            raise TargetUnavailable(f"{target} cannot be reached: {type(error).__name__}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise TargetUnavailable(f"{target} answered {response.status_code}")
        if response.status_code >= 400 and not refusable:
            raise TargetRefused(f"{target} answered {response.status_code}: {response.text}")
        return response

    def _note(
        self, kind: str, target: str, operation: str, identity: str | None, data: Any, key: str | None = None
    ) -> None:
        self._recorder.add(Effect(kind, target, operation, identity, data, key))

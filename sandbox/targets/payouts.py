"""Two payout providers of different shape: one honours idempotency keys, the other does not know them."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from sandbox.targets.books import Books
from sandbox.targets.conduct import Conduct
from sandbox.targets.target import UNAVAILABLE, Answer, Target, born_id

DECLINED_SUFFIX = "-closed"
"""A destination that ends so belongs to a closed account: its transfers are declined."""


class SwiftPay(Target):
    """`POST /v1/transfers` {amount (minor units), currency, destination, reference}; equal keys get one transfer."""

    name = "swiftpay"
    header = "authorization"

    def __init__(self, books: Books, conduct: Conduct, secret: str) -> None:
        super().__init__(books, conduct, secret)
        self._by_key: dict[str, tuple[Any, Answer]] = {}

    def routes(self) -> list[Route]:
        """The one path for transfers."""
        return [self.route("POST", "/v1/transfers", self._transfer)]

    def _transfer(self, request: Request, body: Any) -> Answer:
        key = request.headers.get("idempotency-key")
        if key is not None and self.conduct.stumbles_at(self.name, key):
            return UNAVAILABLE
        known = self._by_key.get(key) if key is not None else None
        if known is not None:
            asked, answer = known
            if asked != body:
                message = "Keys for idempotent requests can only be used with the same parameters"
                return Answer(400, {"error": {"type": "idempotency_error", "message": message}})
            return Answer(answer.status, answer.body, {"idempotent-replayed": "true"}, replayed=True)
        answer = self._made(body)
        if key is not None:
            self._by_key[key] = (body, answer)
        return answer

    def _made(self, body: Any) -> Answer:
        amount = body.get("amount") if isinstance(body, dict) else None
        if not isinstance(amount, int) or amount <= 0:
            message = "amount must be a positive integer"
            return Answer(400, {"error": {"type": "invalid_request", "message": message}})
        if str(body.get("destination", "")).endswith(DECLINED_SUFFIX):
            return Answer(402, {"error": {"type": "declined", "message": "destination account is closed"}})
        made = {"id": born_id("tr"), "object": "transfer", "amount": amount, "currency": body.get("currency")}
        return Answer(201, {**made, "destination": body.get("destination"), "status": "pending"})


class BankWire(Target):
    """`POST /payouts` {value: "12.34", currency, iban, reference}: amounts are text, keys are ignored."""

    name = "bankwire"
    header = "x-api-key"

    def routes(self) -> list[Route]:
        """The one path for payouts."""
        return [self.route("POST", "/payouts", self._payout)]

    def _payout(self, request: Request, body: Any) -> Answer:
        if not isinstance(body, dict) or not body.get("reference") or not body.get("value"):
            return Answer(422, {"problem": "value and reference are required"})
        if self.conduct.stumbles_at(self.name, str(body["reference"])):
            return UNAVAILABLE
        if str(body.get("iban", "")).endswith(DECLINED_SUFFIX):
            return Answer(422, {"problem": "the receiving account is closed"})
        payout = {"id": str(uuid.uuid4()), "state": "accepted", "reference": body["reference"]}
        return Answer(200, {"payout": payout})

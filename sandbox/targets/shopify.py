"""Shopify's Admin REST API, as far as orders and customers are read from it.

Shapes: https://shopify.dev/docs/api/admin-rest (orders, customers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from sandbox.targets.books import Books
from sandbox.targets.conduct import Conduct
from sandbox.targets.target import UNAVAILABLE, Answer, Target

API_VERSION = "2024-10"


class Shopify(Target):
    """Read only. A shop sees its own orders and customers alone (`X-Shopify-Shop-Domain` names the shop)."""

    name = "shopify"
    header = "x-shopify-access-token"

    def __init__(
        self,
        books: Books,
        conduct: Conduct,
        secret: str,
        orders: Mapping[str, Mapping[str, Any]],
        customers: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """`orders` and `customers` by id, as the Admin API shows them, with their shop as `shop_domain`."""
        super().__init__(books, conduct, secret)
        self._orders = orders
        self._customers = customers

    def refusal(self) -> Answer:
        """As the real one says it."""
        return Answer(401, {"errors": "[API] Invalid API key or access token"})

    def routes(self) -> list[Route]:
        """`GET /admin/api/{version}/orders/{id}.json` and the same for customers."""
        prefix = f"/admin/api/{API_VERSION}"
        return [
            self.route("GET", f"{prefix}/orders/{{id}}.json", self._order),
            self.route("GET", f"{prefix}/customers/{{id}}.json", self._customer),
        ]

    def _order(self, request: Request, body: Any) -> Answer:
        return self._one(request, "order", self._orders)

    def _customer(self, request: Request, body: Any) -> Answer:
        return self._one(request, "customer", self._customers)

    def _one(self, request: Request, noun: str, known: Mapping[str, Mapping[str, Any]]) -> Answer:
        wanted = request.path_params["id"]
        if self.conduct.stumbles_at(self.name, wanted):
            return UNAVAILABLE
        found = known.get(wanted)
        if found is None or found["shop_domain"] != request.headers.get("x-shopify-shop-domain"):
            return Answer(404, {"errors": "Not Found"})
        return Answer(200, {noun: {name: value for name, value in found.items() if name != "shop_domain"}})

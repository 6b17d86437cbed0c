"""All targets of one world as one ASGI application, a prefix for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.targets.analytics import Ga4, Meta
from sandbox.targets.books import Books
from sandbox.targets.conduct import Conduct
from sandbox.targets.mail import Mail
from sandbox.targets.payouts import BankWire, SwiftPay
from sandbox.targets.shopify import Shopify
from sandbox.targets.slack import Slack


class Targets:
    """The targets of one world: `.app` serves them at `/{target}/...`, `.books` tells what they received."""

    def __init__(
        self,
        *,
        orders: Mapping[str, Mapping[str, Any]],
        customers: Mapping[str, Mapping[str, Any]],
        stumbling_mail: frozenset[str] = frozenset(),
        conduct: Conduct | None = None,
    ) -> None:
        """`orders`, `customers`: what Shopify knows. `stumbling_mail`: categories that may fail transiently."""
        self.books = Books()
        self.conduct = conduct if conduct is not None else Conduct()
        targets = (
            Shopify(self.books, self.conduct, orders, customers),
            Mail(self.books, self.conduct, stumbling_mail),
            Slack(self.books, self.conduct),
            Meta(self.books, self.conduct),
            Ga4(self.books, self.conduct),
            SwiftPay(self.books, self.conduct),
            BankWire(self.books, self.conduct),
        )
        self.app = Starlette(routes=[Mount(f"/{target.name}", routes=target.routes()) for target in targets])

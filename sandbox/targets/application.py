"""All targets as one ASGI application, a prefix for each."""

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
    """The targets: `.app` serves them at `/{target}/...`, `.books` tells what they received."""

    def __init__(
        self,
        *,
        secrets: Mapping[str, str],
        orders: Mapping[str, Mapping[str, Any]],
        customers: Mapping[str, Mapping[str, Any]],
        stumbling_mail: frozenset[str] = frozenset(),
        conduct: Conduct | None = None,
    ) -> None:
        """`secrets`: the credential of each target. `orders`, `customers`: what Shopify knows. `stumbling_mail`:
        categories that may fail transiently."""
        self.books = Books()
        self.conduct = conduct if conduct is not None else Conduct()
        targets = (
            Shopify(self.books, self.conduct, secrets["shopify"], orders, customers),
            Mail(self.books, self.conduct, secrets["mail"], stumbling_mail),
            Slack(self.books, self.conduct, secrets["slack"]),
            Meta(self.books, self.conduct, secrets["meta"]),
            Ga4(self.books, self.conduct, secrets["ga4"]),
            SwiftPay(self.books, self.conduct, secrets["swiftpay"]),
            BankWire(self.books, self.conduct, secrets["bankwire"]),
        )
        self.app = Starlette(routes=[Mount(f"/{target.name}", routes=target.routes()) for target in targets])

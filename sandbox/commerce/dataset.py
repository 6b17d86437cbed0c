"""The dataset: everything that exists before the first event, made from a seed.

Days count backwards from `today`. Nothing that an event of the load changes is read by another one, so what a
task does never depends on which events came before: metrics are of days gone by, each tenant's queue is swept
once, and every follow-up lies days ahead.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sandbox.commerce.database import Row
from sandbox.commerce.money import cents, units
from sandbox.targets.payouts import DECLINED_SUFFIX

TENANTS = (
    ("Nordlicht Küche", "EUR"),
    ("Birch & Bloom", "USD"),
    ("Café Ølberg", "EUR"),
    ("Harbour Tea Co.", "GBP"),
    ("Paper <Crane>", "USD"),
    ("Montaña Outdoors", "EUR"),
    ("Little Foxes", "GBP"),
    ("Saffron & Sons", "USD"),
    ("Zażółć Ceramics", "EUR"),
    ("Tidewater Surf", "USD"),
)
CLOSED_TENANT = ("Closed Shop", "USD")
_PRODUCTS = ("Linen apron", "Jasmine tea 100 g", 'Mug "Søren"', "Salt & pepper set", "Wool socks", "Enamel pot 2 l")
_FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Esra", "Farid", "Grace", "Hana", "Íris", "Jonas", "Kaito", "Łucja")
_LAST = ("O'Neill", "Müller", "García", "Nguyễn", "Smith", "Kowalski", "Okafor", "Lindqvist", "Rossi", "Tanaka")
_CHANNELS = ("email", "google", "instagram", "tiktok", "newsletter", "direct")
_CAMPAIGNS = ("spring-sale", "brand", "creator-drop", "winback")
_REVIEW_ORDERS = "54"
EARLIER = "request-earlier-"
"""What ids of withdrawals begin with that are paid before the load."""
"""How the ids of orders begin that were delivered some time ago."""
METRIC_DAYS = 4
LONG_QUEUES = (120, 70)
"""Pending webhooks of the first tenants: more than a page of 100, and more than half of one."""


@dataclass(frozen=True)
class Dataset:
    """`rows`: the tenants' database by table. `shop_orders`, `shop_customers`: what Shopify knows, by id."""

    seed: int
    today: date
    rows: dict[str, list[Row]]
    shop_orders: dict[str, Row]
    shop_customers: dict[str, Row]

    @classmethod
    def build(cls, seed: int = 1, today: date | None = None, *, scale: int = 80) -> Dataset:
        """The dataset of a seed. `scale` is about how many events each busy task can get.

        `today` is the current day in UTC unless given; two processes that share a dataset have to agree on it.
        """
        return _Builder(seed, today or datetime.now(UTC).date(), scale).build()

    def cloned(self) -> dict[str, list[Row]]:
        """The rows with which the candidate's database was set up. What the app has written since is in legacy's only:
        reviews, applications and conversions, and the orders that reviews are asked for.
        """
        since = {"reviews", "applications", "conversions"}
        rows = {table: its for table, its in self.rows.items() if table not in since}
        rows["orders"] = [row for row in rows["orders"] if not _is_of_a_review(row["id"])]
        rows["order_items"] = [row for row in rows["order_items"] if not _is_of_a_review(row["order_id"])]
        return rows

    @property
    def earlier_payouts(self) -> tuple[str, ...]:
        """Requests that are paid before the load, while legacy is still alone: one for each provider."""
        return tuple(row["id"] for row in self.rows["withdrawals"] if row["id"].startswith(EARLIER))

    def day(self, days_ago: int) -> str:
        """The date so many days before today, ISO 8601."""
        return (self.today - timedelta(days=days_ago)).isoformat()


def _is_of_a_review(order_id: str) -> bool:
    return order_id.startswith(_REVIEW_ORDERS)


class _Builder:
    def __init__(self, seed: int, today: date, scale: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._today = today
        self._scale = scale
        self._rows: dict[str, list[Row]] = {}
        self._orders: dict[str, Row] = {}
        self._customers: dict[str, Row] = {}

    def build(self) -> Dataset:
        tenants = [self._tenant(index, *named) for index, named in enumerate((*TENANTS, CLOSED_TENANT))]
        active = [tenant for tenant in tenants if tenant["active"]]
        self._creators(active)
        for index in range(self._scale):
            tenant = active[index % len(active)]
            self._shop_order(index, tenant)
            self._review_order(index, tenant)
            self._withdrawal(index)
            self._application(index, tenant)
            self._conversion(index, tenant)
        for index in range(self._scale // 4):
            self._shop_customer(index, active[index % len(active)])
        self._earlier_withdrawals()
        for tenant in tenants:
            self._past_days(tenant)
        for index, tenant in enumerate(active):
            self._queue(index, tenant)
        return Dataset(self._seed, self._today, self._rows, self._orders, self._customers)

    def _add(self, table: str, **row: Any) -> Row:
        self._rows.setdefault(table, []).append(row)
        return row

    def _at(self, days_ago: float, *, hour: int | None = None) -> str:
        moment = datetime.combine(self._today, time(hour=hour or 0), UTC) - timedelta(days=days_ago)
        return moment.isoformat().replace("+00:00", "Z")

    def _person(self) -> tuple[str, str]:
        first, last = self._random.choice(_FIRST), self._random.choice(_LAST)
        return f"{first} {last}", f"customer{self._random.randrange(10**6):06d}@example.com"

    def _tenant(self, index: int, name: str, currency: str) -> Row:
        slug = f"shop-{index + 1:02d}"
        return self._add(
            "tenants",
            id=f"tenant-{index + 1:02d}",
            name=name,
            shop_domain=f"{slug}.myshopify.com",
            currency=currency,
            active=int(name != CLOSED_TENANT[0]),
            mail_from=f"hello@{slug}.example",
            measurement_id=f"G-SHOP{index + 1:02d}",
            pixel_id=str(880_000 + index),
        )

    def _creators(self, tenants: list[Row]) -> None:
        for index in range(2 * len(tenants)):
            tenant = tenants[index % len(tenants)]
            name, _ = self._person()
            wire = index % 3 == 2
            closed = DECLINED_SUFFIX if index % 10 == 7 else ""
            creator = self._add(
                "creators",
                id=f"creator-{index + 1:03d}",
                tenant_id=tenant["id"],
                name=name,
                email=f"creator{index + 1:03d}@example.org",
                provider="bankwire" if wire else "swiftpay",
                destination=(f"DE02-{index + 1:04d}" if wire else f"acct-{index + 1:04d}") + closed,
            )
            self._add(
                "discount_codes",
                id=f"{tenant['id']}/CREATOR{index + 1:03d}",
                tenant_id=tenant["id"],
                code=f"CREATOR{index + 1:03d}",
                creator_id=creator["id"],
                commission_percent=self._random.choice((5, 8, 12)),
            )

    def _items(self) -> list[tuple[str, int, str]]:
        chosen = self._random.sample(_PRODUCTS, self._random.randint(1, 3))
        return [(title, self._random.randint(1, 3), units(self._random.randint(199, 8999))) for title in chosen]

    def _shop_order(self, index: int, tenant: Row) -> None:
        """An order that Shopify has and the platform does not know yet."""
        order_id = str(5_512_340_000_000 + index)
        name, email = self._person()
        items = self._items()
        total = sum(quantity * cents(price) for _, quantity, price in items)
        codes = [row["code"] for row in self._rows["discount_codes"] if row["tenant_id"] == tenant["id"]]
        visitor = f"visitor-{index:05d}"
        if index % 4 != 3:
            self._touchpoints(tenant, visitor, prefix=f"tp-order-{index:05d}")
        delivery = self._at(-self._random.randint(2, 9), hour=self._random.randint(8, 18))
        self._orders[order_id] = {
            "shop_domain": tenant["shop_domain"],
            "id": int(order_id),
            "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
            "name": f"#{1001 + index}",
            "order_number": 1001 + index,
            "created_at": self._at(0),
            "currency": tenant["currency"],
            "total_price": units(total),
            "financial_status": "paid",
            "email": email,
            "customer": {"id": 7_700_000_000 + index, "first_name": name.split()[0], "last_name": name.split()[1]},
            "line_items": [
                {"id": 13_000_000_000 + index * 10 + place, "title": title, "quantity": quantity, "price": price}
                for place, (title, quantity, price) in enumerate(items)
            ],
            "discount_codes": [{"code": codes[index // 3 % len(codes)], "amount": "2.00", "type": "fixed_amount"}]
            if index % 3 == 0
            else [],
            "note_attributes": [{"name": "visitor_id", "value": visitor}],
            "fulfillments": [{"id": 4_400_000_000 + index, "status": "success", "estimated_delivery_at": delivery}]
            if index % 5 != 4
            else [{"id": 4_400_000_000 + index, "status": "pending", "estimated_delivery_at": None}],
        }

    def _shop_customer(self, index: int, tenant: Row) -> None:
        customer_id = str(7_900_000_000 + index)
        name, email = self._person()
        self._customers[customer_id] = {
            "shop_domain": tenant["shop_domain"],
            "id": int(customer_id),
            "email": email,
            "first_name": name.split()[0],
            "last_name": name.split()[1],
            "created_at": self._at(0),
        }

    def _order(self, order_id: str, tenant: Row, number: int, created_at: str) -> Row:
        name, email = self._person()
        items = self._items()
        for place, (title, quantity, price) in enumerate(items):
            self._add(
                "order_items",
                id=f"{order_id}/{place}",
                order_id=order_id,
                title=title,
                quantity=quantity,
                price_cents=cents(price),
            )
        return self._add(
            "orders",
            id=order_id,
            tenant_id=tenant["id"],
            number=number,
            customer_email=email,
            customer_name=name,
            total_cents=sum(quantity * cents(price) for _, quantity, price in items),
            currency=tenant["currency"],
            status="paid",
            created_at=created_at,
        )

    def _review_order(self, index: int, tenant: Row) -> None:
        """An order that was delivered some time ago; every fifth has been reviewed."""
        order = self._order(str(5_400_000_000_000 + index), tenant, 500 + index, self._at(20 + index % 7, hour=9))
        if index % 5 == 2:
            self._add(
                "reviews",
                id=f"review-{index:05d}",
                order_id=order["id"],
                tenant_id=tenant["id"],
                rating=self._random.randint(3, 5),
                created_at=self._at(3),
            )

    def _withdrawal(self, index: int) -> None:
        creators = self._rows["creators"]
        creator = creators[index % len(creators)]
        currency = next(t["currency"] for t in self._rows["tenants"] if t["id"] == creator["tenant_id"])
        self._add(
            "withdrawals",
            id=f"request-{index + 1:05d}",
            creator_id=creator["id"],
            amount_cents=self._random.randint(1_050, 250_000),
            currency=currency,
            status="approved",
        )

    def _earlier_withdrawals(self) -> None:
        """One for each provider, paid before the load."""
        for provider in ("swiftpay", "bankwire"):
            creator = next(one for one in self._rows["creators"] if one["provider"] == provider)
            currency = next(t["currency"] for t in self._rows["tenants"] if t["id"] == creator["tenant_id"])
            self._add(
                "withdrawals",
                id=f"{EARLIER}{provider}",
                creator_id=creator["id"],
                amount_cents=12_300,
                currency=currency,
                status="approved",
            )

    def _application(self, index: int, tenant: Row) -> None:
        name, _ = self._person()
        self._add(
            "applications",
            id=f"application-{index + 1:05d}",
            creator_id=f"applicant-{index + 1:05d}",
            tenant_id=tenant["id"],
            name=name,
            email=f"applicant{index + 1:05d}@example.net",
            handle=f"@{name.split()[0].lower()}{index}",
            followers=self._random.randint(500, 200_000),
            submitted_at=self._at(1, hour=12),
        )

    def _conversion(self, index: int, tenant: Row) -> None:
        visitor = f"visitor-c{index:05d}"
        self._touchpoints(tenant, visitor, prefix=f"tp-conversion-{index:05d}")
        _, email = self._person()
        self._add(
            "conversions",
            id=str(5_300_000_000_000 + index),
            tenant_id=tenant["id"],
            visitor_id=visitor,
            email=email,
            total_cents=self._random.randint(990, 40_000),
            currency=tenant["currency"],
            occurred_at=self._at(0),
        )

    def _touchpoints(self, tenant: Row, visitor: str, *, prefix: str) -> None:
        for place in range(self._random.randint(1, 5)):
            self._add(
                "touchpoints",
                id=f"{prefix}-{place}",
                tenant_id=tenant["id"],
                visitor_id=visitor,
                channel=self._random.choice(_CHANNELS),
                campaign=self._random.choice(_CAMPAIGNS),
                occurred_at=self._at(14 - 2 * place, hour=self._random.randint(6, 22)),
            )

    def _past_days(self, tenant: Row) -> None:
        """Orders at all hours, with attribution, and new customers, on the days that metrics are made of."""
        number = int(tenant["id"].removeprefix("tenant-"))
        for day in range(1, METRIC_DAYS + 2):
            for place, hour in enumerate((1, 4, 9, 13, 18, 21, 23)):
                order_id = str(5_200_000_000_000 + number * 10_000 + day * 100 + place)
                order = self._order(order_id, tenant, day * 100 + place, self._at(day, hour=hour))
                self._add(
                    "attribution_results",
                    id=f"{order_id}/last_touch",
                    order_id=order_id,
                    tenant_id=tenant["id"],
                    model="last_touch",
                    credits_json={},
                    currency=tenant["currency"],
                    day=self._at(day)[:10],
                    attributed_cents=order["total_cents"] // 2,
                    created_at=self._at(day, hour=hour),
                )
                name, email = self._person()
                self._add(
                    "customers",
                    id=f"customer-{number:02d}-{day}-{place}",
                    tenant_id=tenant["id"],
                    email=email,
                    name=name,
                    created_at=self._at(day, hour=hour),
                )

    def _queue(self, index: int, tenant: Row) -> None:
        """Pending webhooks; every seventh cannot be processed."""
        size = LONG_QUEUES[index] if index < len(LONG_QUEUES) else self._random.randint(8, 16)
        for place in range(size):
            customer = f"customer-q-{index:02d}-{place:03d}"
            name, email = self._person()
            payload: Row = {"id": customer, "email": email, "name": name}
            topic = "customers/update"
            if place % 7 == 3:
                topic, payload = ("app/uninstalled", {}) if place % 2 else (topic, {"id": customer})
            self._add(
                "webhook_queue",
                id=f"queued-{index:02d}-{place:04d}",
                tenant_id=tenant["id"],
                topic=topic,
                payload_json=payload,
                status="pending",
                retries=0,
                received_at=self._at(1, hour=place % 24),
            )

"""The merchants, people and goods that the scripts are about."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TENANT_NAMES = (
    ("Nordlicht Küche", "EUR"), ("Birch & Bloom", "USD"), ("Café Ølberg", "EUR"), ("Harbour Tea Co.", "GBP"),
    ("Paper <Crane>", "USD"), ("Montaña Outdoors", "EUR"), ("Zażółć Ceramics", "EUR"), ("Tidewater Surf", "USD"),
    ("東京 Stationery", "JPY"), ("O'Malley & Daughters", "EUR"), ("Ateliê São João", "BRL"), ("Ψηφιδωτό", "EUR"),
)  # fmt: skip
_PRODUCTS = (
    "Linen apron", "Jasmine tea 100 g", 'Mug "Søren"', "Salt & pepper set", "Wool socks", "Enamel pot 2 l",
    "Café crème <large>", "Børste", "Notebook A5 — dotted", "Apron's pocket", "茶碗", "Süßstoff 250 g",
)  # fmt: skip
_FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Esra", "Farid", "Grace", "Hana", "Íris", "Jonas", "Łucja", "Zoë", "愛")
_LAST = ("O'Neill", "Müller", "García", "Nguyễn", "Smith", "Kowalski", "Okafor", "Lindqvist", "D'Ángelo", "Tanaka")
CHANNELS = ("email", "google", "instagram", "tiktok", "newsletter", "direct")
CAMPAIGNS = ("spring-sale", "brand", "creator-drop", "winback", "Ünïcode-Ωoche")


@dataclass(frozen=True)
class Tenant:
    id: str
    name: str
    currency: str
    domain: str
    mail_from: str
    measurement_id: str
    pixel_id: str


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    email: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@dataclass(frozen=True)
class Item:
    title: str
    quantity: int
    price_cents: int


TENANTS = tuple(
    Tenant(
        # A platform that took its tenants over from another has both kinds of ids.
        f"tenant-{index + 1:02d}" if index % 3 else str(uuid.UUID(int=(index + 1) * 7919**9, version=4)),
        name,
        currency,
        f"shop-{index + 1:02d}.myshopify.com",
        f"hello@shop-{index + 1:02d}.example",
        f"G-SHOP{index + 1:02d}",
        str(880_000 + index),
    )
    for index, (name, currency) in enumerate(TENANT_NAMES)
)


class Shop:
    """Makes up what a script is about."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.tenant = rng.choice(TENANTS)

    def other_tenant(self) -> Tenant:
        return self.rng.choice([tenant for tenant in TENANTS if tenant is not self.tenant])

    def person(self) -> Person:
        first, last = self.rng.choice(_FIRST), self.rng.choice(_LAST)
        return Person(first, last, f"customer{self.rng.randrange(10**6):06d}@example.com")

    def items(self, count: int | None = None) -> list[Item]:
        """The goods of an order; some orders have the very same twice, few have hundreds."""
        rng = self.rng
        if count is None:
            count = rng.choices((1, 2, 3, 5, 12, rng.randint(40, 100), 250), (30, 30, 20, 15, 8, 1.2, 0.3))[0]
        items = [
            Item(rng.choice(_PRODUCTS), rng.randint(1, 4), rng.choice((rng.randint(199, 8999), 1000, 2000, 995)))
            for _ in range(count)
        ]
        if len(items) > 2 and rng.random() < 0.2:
            items[1] = items[0]
        return items

    def order_id(self) -> str:
        """Most are Shopify's numbers; shops of other makes have ids that look generated, and are none of the run's."""
        rng = self.rng
        if rng.random() < 0.85:
            return str(5_500_000_000_000 + rng.randrange(10**9))
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    def visitor_id(self) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            return f"visitor-{rng.randrange(10**5):05d}"
        if kind < 0.8:
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        return f"GA1.1.{rng.randrange(10**9)}.{rng.randrange(1_600_000_000, 1_700_000_000)}"

    def moment(self, *, within_days: int = 40) -> datetime:
        """A moment of the past, often at the edge of a day or a month."""
        rng = self.rng
        base = datetime(2026, 10, 1, tzinfo=UTC) - timedelta(
            days=rng.randrange(within_days), seconds=rng.randrange(86400)
        )
        if rng.random() < 0.25:
            base = base.replace(hour=rng.choice((0, 23)), minute=rng.choice((0, 59)), second=rng.choice((0, 59)))
        if rng.random() < 0.1:
            base = base.replace(month=9, day=rng.choice((1, 30)))
        return base

"""Signatures: the same for the same fault, whoever it befell; another for another fault. Recorded, so that a change
of what is hashed is noticed: it would split every group, and void every allowance."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from comparators import JSON, signature_of
from comparators.path import normalised

HTTP = ("effects", "http", "stripe", "POST /v1/transfers")


@dataclass
class Found:
    """A difference, as far as its signature goes."""

    kind: str
    path: str
    legacy: JSON = 1
    candidate: JSON = 2


def signed(*parts: str | int, kind: str = "effect.changed", task: str = "pay") -> str:
    return signature_of(task, Found(kind, normalised(parts)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((*HTTP, "payout-1", "amount"), (*HTTP, "payout-2", "amount")),
        ((*HTTP, "payout-1", "lines", 0, "sku"), (*HTTP, "payout-1", "lines", 41, "sku")),
        ((*HTTP, "a@x.test", "fee"), (*HTTP, "b@y.test", "fee")),
        (("output", "byUser", "usr_8fK2x9QpL0aZ"), ("output", "byUser", "usr_2mN7b4RtY6cW")),
        (
            ("output", "byId", "2f1a8e0c-7d1b-4c55-9a55-0d4f0c8e4b11"),
            ("output", "byId", "9b7d6a10-13f2-4f0e-8a3d-6c1b2a3f4e5d"),
        ),
        (("output", "perDay", "2026-05-01", "sent"), ("output", "perDay", "2026-11-30", "sent")),
        (("output", "at", "2026-05-01T10:00:00Z"), ("output", "at", "2026-06-02T11:30:00Z")),
        (("output", "sent", "a@x.test"), ("output", "sent", "bea.c+d@shop.example.com")),
        (("output", "sent", "~email:1a2b3c4d5e6f7a8b@x.test"), ("output", "sent", "~email:ffffc4d5e6f7a8b0@y.test")),
        (("output", "orders", "order-1001", "total"), ("output", "orders", "order-98413", "total")),
        (("output", "orders", "17"), ("output", "orders", "4")),
        (("output", "weights", "0.5"), ("output", "weights", "12.25")),
        (("output", "sums", "9f86d081884c7d65"), ("output", "sums", "60303ae22b998861")),
        (("effects", "http", "shop", "GET /orders/17"), ("effects", "http", "shop", "GET /orders/18")),
        (("effects", "http", "shop", "GET /orders/17/lines"), ("effects", "http", "shop", "GET /orders/9/lines")),
        (("effects", "http", "shop", "GET /o?page=1&of=x"), ("effects", "http", "shop", "GET /o?page=2&of=y")),
        (
            ("effects", "http", "stripe", "GET /v1/customers/cus_8fK2x9QpL0aZ"),
            ("effects", "http", "stripe", "GET /v1/customers/cus_2mN7b4RtY6cW"),
        ),
    ],
)
def test_whom_it_befell_makes_no_difference(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert signed(*one) == signed(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((*HTTP, "p", "amount"), (*HTTP, "p", "currency")),
        ((*HTTP, "p", "line1"), (*HTTP, "p", "line2")),  # two places of an address
        ((*HTTP, "p", "address_1"), (*HTTP, "p", "address_2")),
        ((*HTTP, "p"), ("effects", "http", "stripe", "POST /v2/transfers", "p")),
        ((*HTTP, "p"), ("effects", "http", "adyen", "POST /v1/transfers", "p")),
        (("effects", "event", "events", "order/paid"), ("effects", "event", "events", "order/refunded")),
        (("effects", "http", "shop", "GET /api/2024-10/o"), ("effects", "http", "shop", "GET /api/2025-01/o")),
        (("output", "a"), ("output", "a", "a")),
        (("output", "a"), ("outcome", "a")),
    ],
)
def test_another_place_is_another_signature(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert signed(*one) != signed(*other)


def test_task_and_kind_are_part_of_it() -> None:
    assert signed("output") != signed("output", task="refund")
    assert signed("output") != signed("output", kind="output.missing")


def test_values_are_not_but_a_status_is() -> None:
    path = normalised(("output", "total"))
    told: list[tuple[JSON, JSON]] = [(1, 2), ("a", None), ([], {})]
    same = {signature_of("t", Found("output.changed", path, *values)) for values in told}
    assert len(same) == 1
    path = normalised(("outcome", "status"))
    failed = signature_of("t", Found("outcome.status", path, "completed", "failed"))
    recovered = signature_of("t", Found("outcome.status", path, "failed", "completed"))
    assert failed != recovered


@pytest.mark.parametrize(
    ("recorded", "kind", "parts"),
    [
        ("s1-bd63236361c6507628199e1b", "effect.missing", (*HTTP, "payout-1")),
        ("s1-b383352af1b1d7f679204f03", "effect.changed", (*HTTP, "payout-1", "lines", 3, "amount")),
        ("s1-ca5244484bf298065c8196fb", "effect.extra", ("effects", "event", "events", "order/paid", "o-1")),
        ("s1-d242a04ff8398489c1de0bcf", "effect.duplicate", ("effects", "email", "mail", "send", "a@x.test")),
        ("s1-a033598cfcd46aa2e43ab540", "effect.missing", ("effects", "http", "shop", "GET /orders/17")),
        ("s1-1d8a4e20ecb5cfcb1d958251", "output.changed", ("output", "byUser", "usr_8fK2x9QpL0aZ", "total")),
        ("s1-64c2ef220022e995f9cd8d69", "outcome.status", ("outcome", "status")),
    ],
)
def test_a_signature_is_the_same_in_every_version(recorded: str, kind: str, parts: tuple[str | int, ...]) -> None:
    difference = Found(kind, normalised(parts), "completed", "failed")
    assert signature_of("process-payout", difference) == recorded

"""Money: amounts are integers in cents inside the platform, text in units at some of its targets."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def cents(units: str) -> int:
    """`"12.34"` -> 1234."""
    return int((Decimal(units) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def units(amount_cents: int) -> str:
    """1234 -> `"12.34"`."""
    return f"{Decimal(amount_cents) / 100:.2f}"


def share(amount_cents: int, percent: int) -> int:
    """So many percent of an amount, rounded half up to a cent."""
    return int((Decimal(amount_cents) * percent / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))

"""Money: two amounts are the same when they differ by float noise, which is a matter of the currency's unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import ClassVar, Literal

from comparators.canonical import JSON
from comparators.path import Missing, compiled, find, value_at
from comparators.protected import word_set
from comparators.rules.rule import Pair, Place, RuleError, ValueRule

_UNITS = ("decimal", "minor")
_AMOUNT = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,12})?")
_WHOLE = word_set("bif clp djf gnf isk jpy kmf krw pyg rwf ugx vnd vuv xaf xof xpf")
_THOUSANDTHS = word_set("bhd iqd jod kwd lyd omr tnd")
_DECIMALS: Mapping[str, int] = MappingProxyType({**dict.fromkeys(_WHOLE, 0), **dict.fromkeys(_THOUSANDTHS, 3)})
"""Digits after the point of the currencies that have not two (ISO 4217)."""
_NOISE = Decimal("0.0001")
"""What share of a currency's smallest unit is float noise."""


@dataclass(frozen=True, slots=True)
class MoneyRule(ValueRule):
    """An amount, as a number or as text ("12.50" is "12.5"): equal to within a ten-thousandth of the smallest unit.

    A notation for the same amount is no difference; an amount in another unit (1250 for 12.50) is, and so is one that
    turned from a number into text. The currency itself is compared at its own place.
    """

    unit: Literal["decimal", "minor"] = "decimal"
    """`minor`: amounts count the smallest unit (cents)."""
    currency: str = ""
    """Where the currency's code stands: `$...` from the root, `@...` from what holds the amount. Two digits without."""

    type: ClassVar[str] = "money"

    def check(self) -> None:
        if self.unit not in _UNITS:
            raise RuleError("unit", repr(self.unit), "'decimal' or 'minor'")
        if self.currency:
            query = "$" + self.currency[1:] if self.currency.startswith("@") else self.currency
            try:
                compiled(query)
            except ValueError as error:
                raise RuleError("currency", repr(self.currency), f"$... or @...: {error}") from error

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if isinstance(legacy, str) != isinstance(candidate, str):
            return None
        mine, theirs = _amount(legacy), _amount(candidate)
        if mine is None or theirs is None:
            return None
        return True if abs(mine - theirs) <= self._noise(place) else None

    def _noise(self, place: Place) -> Decimal:
        if self.unit == "minor":
            return _NOISE
        # The finer of two currencies; that they differ is found where they stand.
        codes = (_code(self.currency, place.parts, root) for root in (place.legacy_root, place.candidate_root))
        digits = max(_DECIMALS.get(code, 2) for code in codes)
        return _NOISE.scaleb(-digits)


def _amount(value: JSON) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Decimal(repr(value))
    return Decimal(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else None


def _code(currency: str, parts: tuple[str | int, ...], root: JSON) -> str:
    if not currency:
        return ""
    within = value_at(root, parts[:-1]) if currency.startswith("@") else root
    found = [] if isinstance(within, Missing) else find("$" + currency[1:], within)
    return found[0][1].lower() if found and isinstance(found[0][1], str) else ""

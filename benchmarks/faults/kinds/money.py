"""Amounts and currencies."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.fault import CHANGED, Expected, Fault, Spoiling, document_of
from benchmarks.faults.script import Call, Deed
from sandbox.commerce.money import cents, units

_NAMES = ("total_cents", "amount_cents", "price_cents", "revenue_cents", "attributed_cents", "amount", "value", "price")


def amounts(it: Spoiling) -> list[tuple[Deed, dict[str, Any], str]]:
    """(deed, object, member) wherever an amount stands: a number, or the text of one."""
    found: list[tuple[Deed, dict[str, Any], str]] = []
    for deed in it.free(it.script.deeds):
        if isinstance(deed, Call) and (deed.target == "mail" or deed.status >= 300):
            continue
        stack: list[Any] = [document_of(deed)]
        while stack:
            value = stack.pop()
            if isinstance(value, list):
                stack += value
            elif isinstance(value, dict):
                stack += value.values()
                found += [(deed, value, name) for name in _NAMES if value.get(name) not in (None, 0, "0.00")]
    return found


class _Amount(Fault):
    def wrong(self, amount: int, it: Spoiling) -> int:
        """Another amount, in cents."""
        raise NotImplementedError

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in amounts(it) if isinstance(found[1][found[2]], int | float | str)]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        amount = holder[name]
        if isinstance(amount, str):
            wrong: Any = units(self.wrong(cents(amount), it))
        elif isinstance(amount, float):
            wrong = self.wrong(round(amount * 100), it) / 100
        else:
            wrong = self.wrong(amount, it)
        if wrong == amount:
            return None
        holder[name] = wrong
        return Expected(CHANGED, it.take(deed), (name,))


class OneCentOff(_Amount):
    """Rounded the other way."""

    def wrong(self, amount: int, it: Spoiling) -> int:
        return amount + it.rng.choice((1, -1))


class CentsForUnits(_Amount):
    """Cents where units are meant, or the other way round."""

    def wrong(self, amount: int, it: Spoiling) -> int:
        return amount * 100 if it.rng.random() < 0.5 else amount // 100


class SignFlipped(_Amount):
    """A credit instead of a debit."""

    def wrong(self, amount: int, it: Spoiling) -> int:
        return -amount


class DiscountTwice(_Amount):
    """A discount is taken off twice."""

    def wrong(self, amount: int, it: Spoiling) -> int:
        return amount - round(amount * it.rng.choice((0.05, 0.1, 0.2)))


class TaxForgotten(_Amount):
    """Net instead of gross."""

    def wrong(self, amount: int, it: Spoiling) -> int:
        return round(amount / it.rng.choice((1.19, 1.2, 1.07)))


class TenthsOfACent(Fault):
    """A fraction that is more than noise: half a unit of what is counted."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [found for found in amounts(it) if isinstance(found[1][found[2]], float)]
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        holder[name] = round(holder[name] + it.rng.choice((0.005, -0.005, 0.004)), 3)
        return Expected(CHANGED, it.take(deed), (name,))


class SharesInAnotherOrder(Fault):
    """What each channel earned is given to another one."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows("attribution_results") if len(row.values["credits_json"]) > 1)
        if row is None:
            return None
        credits = row.values["credits_json"]
        one, other = it.rng.sample(sorted(credits), 2)
        credits[one], credits[other] = credits[other], credits[one]
        return Expected(CHANGED, it.take(row), ("credits_json",))


class ShareLost(Fault):
    """A channel earns a little less than it should."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows("attribution_results"))
        if row is None:
            return None
        credits = row.values["credits_json"]
        channel = it.rng.choice(sorted(credits))
        credits[channel] = round(credits[channel], 1) + 0.03
        return Expected(CHANGED, it.take(row), ("credits_json",))


class WrongCurrency(Fault):
    """A currency that is everybody's default."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = []
        for deed in it.free(it.script.deeds):
            document = document_of(deed)
            stack: list[Any] = [document]
            while stack:
                value = stack.pop()
                if isinstance(value, list):
                    stack += value
                elif isinstance(value, dict):
                    stack += value.values()
                    if "currency" in value:
                        among.append((deed, value))
        if not among:
            return None
        deed, holder = it.rng.choice(among)
        now = holder["currency"]
        holder["currency"] = it.rng.choice([other for other in ("USD", "EUR", "GBP", now.lower()) if other != now])
        return Expected(CHANGED, it.take(deed), ("currency",))


class AmountAsText(Fault):
    """An amount as text where a number was, or a number where text was."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = amounts(it)
        if not among:
            return None
        deed, holder, name = it.rng.choice(among)
        amount = holder[name]
        if isinstance(deed, Call) and deed.form:
            return None
        holder[name] = float(amount) if isinstance(amount, str) else str(amount)
        return Expected(CHANGED, it.take(deed), (name,))


class QuantityOffByOne(Fault):
    """One piece more or less."""

    def spoil(self, it: Spoiling) -> Expected | None:
        names = ("quantity", "orders", "new_customers", "retries", "number")
        among = [(row, name) for row in it.free(it.script.rows()) for name in names if name in row.values]
        if not among:
            return None
        row, name = it.rng.choice(among)
        row.values[name] += it.rng.choice((1, -1))
        return Expected(CHANGED, it.take(row), (name,))

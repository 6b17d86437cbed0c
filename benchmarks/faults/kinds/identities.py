"""Ids: of entities, which are the same on both sides, and those born in a run, which have to be consistent."""

from __future__ import annotations

import uuid
from collections import defaultdict
from itertools import combinations

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling, document_of
from benchmarks.faults.script import Call, Deed, Row
from benchmarks.faults.symbols import SEPARATOR, STOLEN, SYMBOL, births, born, mapped

GIVEN = ("transfer", "mail-message", "other-message", "fb-trace")
"""Ids that come with answers: contained runs get those of their twins."""


def _said(deed: Deed) -> object:
    return [deed.path, deed.query, deed.body] if isinstance(deed, Call) else document_of(deed)


def _mentions(it: Spoiling) -> dict[str, list[Deed]]:
    """Ids born in the run and the deeds that mention them."""
    found: dict[str, list[Deed]] = defaultdict(list)
    for deed in it.script.deeds:
        for name in dict.fromkeys(births(_said(deed))):
            found[name].append(deed)
    return found


def _rename(deed: Deed, old: str, new: str) -> None:
    def change(text: str) -> str:
        return text.replace(f"{SEPARATOR}{old}{SEPARATOR}", f"{SEPARATOR}{new}{SEPARATOR}")

    if isinstance(deed, Call):
        deed.path, deed.query, deed.body = change(deed.path), mapped(deed.query, change), mapped(deed.body, change)
    elif isinstance(deed, Row):
        deed.values = mapped(deed.values, change)


class IdUsedInconsistently(Fault):
    """Of an id born in the run one deed says another one than the others."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [(name, deeds) for name, deeds in _mentions(it).items() if len(deeds) > 1 and it.free(deeds) == deeds]
        if not among:
            return None
        name, deeds = it.rng.choice(among)
        deed = it.rng.choice(deeds)
        _rename(deed, name, f"{name}-other")
        # Either of them may be said to contradict the other.
        return Expected(ANY, it.take(*deeds))


class LegacysIdUsed(Fault):
    """One deed says the id that legacy's run made: it was read from a copy of legacy's database."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (name, deeds)
            for name, deeds in _mentions(it).items()
            if len(deeds) > 1 and it.free(deeds) == deeds and not name.startswith(GIVEN)
        ]
        if not among:
            return None
        name, deeds = it.rng.choice(among)
        deed = it.rng.choice([deed for deed in deeds if isinstance(deed, Row)] or [None])
        if deed is None:
            return None
        deed.values = mapped(
            deed.values,
            lambda text: SYMBOL.sub(
                lambda found: born(name, STOLEN) if found[2].split(SEPARATOR)[0] == name else found[0], text
            ),
        )
        return Expected(ANY, it.take(*deeds))


class OutputSaysAnotherId(Fault):
    """The caller is told an id that nothing was done under."""

    tasks = ("process-payout", "sync-shopify-order")

    def spoil(self, it: Spoiling) -> Expected | None:
        names = [name for name in births(it.script.output) if len(_mentions(it).get(name, ())) > 0]
        if not names or it.ended:
            return None
        it.ended = True
        name = it.rng.choice(names)
        deeds = _mentions(it)[name]
        it.script.output = mapped(
            it.script.output,
            lambda text: text.replace(f"{SEPARATOR}{name}{SEPARATOR}", f"{SEPARATOR}{name}-other{SEPARATOR}"),
        )
        return Expected(ANY, it.take(*deeds), run=("output",))


class IdReused(Fault):
    """One id for two things that have one each."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        rows = [row for row in it.free(it.script.rows("ledger_transactions")) if any(births(row.values["id"]))]
        if len(rows) < 2:
            return None
        one, other = it.rng.choice(list(combinations(rows, 2)))
        other.values["id"] = one.values["id"]
        return Expected(CHANGED, it.take(one, other), ("id",))


class NewIdsWhereOneIsShared(Fault):
    """Each thing has an id of its own where all have one."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        rows = [row for row in it.free(it.script.rows("order_items")) if "sync_id" in row.values]
        if len(rows) < 2:
            return None
        for number, row in enumerate(rows):
            _rename(row, "sync", f"sync-{number}")
        return Expected(CHANGED, it.take(*rows), ("sync_id",))


class IdNotPassedOn(Fault):
    """The word for nothing where an id was due."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name, value in row.values.items()
            if isinstance(value, str) and any(births(value))
        ]
        if not among:
            return None
        row, name = it.rng.choice(among)
        row.values[name] = it.rng.choice(("undefined", "null", None, "[object Promise]"))
        return Expected(ANY, it.take(row), (name,))


class EntityTakenForAnId(Fault):
    """An id of the run's own where the event's order is meant, however consistently."""

    tasks = ("sync-shopify-order", "process-attribution")

    def spoil(self, it: Spoiling) -> Expected | None:
        order_id = it.script.data.get("orderId")
        rows = [row for row in it.free(it.script.rows()) if row.values.get("order_id") == order_id]
        if not rows:
            return None
        for row in rows:
            row.values["order_id"] = born("own-order")
        return Expected(CHANGED, it.take(*rows), ("order_id",))


class AnotherOrderConsistently(Fault):
    """All rows name another order that looks like an id made in the run: nothing contradicts, all of it is wrong."""

    tasks = ("sync-shopify-order", "process-attribution")

    def spoil(self, it: Spoiling) -> Expected | None:
        order_id = it.script.data.get("orderId")
        rows = [row for row in it.free(it.script.rows()) if row.values.get("order_id") == order_id]
        if not rows:
            return None
        other = str(uuid.UUID(int=it.rng.getrandbits(128), version=4))
        for row in rows:
            row.values["order_id"] = other
        return Expected(CHANGED, it.take(*rows), ("order_id",))


class EntitiesSwapped(Fault):
    """Two things of one run in each other's places, consistently."""

    tasks = ("sync-shopify-order", "process-webhook-queue", "aggregate-daily-metrics")

    def spoil(self, it: Spoiling) -> Expected | None:
        for table, names in (
            ("order_items", ("title", "price_cents", "quantity")),
            ("customers", ("email", "name")),
            ("daily_snapshots", ("revenue_cents", "orders", "new_customers")),
        ):
            rows = [row for row in it.free(it.script.rows(table)) if not it.alike(row)]
            for one, other in combinations(rows[:20], 2):
                changed = [name for name in names if one.values[name] != other.values[name]]
                if changed and one.values["id"] != other.values["id"]:
                    for name in names:
                        one.values[name], other.values[name] = other.values[name], one.values[name]
                    return Expected(ANY, it.take(one, other), tuple(changed))
        return None


class AnotherThingThatLooksBorn(Fault):
    """An id that was read looks like one that runs make, and is another one's."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows("orders") if "fulfillment_id" in row.values)
        if row is None:
            return None
        row.values["fulfillment_id"] = str(uuid.UUID(int=it.rng.getrandbits(128), version=4))
        return Expected(CHANGED, it.take(row), ("fulfillment_id",))


class BigNumberRounded(Fault):
    """JavaScript read a number of 64 bits."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows("orders") if "checkout_id" in row.values)
        if row is None:
            return None
        row.values["checkout_id"] = int(float(row.values["checkout_id"]))
        return Expected(CHANGED, it.take(row), ("checkout_id",))


class IdsInAnotherOrder(Fault):
    """The caller gets the right ids, each in the place of another."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict) or len(it.script.output.get("ledgerIds", ())) < 2:
            return None
        it.ended = True
        it.script.output["ledgerIds"].reverse()
        # The ids are told apart by their rows; which of the two uses is the wrong one cannot be said.
        return Expected(ANY, it.take(*it.free(it.script.rows("ledger_transactions"))), run=("output",))


class KeyDropped(Fault):
    """Without an idempotency key a retry will pay twice."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(call for call in it.script.calls() if call.key is not None)
        if call is None:
            return None
        call.key = None
        return Expected(("effect.key_dropped",), it.take(call))


class ReferenceOfAnotherRequest(Fault):
    """Paid in the name of another request."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        pay = it.pick([*it.script.calls("swiftpay"), *it.script.calls("bankwire")])
        if pay is None:
            return None
        again = pay.again()
        assert isinstance(again, Call)
        again.body["reference"] = f"request-{it.rng.randrange(10**6, 10**7)}"
        numbers = it.take(pay)
        it.replace(pay, again)
        return Expected(ANY, (*numbers, *it.take(again)))

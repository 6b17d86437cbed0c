"""Order, where it matters."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling
from benchmarks.faults.script import Row
from benchmarks.faults.symbols import GAP_SYMBOL


class BookedBeforePaid(Fault):
    """The books say paid before the money has moved."""

    tasks = ("process-payout",)

    def spoil(self, it: Spoiling) -> Expected | None:
        pay = it.pick([*it.script.calls("swiftpay"), *it.script.calls("bankwire")])
        lines = it.free(it.script.rows("ledger_transactions"))
        if pay is None or not lines:
            return None
        pay.stage = 5
        return Expected(("effect.reordered",), it.take(pay, *lines))


class LastWriteFirst(Fault):
    """Two writes of one row the other way round: the older one stays."""

    tasks = ("process-webhook-queue",)

    def spoil(self, it: Spoiling) -> Expected | None:
        writes: dict[str, list[Row]] = {}
        for row in it.free(it.script.rows("customers")):
            writes.setdefault(str(row.values["id"]), []).append(row)
        # What is overwritten anyway may come in any order: the last is one of the two.
        among = [rows[-2:] for rows in writes.values() if len(rows) > 1 and _stays(rows[-1]) != _stays(rows[-2])]
        if not among:
            return None
        one, other = it.rng.choice(among)
        one.stage, other.stage = other.stage, one.stage
        return Expected(("effect.reordered", *CHANGED), it.take(one, other))


def _stays(row: Row) -> tuple[object, object]:
    return row.values["email"], row.values["name"]


class GoodsInAnotherOrder(Fault):
    """A list that people read comes in another order."""

    tasks = ("send-review-email",)

    def spoil(self, it: Spoiling) -> Expected | None:
        mail = it.pick(it.script.mails())
        if mail is None:
            return None
        html = mail.body["content"][-1]["value"]
        begin, end = html.index("<ul>") + 4, html.index("</ul>")
        items = html[begin:end].split(GAP_SYMBOL)
        if len(items) < 2 or items == items[::-1]:
            return None
        mail.body["content"][-1]["value"] = html[:begin] + GAP_SYMBOL.join(reversed(items)) + html[end:]
        return Expected(ANY, it.take(mail))


class ModelsInAnotherOrder(Fault):
    """An array that callers read by its places."""

    tasks = ("process-attribution",)

    def spoil(self, it: Spoiling) -> Expected | None:
        if it.ended or not isinstance(it.script.output, dict):
            return None
        it.ended = True
        models = it.script.output["models"]
        one, other = it.rng.sample(range(len(models)), 2)
        models[one], models[other] = models[other], models[one]
        return Expected(run=("output",))


class ItemsInAnotherOrder(Fault):
    """The lines of an order, each under the place of another."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        rows = it.free(it.script.rows("order_items"))
        among = [
            (one, other)
            for one, other in pairwise(rows)
            if [one.values[n] for n in ("title", "quantity", "price_cents")]
            != [other.values[n] for n in ("title", "quantity", "price_cents")]
        ]
        if not among:
            return None
        one, other = it.rng.choice(among)
        one.values["id"], other.values["id"] = other.values["id"], one.values["id"]
        return Expected(CHANGED, it.take(one, other))

"""How fast the judge compares, beside plain DeepDiff on the very same pairs in one run.

    make bench NAME=compare ARGS="--pairs 2000 --memory 100000"

Pairs look like those of the commerce example: five effects with HTTP bodies, rows and mails, and an output. Of each
kind of pair both are timed in turns of one process on one core, so that a busy machine hurts them alike:

- `equal`: both sides say the same. Required: at least 50 times DeepDiff.
- `corresponding`: the same but for ids and clocks of the runs. The judge says match; DeepDiff names every id.
- `changed`: one true change and nothing else. Required: no slower than DeepDiff.
- `differing`: ids and clocks of the runs, and one true change. Required: no slower than DeepDiff.

Of each all judgements must be right. Then 800 similar items, each with new ids on the other side, one truly changed: as
effects of a ledger in another order, and as the items of one array. Required: under a second, exactly the change.
Last, memory over many pairs: flat.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final
from uuid import UUID

import orjson
import psutil
from deepdiff import DeepDiff

from benchmarks.report import finish
from comparators import JSON, Effect, IdentityRule, Judgement, Ledger, Outcome, Rules, judge

EQUAL_FACTOR: Final = 50
DIFFERING_FACTOR: Final = 1
ITEMS: Final = 800
ITEMS_SECONDS: Final = 1.0
FLAT_OBJECTS: Final = 1_000
FLAT_BYTES: Final = 8 << 20
"""By which the judge may grow between the first tenth of the pairs and the last. An object kept of each hundredth pair
would show in the first; the second leaves room for what the allocator does."""
START: Final = datetime(2026, 3, 2, 10, tzinfo=UTC).timestamp()
RULES: Final = Rules(
    identities=(
        IdentityRule(kind="http", target="shopify", paths=("$.params.id",)),
        IdentityRule(kind="http", target="payments", paths=("$.body.ref",)),
        IdentityRule(kind="sql", paths=("$.order_id",)),
        IdentityRule(kind="email", paths=("$.order_id",)),
    )
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ledgers as the judge takes them, and the same as plain JSON for DeepDiff."""

    legacy: Ledger
    candidate: Ledger
    known: JSON
    plain: tuple[JSON, JSON]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of each kind")
    parser.add_argument("--memory", type=int, default=100_000, help="pairs over which memory is watched")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = Random(arguments.seed)  # no secret
    figures: dict[str, object] = {}
    ok = True
    for kind, factor, expected in (
        ("equal", EQUAL_FACTOR, 0),
        ("corresponding", None, 0),
        ("changed", DIFFERING_FACTOR, 1),
        ("differing", DIFFERING_FACTOR, 1),
    ):
        pairs = [pair(kind, number, random) for number in range(arguments.pairs)]
        mine, theirs, wrong = timed(pairs, expected)
        ratio = theirs / mine
        figures[kind] = {
            "pairs_per_second": round(len(pairs) / mine),
            "deepdiff_pairs_per_second": round(len(pairs) / theirs),
            "times_deepdiff": round(ratio, 2),
            "required": factor,
            "wrong": wrong,
        }
        ok &= wrong == 0 and (factor is None or ratio >= factor)
    for name, similar in (("effects", similar_effects), ("array", similar_array)):
        seconds, exact = similar_items(similar, random)
        figures[f"similar_{name}"] = {"items": ITEMS, "seconds": round(seconds, 3), "exactly_the_change": exact}
        ok &= exact and seconds < ITEMS_SECONDS
    objects, resident = memory(arguments.memory, random)
    figures["memory"] = {"pairs": arguments.memory, "grown_objects": objects, "grown_resident_bytes": resident}
    ok &= objects < FLAT_OBJECTS and resident < FLAT_BYTES
    finish("compare", ok=ok, figures=figures)


def timed(pairs: Sequence[Pair], expected: int) -> tuple[float, float, int]:
    """Seconds that the judge and DeepDiff took over the pairs, and how many judgements were wrong."""
    judged = diffed = 0.0
    wrong = 0
    turn = 50
    for start in range(0, len(pairs), turn):
        some = pairs[start : start + turn]
        began = time.process_time()
        judgements = [judged_pair(one) for one in some]
        middle = time.process_time()
        for one in some:
            DeepDiff(*one.plain)
        diffed += time.process_time() - middle
        judged += middle - began
        wrong += sum(len(judgement.differences) != expected for judgement in judgements)
    return judged, diffed, wrong


def judged_pair(one: Pair) -> Judgement:
    return judge(one.legacy, one.candidate, RULES, task="sync-shopify-order", known=one.known)


def pair(kind: str, number: int, random: Random) -> Pair:
    """A pair of that kind."""
    order = 1_000_000 + number
    shared = random.getrandbits(64)
    legacy = ledger(order, Random(shared), START)  # no secret
    if kind in ("equal", "changed"):
        candidate = ledger(order, Random(shared), START)  # no secret
    else:
        candidate = ledger(order, Random(shared + 1), START + 270)  # no secret
    if kind in ("changed", "differing"):
        candidate = changed(candidate)
    event: JSON = {"orderId": str(order), "tenantId": "acme"}
    return Pair(legacy, candidate, event, (as_json(legacy), as_json(candidate)))


def ledger(order: int, random: Random, start: float) -> Ledger:
    """sync-shopify-order: read, save, pay, mail, emit; every id of its own."""
    transfer = f"tr_{random.getrandbits(96):024x}"
    row, message, event = (str(UUID(int=random.getrandbits(128), version=4)) for _ in range(3))
    lines: list[JSON] = [
        {"sku": f"SKU-{order}-{n}", "title": f"A thing of the kind {n}", "quantity": n + 1, "price": 10.5 * (n + 1)}
        for n in range(4)
    ]
    headers: JSON = {"content-type": "application/json", "accept": "*/*", "traceparent": f"00-{row}-01"}

    def http(target: str, operation: str, data: dict[str, JSON], *, reads: bool = False) -> Effect:
        method, _, path = operation.partition(" ")
        document: JSON = {"method": method, "path": path, "query": {}, "headers": headers, "status": 200, **data}
        return Effect("http", target, operation, None, document, reads=reads)

    return Ledger(
        Outcome(
            "completed",
            {"success": True, "orderId": str(order), "rowId": row, "took": {"items": 4}},
            started_at=start,
            finished_at=start + 3,
        ),
        (
            http(
                "shopify",
                "GET /orders/{id}.json",
                {"params": {"id": str(order)}, "query": {"fields": ["id", "total", "lines"]}},
                reads=True,
            ),
            Effect(
                "sql",
                "database",
                "insert orders",
                None,
                {
                    "id": row,
                    "order_id": str(order),
                    "tenantId": "acme",
                    "total": 105.0,
                    "currency": "EUR",
                    "lines": lines,
                    "tags": ["vip", "eu", "first"],
                    "created_at": iso(start + 1.2),
                },
            ),
            http(
                "payments",
                "POST /v1/transfers",
                {"body": {"amount": 12_550, "currency": "EUR", "destination": "acct_9", "ref": str(order)}},
            ),
            Effect(
                "email",
                "mail",
                "send",
                None,
                {
                    "order_id": str(order),
                    "to": f"customer-{order}@x.test",
                    "subject": "Thank you for your order",
                    "text": f"We got your order {order}.\nIts transfer is {transfer}, its row {row}.",
                    "message_id": message,
                },
            ),
            Effect(
                "event",
                "inngest",
                "review/email.scheduled",
                f"{order}/1",
                {"id": event, "orderId": str(order), "sequence": 1, "tenantId": "acme", "ts": int(start * 1000) + 1500},
            ),
        ),
    )


def changed(ledger: Ledger) -> Ledger:
    """The ledger with another quantity in one line of the row."""
    row = ledger.effects[1]
    data = orjson.loads(orjson.dumps(row.data))
    data["lines"][2]["quantity"] = 9
    effects = list(ledger.effects)
    effects[1] = Effect(row.kind, row.target, row.operation, row.identity, data)
    return Ledger(ledger.outcome, tuple(effects))


def as_json(ledger: Ledger) -> JSON:
    """A ledger as DeepDiff gets it, sharing nothing with the other side's."""
    value: JSON = orjson.loads(orjson.dumps(ledger))
    return value


def similar_items(build: Callable[[Random], tuple[Ledger, Ledger]], random: Random) -> tuple[float, bool]:
    """Seconds for a pair of many similar items, and whether exactly the one true change was found."""
    legacy, candidate = build(random)
    began = time.process_time()
    judgement = judge(legacy, candidate, Rules(), task="t")
    seconds = time.process_time() - began
    found = [
        (difference.kind.partition(".")[2], difference.legacy, difference.candidate)
        for difference in judgement.differences
    ]
    return seconds, found == [("changed", 1, 7)]


def items(random: Random, changed: int | None) -> list[JSON]:
    made: list[JSON] = []
    for number in range(ITEMS):
        identifier = str(UUID(int=random.getrandbits(128), version=4))
        made.append(
            {
                "id": identifier,
                "sku": f"sku-{number}",
                "quantity": 7 if number == changed else 1,
                "link": f"https://shop.test/items/{identifier}",
            }
        )
    return made


def similar_effects(random: Random) -> tuple[Ledger, Ledger]:
    def of(listed: list[JSON]) -> Ledger:
        return Ledger(Outcome("completed"), tuple(Effect("sql", "db", "insert rows", None, item) for item in listed))

    other = items(random, changed=ITEMS // 2)
    random.shuffle(other)
    return of(items(random, None)), of(other)


def similar_array(random: Random) -> tuple[Ledger, Ledger]:
    def of(listed: list[JSON]) -> Ledger:
        return Ledger(Outcome("completed", {"items": listed}))

    return of(items(random, None)), of(items(random, changed=ITEMS // 2))


def memory(pairs: int, random: Random) -> tuple[int, int]:
    """By how many objects and bytes the process grew between the first tenth of the pairs and the last.

    Of ten pairs seven are equal, as in life, and one is of each other kind. Caches are full after the first tenth.
    """
    process = psutil.Process()
    kinds = (*["equal"] * 7, "corresponding", "changed", "differing")
    objects = resident = 0
    for number in range(pairs):
        judged_pair(pair(kinds[number % 10], number, random))
        if number == pairs // 10:
            gc.collect()
            objects, resident = len(gc.get_objects()), process.memory_info().rss
    gc.collect()
    return len(gc.get_objects()) - objects, process.memory_info().rss - resident


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    main()

"""What reports cost: effects and outcomes of many runs, as workers and platforms tell of them, in CPU seconds.

The service is `shadow serve` as it ships, in a process of its own with the embedded PostgreSQL, fsync on. Both runs of
every event report their effects in batches over all runs; legacy's outcomes come as reports, the candidate's as signed
calls to the watcher. Given are the CPU seconds of the service and of PostgreSQL for 1,000 events, which is 10,000
effects and 2,000 outcomes: unlike a rate, they say the same on a busy machine. Afterwards every effect and outcome must
be stored, and every pair be due.
Required: one CPU second for 1,000 events, all in.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import uvloop

from benchmarks.load import Measured, load
from benchmarks.processes import HOST, SEALING_KEY, process
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.catalogue.model import Side
from shadow.model.ids import derived_id, new_id
from shadow.sealing.master import VARIABLE
from shadow.store import embedded
from shadow.store.database import Database

REQUIRED_SECONDS = 1.0
"""Of CPU time for 1,000 events, of service and database together."""
EFFECTS = 5
"""Of each run."""
TENANTS = 20
TICK = os.sysconf("SC_CLK_TCK")
KEYS = {Side.LEGACY: "bench-legacy-report-key", Side.CANDIDATE: "bench-candidate-report-key"}
SIGNING_KEY = "signkey-test-12345678"
CATALOGUE = f"""
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://{HOST}:9", secret_key: tr_dev_bench}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "http://{HOST}:9"
    api_url: "http://{HOST}:9"
    event_key: k
    signing_key: {SIGNING_KEY}
    app: bench
report_keys: {{legacy: [{KEYS[Side.LEGACY]}], candidate: [{KEYS[Side.CANDIDATE]}]}}
sources:
  app: {{kind: inngest, keys: [bench]}}
tasks:
  sync-shopify-order:
    event: shopify/order.created
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""

_EVENT = b"""
INSERT INTO events (id, source, door, origin, name, tenant, delivery_id, route, phase, authority)
SELECT id, 'app', 'inngest', 'producer', 'shopify/order.created', tenant, delivery, 'sync-shopify-order', 'shadow',
       'legacy' FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS event (id, tenant, delivery)
"""
_BODY = b"INSERT INTO bodies SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bytea[])"
_RUN = b"""
INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority, state, poll_at)
SELECT id, event, pair, 'sync-shopify-order', side, platform, name, authority, 'sent', now() + interval '1 day'
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[])
     AS run (id, event, pair, side, platform, name, authority)
"""
_ALIAS = b"INSERT INTO run_aliases SELECT * FROM unnest(%s::text[], %s::text[], %s::uuid[])"
_PAIR = b"""
INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at)
SELECT id, event, 'sync-shopify-order', tenant, legacy, candidate, 'open', moment, moment
FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::uuid[]) AS pair (id, event, tenant, legacy, candidate),
     (SELECT now() + interval '1 day') AS late (moment)
"""


def event_data(number: int) -> dict[str, Any]:
    """An order, with the person who made it."""
    return {
        "orderId": 5_550_000 + number,
        "tenantId": f"tenant-{number % TENANTS}",
        "email": f"customer{number}@shop.test",
        "customer": {
            "id": number,
            "firstName": "Anna",
            "lastName": f"Meier{number % 97}",
            "phone": f"+4930{number:07}",
        },
        "totalPrice": "129.90",
        "currency": "EUR",
        "lineItems": [{"sku": f"sku-{line}", "quantity": 1 + line, "price": "43.30"} for line in range(3)],
    }


def effects(number: int) -> list[dict[str, Any]]:
    """What a run of that event does: calls to three targets, a mail, a row."""
    order, who = 5_550_000 + number, event_data(number)
    return [
        {
            "kind": "http",
            "target": "shop",
            "operation": "GET /admin/orders/{id}",
            "data": {"method": "GET", "path": f"/admin/orders/{order}", "query": {"fields": "id,email,line_items"}},
        },
        {
            "kind": "http",
            "target": "meta",
            "operation": "POST /events",
            "data": {
                "method": "POST",
                "path": "/events",
                "body": {
                    "event_name": "Purchase",
                    "event_id": f"order-{order}",
                    "value": 129.9,
                    "currency": "EUR",
                    "user_data": {"em": hashlib.sha256(who["email"].encode()).hexdigest(), "country": "de"},
                    "contents": [{"id": item["sku"], "quantity": item["quantity"]} for item in who["lineItems"]],
                },
            },
        },
        {
            "kind": "http",
            "target": "slack",
            "operation": "POST /api/chat.postMessage",
            "data": {
                "method": "POST",
                "path": "/api/chat.postMessage",
                "body": {"channel": "#orders", "text": f"Order {order} of Anna Meier{number % 97}: 129.90 EUR"},
            },
        },
        {
            "kind": "email",
            "target": "mail",
            "operation": "send",
            "data": {
                "to": [who["email"]],
                "from": "Shop <orders@shop.test>",
                "subject": f"Thank you, Anna Meier{number % 97}",
                "text": f"Dear Anna,\n\nwe have received your order {order} of 129.90 EUR. " + "Thanks! " * 20,
            },
        },
        {
            "kind": "sql",
            "target": "app",
            "operation": "upsert orders",
            "identity": str(order),
            "data": {"id": order, "total": "129.90", "currency": "EUR", "email": who["email"], "status": "synced"},
        },
    ]


def name_of(side: Side, number: int) -> str:
    return f"run_{number:08}" if side is Side.LEGACY else f"01JB{number:022}"


def reported_effects(side: Side, runs: range) -> bytes:
    """One report of all that these runs did."""
    return json.dumps(
        [
            {
                "run": name_of(side, number),
                "task": "sync-shopify-order",
                "attempt": 1,
                "effects": [
                    {"id": str(index), "occurred_at": 1_795_000_000_000 + index, **effect}
                    for index, effect in enumerate(effects(number))
                ],
            }
            for number in runs
        ]
    ).encode()


def reported_runs(side: Side, runs: range) -> bytes:
    return json.dumps(
        [
            {
                "run": name_of(side, number),
                "task": "sync-shopify-order",
                "status": "completed",
                "output": output(number),
                "attempts": 1,
                "version": "v7",
                "started_at": 1_795_000_000_000,
                "finished_at": 1_795_000_001_000,
            }
            for number in runs
        ]
    ).encode()


def output(number: int) -> dict[str, Any]:
    return {"success": True, "orderId": 5_550_000 + number, "notified": ["meta", "slack", "mail"], "rows": 1}


def post(path: str, body: bytes, headers: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (
        path.encode(),
        headers,
        len(body),
        body,
    )


def authorized(side: Side) -> bytes:
    return b"Authorization: Bearer %s\r\n" % KEYS[side].encode()


def watched(number: int) -> bytes:
    """The platform's call to the watcher, as a running server makes it."""
    event = {
        "id": f"01JC{number:022}",
        "name": "inngest/function.finished",
        "ts": 1_795_000_001_000,
        "data": {
            "_inngest": {"status": "Completed"},
            "event": {
                "id": f"order-{number}",
                "name": "shopify/order.created",
                "ts": 1_795_000_000_000,
                "data": event_data(number),
            },
            "events": [],
            "function_id": "bench-sync-shopify-order",
            "result": output(number),
            "run_id": name_of(Side.CANDIDATE, number),
        },
    }
    call = {
        "ctx": {
            "attempt": 0,
            "disable_immediate_execution": True,
            "env": "bench",
            "fn_id": "0a70fb5c-9d2c-4a0b-8a30-6f4b7a5a4b7e",
            "run_id": f"01JD{number:022}",
            "stack": {"current": 0, "stack": []},
            "use_api": False,
        },
        "event": event,
        "events": [event],
        "steps": {},
        "use_api": False,
        "version": 1,
    }
    body = json.dumps(call).encode()
    moment = str(int(time.time())).encode()
    key = SIGNING_KEY.removeprefix("signkey-test-").encode()
    signature = (
        hmac.new(key, orjson.dumps(call, option=orjson.OPT_SORT_KEYS) + moment, hashlib.sha256).hexdigest().encode()
    )
    return post(
        "/shadow/inngest?fnId=shadow-watch&stepId=step",
        body,
        b"X-Inngest-Signature: t=%s&s=%s\r\nX-Inngest-Server-Kind: cloud\r\n" % (moment, signature),
    )


async def prepare(url: str, events: int) -> None:
    """Events with both runs under way and a pair that waits for them."""
    os.environ[VARIABLE] = SEALING_KEY
    database = Database(url)
    await database.prepare()
    await database.vault.ready([f"tenant-{number}" for number in range(TENANTS)])
    seal = database.vault.seal
    async with database.direct() as connection:
        for start in range(0, events, 1000):
            numbers = range(start, min(start + 1000, events))
            ids = [new_id() for _ in numbers]
            tenants = [f"tenant-{number % TENANTS}" for number in numbers]
            await connection.execute(_EVENT, (ids, tenants, [f"order-{number}" for number in numbers]))
            data = [
                seal(tenant, event.bytes, "data", json.dumps(event_data(number)).encode())
                for event, tenant, number in zip(ids, tenants, numbers, strict=True)
            ]
            await connection.execute(_BODY, (ids, ["data"] * len(ids), data))
            pairs = [derived_id(event, "sync-shopify-order") for event in ids]
            runs = {side: [derived_id(event, "sync-shopify-order", side) for event in ids] for side in Side}
            for side, platform, authority in (
                (Side.LEGACY, "trigger", "real"),
                (Side.CANDIDATE, "inngest", "none"),
            ):
                names = [name_of(side, number) for number in numbers]
                many = len(ids)
                await connection.execute(
                    _RUN,
                    (runs[side], ids, pairs, [side.value] * many, [platform] * many, names, [authority] * many),
                )
                await connection.execute(_ALIAS, ([platform] * many, names, runs[side]))
            await connection.execute(_PAIR, (pairs, ids, tenants, runs[Side.LEGACY], runs[Side.CANDIDATE]))
        await connection.execute("ANALYZE")
    await database.close()


class CpuTimes:
    """CPU seconds of a process, and of PostgreSQL with all its backends, up to now."""

    def __init__(self, service: int, postmaster: int) -> None:
        self._service = service
        self._postmaster = postmaster

    def now(self) -> tuple[float, float]:
        """(service, PostgreSQL)."""
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
        live = sum(_ticks(int(child)) for child in children)
        return _ticks(self._service) / TICK, (live + _ticks(self._postmaster, ended=True)) / TICK


def _ticks(process: int, *, ended: bool = False) -> int:
    """Of a process; and of those children of it that have ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return sum(map(int, fields[11:15] if ended else fields[11:13]))


@contextmanager
def serving(folder: Path, url: str, postmaster: int) -> Iterator[tuple[int, CpuTimes]]:
    """`shadow serve`: its front port, and what it has used."""
    catalogue, front, control = folder / "catalogue.yaml", free_port(), free_port()
    catalogue.write_text(CATALOGUE)
    serve = ["shadow", "serve", "--catalogue", str(catalogue), "--database-url", url, "--data", str(folder)]
    serve += ["--front-port", str(front), "--control-port", str(control)]
    with process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log"):
        mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        service = next(int(child) for child in mine if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes())
        yield front, CpuTimes(service, postmaster)


async def measure(events: int, batch: int, in_flight: int) -> tuple[dict[str, Any], bool]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    url, server = embedded.start(folder / "data", ephemeral=True)
    try:
        await prepare(url, events)
        postmaster = server.postgres.get_pid()
        assert postmaster is not None
        with serving(folder, url, postmaster) as (front, times):
            figures, ok = await measure_reports(front, times, events, batch, in_flight, folder)
            return figures, ok and stored(url, events)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def measure_reports(
    front: int, times: CpuTimes, events: int, batch: int, in_flight: int, folder: Path
) -> tuple[dict[str, Any], bool]:
    runs = max(1, batch // EFFECTS)
    batches = [range(start, min(start + runs, events)) for start in range(0, events, runs)]
    failures = 0
    figures: dict[str, Any] = {"events": events, "effects_in_a_report": runs * EFFECTS, "in_flight": in_flight}
    total = 0.0

    async def one(what: str, request: Callable[[int], bytes], requests: int, items: int, of_events: int) -> None:
        """Measure; `items` were told in so many requests, of which 1,000 events have `of_events`."""
        nonlocal failures, total
        before = times.now()
        done: Measured = await load(HOST, front, request, seconds=600, in_flight=in_flight, limit=requests)
        after = times.now()
        failures += done.failures + requests - done.answers
        python, postgres = (now - then for now, then in zip(after, before, strict=True))
        total += (python + postgres) / items * of_events
        figures[what] = {
            "python_us": round(python / items * 1e6),
            "postgres_us": round(postgres / items * 1e6),
            "seconds_for_1000_events": round((python + postgres) / items * of_events, 2),
            "p99_ms": round(done.percentile(0.99), 1),
        }
        print(what, figures[what], flush=True)

    for side in Side:
        await one(
            f"effects_{side.value}",
            lambda number: post("/shadow/effects", reported_effects(side, batches[number - 1]), authorized(side)),  # noqa: B023
            len(batches),
            events * EFFECTS,
            1000 * EFFECTS,
        )
    await one(
        "outcomes_reported",
        lambda number: post("/shadow/runs", reported_runs(Side.LEGACY, batches[number - 1]), authorized(Side.LEGACY)),
        len(batches),
        events,
        1000,
    )
    await one("outcomes_watched", lambda number: watched(number - 1), events, events, 1000)
    figures |= {"seconds_for_1000_events": round(total, 2), "failures": failures}
    return figures, failures == 0 and total <= REQUIRED_SECONDS


def stored(url: str, events: int) -> bool:
    """Whether all that was told is there."""
    with psycopg.connect(url) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM runs WHERE state = 'finished'),"
            " (SELECT count(*) FROM pairs WHERE due_at <= now())"
        ).fetchone()
    return counts == (2 * EFFECTS * events, 2 * events, events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=200, help="effects in a report")
    parser.add_argument("--in-flight", type=int, default=8)
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options.events, options.batch, options.in_flight))
    print(json.dumps(figures, indent=2))
    finish("reports", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

"""Events accepted durably, a second: through the webhook and the Inngest door, beside a bare ASGI app.

One distinct 1 kB event a request, 64 in flight, fsync on, rows counted afterwards; then a lone request at a time.
The service is `shadow serve` as it ships, in a process of its own with the embedded PostgreSQL; the load comes from
this process, so all of it shares the machine's cores. The bare app gets the very requests that the door gets. Rounds
are interleaved and the ratio is taken within a round, because machines are shared and noisy.
Then how long a producer waits at a fixed rate (`benchmarks/latency.py`): 2,000 single events a second with idle loops,
and 300 with the whole loop running.
Required: the median ratio of each door is at least 0.33, and the p99 of both rates below 50 ms.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from benchmarks.latency import latency
from benchmarks.load import Measured, load
from benchmarks.processes import HOST, process, to_shadow
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.store import embedded

REQUIRED_RATIO = 0.33
DOORS = ("webhook", "inngest")
EVENT_KEY = "bench-event-key"
SECRET = "bench-webhook-secret"

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
    app: bench
sources:
  shopify:
    kind: webhook
    signature: {{scheme: shopify, secrets: [{SECRET}]}}
    tables: {{tenants: {{acme.myshopify.com: acme}}}}
    events:
      - when: {{"header:x-shopify-topic": orders/create}}
        name: shopify/order.created
        data: {{orderId: $.id, tenantId: {{lookup: tenants, key: "header:x-shopify-shop-domain"}}}}
        tenant: {{lookup: tenants, key: "header:x-shopify-shop-domain"}}
  app: {{kind: inngest, keys: [{EVENT_KEY}]}}
tasks:
  sync-shopify-order:
    event: shopify/order.created
    sources: [shopify]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  process-payout:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""
FILL = "x" * 860
PREPARED = 15_000
"""Requests made ready for each second of load."""


def webhook_request(number: int) -> bytes:
    """A signed Shopify delivery of about 1 kB, distinct by order and delivery id."""
    body = b'{"id":%d,"email":"a@example.com","total_price":"12.00","note":"%s"}' % (number, FILL.encode())
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest())
    return (
        b"POST /webhooks/shopify HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"X-Shopify-Topic: orders/create\r\nX-Shopify-Shop-Domain: acme.myshopify.com\r\n"
        b"X-Shopify-Webhook-Id: %d-%d\r\nX-Shopify-Hmac-Sha256: %s\r\nContent-Length: %d\r\n\r\n%s"
    ) % (os.getpid(), number, signature, len(body), body)


def inngest_request(number: int) -> bytes:
    """What an SDK's `send` of one event of about 1 kB looks like."""
    body = (
        b'[{"name":"payout/approved","id":"bench-%d-%d","ts":%d,"data":{"requestId":"wd_%d","tenantId":"acme","note":"%s"}}]'
    ) % (os.getpid(), number, time.time_ns() // 1_000_000, number, FILL.encode())
    return (b"POST /e/%s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s") % (
        EVENT_KEY.encode(),
        len(body),
        body,
    )


def count_events(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


DOOR_REQUESTS = {"webhook": webhook_request, "inngest": inngest_request}


async def measure(rounds: int, seconds: float, in_flight: int) -> tuple[dict[str, Any], bool]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    url, server = embedded.start(folder / "data", ephemeral=True, roomy=True)
    try:
        await to_shadow(catalogue, url)
        front, control, bare = free_port(), free_port(), free_port()
        serve = ["shadow", "serve", "--catalogue", str(catalogue), "--database-url", url]
        serve += ["--front-port", str(front), "--control-port", str(control)]
        with (
            process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log"),
            process(["benchmarks.bare", "--port", str(bare)], f"http://{HOST}:{bare}/", folder / "bare.log"),
        ):
            return await measure_servers(rounds, seconds, in_flight, front, bare, url)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def measure_servers(
    rounds: int, seconds: float, in_flight: int, front: int, bare: int, url: str
) -> tuple[dict[str, Any], bool]:
    doors = {
        "bare_webhook": (bare, webhook_request),
        "webhook": (front, webhook_request),
        "bare_inngest": (bare, inngest_request),
        "inngest": (front, inngest_request),
    }
    numbers = dict.fromkeys(doors, 0)
    results: dict[str, list[Measured]] = {name: [] for name in doors}
    lone: dict[str, Measured] = {}

    async def one(name: str, lasts: float, wide: int, limit: int) -> Measured:
        port, build = doors[name]
        start = numbers[name]
        done = await load(HOST, port, lambda n: build(start + n), seconds=lasts, in_flight=wide, limit=limit)
        numbers[name] = start + done.answers + done.failures + wide
        return done

    accepted = 0
    failures = 0
    for name in doors:  # warm up: connections, prepared statements
        warm = await one(name, 1.0, in_flight, PREPARED)
        accepted += warm.answers if name in DOORS else 0
    for turn in range(rounds):
        for name in doors:
            done = await one(name, seconds, in_flight, int(PREPARED * seconds))
            results[name].append(done)
            failures += done.failures
            accepted += done.answers if name in DOORS else 0
            p50, p99 = done.percentile(0.5), done.percentile(0.99)
            print(f"round {turn + 1}: {name:13} {done.rate:8.0f}/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms", flush=True)
    for name in doors:
        lone[name] = await one(name, 10.0, 1, limit=200)
        accepted += lone[name].answers if name in DOORS else 0
    rows = count_events(url)
    figures: dict[str, Any] = {"rounds": rounds, "in_flight": in_flight, "event_bytes": len(inngest_request(1))}
    for name, measured in results.items():
        figures[name] = {
            "per_second": round(statistics.median(item.rate for item in measured)),
            "p50_ms": round(statistics.median(item.percentile(0.5) for item in measured), 2),
            "p99_ms": round(statistics.median(item.percentile(0.99) for item in measured), 2),
            "lone_p50_ms": round(lone[name].percentile(0.5), 2),
        }
    ratios = {
        name: round(
            statistics.median(
                mine.rate / base.rate for mine, base in zip(results[name], results[f"bare_{name}"], strict=True)
            ),
            3,
        )
        for name in DOORS
    }
    figures["ratio_to_bare"] = ratios
    figures["acknowledged"] = accepted
    figures["rows"] = rows
    figures["failures"] = failures
    ok = failures == 0 and rows == accepted and all(ratio >= REQUIRED_RATIO for ratio in ratios.values())
    return figures, ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--fixed-seconds", type=float, default=20.0, help="of each measurement at a fixed rate")
    parser.add_argument("--only", choices=("ratio", "latency"), help="leave the other half out")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    ok = True
    if options.only != "latency":
        figures, ok = uvloop.run(measure(options.rounds, options.seconds, options.in_flight))
    if options.only != "ratio":
        figures["latency"], in_time = uvloop.run(latency(CATALOGUE, DOOR_REQUESTS, seconds=options.fixed_seconds))
        ok = ok and in_time
    print(json.dumps(figures, indent=2))
    finish("accept", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

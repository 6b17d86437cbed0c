"""What the gateway adds to a call: the same calls made directly and through it, interleaved, in one run.

The service is `shadow serve` as it ships, in a process of its own with the embedded PostgreSQL, fsync on; the target
is the bare ASGI app in another; the load comes from this process, so all of it shares the machine's cores. The runs
have authority: a write is committed before it leaves and its answer before the last byte is passed on, a read with
its answer. One call at a time gives the added latency, many in flight the calls per second. Afterwards every call
must be recorded with its answer, and the gateway must have forwarded them all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from benchmarks.load import Measured, load
from benchmarks.processes import HOST, process
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.catalogue.model import Side
from shadow.egress import keys
from shadow.model.ids import derived_id, new_id
from shadow.store import embedded
from shadow.store.database import Database

RUNS = 500
BODY = b'{"requestId":"wd_%d","amount":1250,"currency":"EUR","destination":"acct_1","note":"' + b"x" * 400 + b'"}'
CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: tr_dev_bench}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "http://127.0.0.1:9"
    api_url: "http://127.0.0.1:9"
    event_key: k
    app: bench
sources:
  app: {{kind: inngest, keys: [bench]}}
targets:
  pay:
    url: "{target}"
    private: true
    credential: {{header: authorization, secret: "Bearer real"}}
    operations:
      - match: POST /v1/transfers
        identity: [$.body.requestId]
      - match: GET /v1/transfers/{{id}}
tasks:
  payout:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""


def write(prefix: bytes, key: bytes, number: int) -> bytes:
    body = BODY % number
    return (
        b"POST %s/v1/transfers HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nX-Shadow-Run: run_%d\r\n"
        b"X-Shadow-Task: payout\r\nX-Shadow-Attempt: 1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s"
    ) % (prefix, key, number % RUNS, len(body), body)


def read(prefix: bytes, key: bytes, number: int) -> bytes:
    return (
        b"GET %s/v1/transfers/tr_%d HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nX-Shadow-Run: run_%d\r\n"
        b"X-Shadow-Task: payout\r\nX-Shadow-Attempt: 1\r\n\r\n"
    ) % (prefix, number, key, number % RUNS)


CALLS = {"write": write, "read": read}
WAYS = ("direct", "gateway")


async def prepare(url: str) -> str:
    """Runs with authority, each with its pair; returns an egress key."""
    database = Database(url)
    await database.prepare()
    secret, _key = await keys.issue(database, Side.LEGACY, "benchmark")
    async with database.direct() as connection:
        for number in range(RUNS):
            event = new_id()
            runs = {side: derived_id(event, "payout", side) for side in Side}
            pair = derived_id(event, "payout")
            for side, platform in ((Side.LEGACY, "trigger"), (Side.CANDIDATE, "inngest")):
                await connection.execute(
                    "INSERT INTO runs (id, event_id, pair_id, task, side, platform, authority, state)"
                    " VALUES (%s, %s, %s, 'payout', %s, %s, %s, 'sent')",
                    (runs[side], event, pair, side.value, platform, "real" if side is Side.LEGACY else "none"),
                )
            await connection.execute(
                "INSERT INTO run_aliases VALUES ('trigger', %s, %s)", (f"run_{number}", runs[Side.LEGACY])
            )
            await connection.execute(
                "INSERT INTO pairs (id, event_id, task, legacy_run, candidate_run, state, deadline_at, due_at)"
                " VALUES (%s, %s, 'payout', %s, %s, 'open', now() + interval '1 day', now() + interval '1 day')",
                (pair, event, runs[Side.LEGACY], runs[Side.CANDIDATE]),
            )
    await database.close()
    return secret


async def measure(rounds: int, seconds: float, in_flight: int) -> tuple[dict[str, Any], bool]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    catalogue = folder / "catalogue.yaml"
    front, control, target = free_port(), free_port(), free_port()
    catalogue.write_text(CATALOGUE.format(target=f"http://{HOST}:{target}"))
    url, server = embedded.start(folder / "data", ephemeral=True)
    try:
        key = await prepare(url)
        serve = ["shadow", "serve", "--catalogue", str(catalogue), "--database-url", url, "--data", str(folder)]
        serve += ["--front-port", str(front), "--control-port", str(control)]
        with (
            process(["benchmarks.bare", "--port", str(target)], f"http://{HOST}:{target}/", folder / "target.log"),
            process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log"),
        ):
            return await measure_calls(rounds, seconds, in_flight, {"direct": target, "gateway": front}, key, url)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def measure_calls(
    rounds: int, seconds: float, in_flight: int, ports: dict[str, int], key: str, url: str
) -> tuple[dict[str, Any], bool]:
    prefixes = {"direct": b"", "gateway": b"/egress/pay"}
    number = 0
    answered = failures = 0

    async def one(kind: str, way: str, lasts: float, wide: int) -> Measured:
        nonlocal number, answered, failures
        start = number
        limit = int(lasts * (6000 if wide > 1 else 3000))
        number += limit + wide
        done = await load(
            HOST,
            ports[way],
            lambda n: CALLS[kind](prefixes[way], key.encode(), start + n),
            seconds=lasts,
            in_flight=wide,
            limit=limit,
        )
        failures += done.failures
        answered += done.answers if way == "gateway" else 0
        return done

    cases = [(kind, way) for kind in CALLS for way in WAYS]
    for kind, way in cases:  # warm up: connections, prepared statements, runs that are known
        await one(kind, way, 1.0, in_flight)
    lone: dict[tuple[str, str], list[Measured]] = {case: [] for case in cases}
    wide: dict[tuple[str, str], list[Measured]] = {case: [] for case in cases}
    for turn in range(rounds):
        for case in cases:
            lone[case].append(await one(*case, seconds, 1))
        for case in cases:
            wide[case].append(await one(*case, seconds, in_flight))
        for case in cases:
            alone, many = lone[case][-1], wide[case][-1]
            print(
                f"round {turn + 1}: {' '.join(case):14} alone p50 {alone.percentile(0.5):6.2f} ms"
                f"  p99 {alone.percentile(0.99):6.2f} ms;  {in_flight} in flight {many.rate:7.0f}/s",
                flush=True,
            )
    figures: dict[str, Any] = {"rounds": rounds, "in_flight": in_flight}
    for kind in CALLS:
        figures[kind] = {way: _figures(lone[kind, way], wide[kind, way]) for way in WAYS}
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            # Within a round, because machines are shared and noisy.
            figures[kind][f"added_{name}_ms"] = round(
                statistics.median(
                    through.percentile(share) - direct.percentile(share)
                    for through, direct in zip(lone[kind, "gateway"], lone[kind, "direct"], strict=True)
                ),
                2,
            )
    figures["calls_per_second"] = {kind: figures[kind]["gateway"]["per_second"] for kind in CALLS}
    recorded, complete = count_calls(url)
    figures |= {"answered": answered, "recorded": recorded, "with_their_answer": complete, "failures": failures}
    return figures, failures == 0 and recorded == complete == answered


def _figures(lone: list[Measured], wide: list[Measured]) -> dict[str, Any]:
    return {
        "p50_ms": round(statistics.median(item.percentile(0.5) for item in lone), 2),
        "p99_ms": round(statistics.median(item.percentile(0.99) for item in lone), 2),
        "per_second": round(statistics.median(item.rate for item in wide)),
        "busy_p50_ms": round(statistics.median(item.percentile(0.5) for item in wide), 2),
        "busy_p99_ms": round(statistics.median(item.percentile(0.99) for item in wide), 2),
    }


def count_calls(url: str) -> tuple[int, int]:
    """Calls that were recorded as forwarded, and those of them whose answer was."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE effects.status = 200 AND answered_at IS NOT NULL"
            " AND run_id IS NOT NULL AND body.id IS NOT NULL) FROM effects"
            " LEFT JOIN bodies AS body ON body.id = effects.id AND body.part = 'answer'"
            " WHERE disposition = 'forward'"
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--in-flight", type=int, default=32)
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options.rounds, options.seconds, options.in_flight))
    print(json.dumps(figures, indent=2))
    finish("egress", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

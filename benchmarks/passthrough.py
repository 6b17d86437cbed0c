"""What the Trigger.dev door adds to a producer's call while legacy is authoritative: the call made directly and through
the door, with a candidate that is healthy, one that is dead and one that takes requests and never answers.

Each of the three has a Shadow of its own (`shadow serve` and `shadow work` as they ship, one embedded PostgreSQL with
fsync on); legacy is one stand-in that answers at once. One call at a time, in interleaved rounds, because machines are
shared and noisy; what is added is taken within a round.
Required: the three p50 within 10 % or 0.3 ms of each other, and on an idle machine an added p50 of 2 ms at most.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import uvloop

from benchmarks.load import Measured, load
from benchmarks.processes import HOST, process, to_shadow
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.store import embedded

CANDIDATES = ("healthy", "dead", "hanging")
MOST_ADDED_MS = 2.0
ALIKE_RATIO = 0.1
ALIKE_MS = 0.3
CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://{host}:{legacy}", secret_key: tr_dev_bench, poll_every: 1h}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "http://{host}:{candidate}"
    api_url: "http://{host}:{candidate}"
    event_key: k
    app: bench
    poll_every: 1h
sources:
  app: {{kind: trigger.dev, keys: [tr_dev_bench]}}
defaults: {{sequence: together}}
tasks:
  process-payout:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""
FILL = "x" * 600


def request(number: int) -> bytes:
    """A call as SDK 4.5 makes it, of about 1 kB."""
    body = json.dumps(
        {
            "payload": json.dumps({"json": {"requestId": f"wd_{number}", "note": FILL}}),
            "options": {"payloadType": "application/super+json", "idempotencyKey": f"bench-{os.getpid()}-{number}"},
        }
    ).encode()
    return (
        b"POST /api/v1/tasks/process-payout/trigger HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer tr_dev_bench\r\n"
        b"Content-Type: application/json\r\nTrigger-Version: 4.5.12\r\nX-Trigger-Api-Version: 2025-07-16\r\n"
        b"X-Trigger-Request-Idempotency-Key: %d-%d\r\nContent-Length: %d\r\n\r\n%s"
    ) % (os.getpid(), number, len(body), body)


async def measure(rounds: int, seconds: float) -> tuple[dict[str, Any], bool]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    url, server = embedded.start(folder / "data", ephemeral=True)
    try:
        with contextlib.ExitStack() as stack:
            legacy, healthy, hanging = free_port(), free_port(), free_port()
            stand_ins = {"legacy": [str(legacy)], "healthy": [str(healthy)], "hanging": [str(hanging), "--hangs"]}
            for name, arguments in stand_ins.items():
                ready = f"http://{HOST}:{arguments[0]}/"
                command = ["benchmarks.stand_in", "--port", *arguments]
                stack.enter_context(process(command, ready, folder / f"{name}.log"))
            candidates = {"healthy": healthy, "dead": free_port(), "hanging": hanging}
            ports = {"direct": legacy}
            databases = {}
            for name in CANDIDATES:
                databases[name] = _database(url, f"bench_{name}")
                catalogue = folder / f"{name}.yaml"
                catalogue.write_text(CATALOGUE.format(host=HOST, legacy=legacy, candidate=candidates[name]))
                await to_shadow(catalogue, databases[name])
                ports[name] = _service(stack, folder, name, catalogue, databases[name])
            return await _rounds(rounds, seconds, ports, databases)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _service(stack: contextlib.ExitStack, folder: Path, name: str, catalogue: Path, url: str) -> int:
    """`serve` and `work`, each in a process of its own; returns the front's port."""
    front, control, worker = free_port(), free_port(), free_port()
    shared = ["--catalogue", str(catalogue), "--database-url", url, "--data", str(folder / name)]
    serve = ["shadow", "serve", *shared, "--front-port", str(front), "--control-port", str(control)]
    work = ["shadow", "work", *shared, "--control-port", str(worker)]
    stack.enter_context(process(serve, f"http://{HOST}:{front}/healthz", folder / f"{name}-serve.log"))
    stack.enter_context(process(work, f"http://{HOST}:{worker}/healthz", folder / f"{name}-work.log"))
    return front


async def _rounds(
    rounds: int, seconds: float, ports: dict[str, int], databases: dict[str, str]
) -> tuple[dict[str, Any], bool]:
    number = 0
    answers = dict.fromkeys(ports, 0)
    failures = 0

    async def one(way: str, lasts: float) -> Measured:
        nonlocal number, failures
        start, limit = number, int(lasts * 3000)
        number += limit + 1
        done = await load(HOST, ports[way], lambda n: request(start + n), seconds=lasts, in_flight=1, limit=limit)
        answers[way] += done.answers
        failures += done.failures
        return done

    for way in ports:  # warm up
        await one(way, 1.0)
    measured: dict[str, list[Measured]] = {way: [] for way in ports}
    for turn in range(rounds):
        for way in ports:
            measured[way].append(await one(way, seconds))
        said = "  ".join(f"{way} {found[-1].percentile(0.5):.2f}" for way, found in measured.items())
        print(f"round {turn + 1}: p50 in ms: {said}", flush=True)
    figures: dict[str, Any] = {"rounds": rounds, "direct": _figures(measured["direct"])}
    for name in CANDIDATES:
        figures[name] = _figures(measured[name]) | {
            f"added_{label}_ms": _added(measured[name], measured["direct"], share)
            for share, label in ((0.5, "p50"), (0.99, "p99"))
        }
    middle = {name: figures[name]["p50_ms"] for name in CANDIDATES}
    apart = max(middle.values()) - min(middle.values())
    stored = {name: _events(databases[name]) for name in CANDIDATES}
    figures |= {
        "p50_apart_ms": round(apart, 2),
        "failures": failures,
        "answered": {name: answers[name] for name in CANDIDATES},
        "stored": stored,
    }
    alike = apart <= max(ALIKE_MS, ALIKE_RATIO * min(middle.values()))
    quick = all(figures[name]["added_p50_ms"] <= MOST_ADDED_MS for name in CANDIDATES)
    kept = failures == 0 and all(stored[name] == answers[name] for name in CANDIDATES)
    return figures, alike and quick and kept


def _figures(rounds: list[Measured]) -> dict[str, float]:
    return {
        "p50_ms": round(statistics.median(item.percentile(0.5) for item in rounds), 2),
        "p99_ms": round(statistics.median(item.percentile(0.99) for item in rounds), 2),
    }


def _added(through: list[Measured], direct: list[Measured], share: float) -> float:
    """Milliseconds that are added within a round; the median of all rounds."""
    pairs = zip(through, direct, strict=True)
    return round(statistics.median(one.percentile(share) - other.percentile(share) for one, other in pairs), 2)


def _events(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM events WHERE door = 'trigger.dev'").fetchone()
        assert row is not None
        return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passthrough", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options.rounds, options.seconds))
    print(json.dumps(figures, indent=2))
    finish("passthrough", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

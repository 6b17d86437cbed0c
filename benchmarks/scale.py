"""What operators ask, of a database with millions of pairs: parity, pairs by signature, one pair, a gate, the scrape.

The rows are loaded by COPY, as a migration of 199 tasks and 100 tenants leaves them behind in 60 days: two pairs of a
hundred differ, by one of three signatures of their task; one signature is shown by 50,000 pairs, one by five. The
ledger (five effects a run) is there for every hundredth pair. The service is `shadow serve` as it ships with the
embedded PostgreSQL. Each question is asked over and over, each time of something else; nothing is asked before it is
measured.
Required: the p95 of those in `REQUIRED` is below 100 ms; the others, which ask of all tasks at once, are also given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvloop

from benchmarks.processes import HOST, process
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.access import tokens
from shadow.cutover.decision import Phase
from shadow.store import embedded
from shadow.store.database import Database
from shadow.store.partitions import ensure_partitions

TASKS = 199
TENANTS = 100
DAYS = 60
MOST_MS = 100.0
REQUIRED = frozenset(
    {
        *("parity", "pairs by signature", "pairs by a frequent signature", "pairs by a rare signature", "pair"),
        *("gate", "scrape"),
    }
)
DIFFERING = 50
"""Every so many pairs one differs."""
SIGNATURES = 3
"""Of each task."""
FREQUENT, RARE = "s-frequent", "s-rare"
FREQUENT_PAIRS, RARE_PAIRS = 50_000, 5
LEDGER_EVERY = 100
EFFECTS = 5
CHUNK = 5_000


def catalogue() -> str:
    head = f"""
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
  app: {{kind: inngest, keys: [bench]}}
tasks:
"""
    sides = "legacy: {platform: trigger}, candidate: {platform: inngest}"
    names = [task_name(number) for number in range(TASKS)]
    return head + "".join(f"  {name}: {{event: {name}/asked, sources: [app], {sides}}}\n" for name in names)


def task_name(number: int) -> str:
    return f"task-{number:03d}"


class Rows:
    """Everything as text for COPY, made from a pair's number alone."""

    def __init__(self, pairs: int, until: datetime) -> None:
        self.pairs = pairs
        self._until = int(until.timestamp() * 1000)
        self._step = DAYS * 86_400_000 / pairs

    def moment(self, number: int) -> int:
        """When the event of that pair was accepted, in milliseconds since 1970."""
        return self._until - int((self.pairs - number) * self._step)

    def id(self, number: int, role: int) -> str:
        """A UUIDv7. Roles: 0 the event, 1 the pair, 2 legacy's run, 3 the candidate's, from 4 on their effects."""
        return f"{self.moment(number):012x}7{number & 0xFFF:03x}8{role:03x}{number:012x}"

    def signature(self, number: int) -> str | None:
        if number % DIFFERING:
            return None
        turn = number // DIFFERING
        if turn < RARE_PAIRS:
            return RARE
        if turn % 2 and turn // 2 < FREQUENT_PAIRS:
            return FREQUENT
        return f"s-{number % TASKS:03d}-{turn % SIGNATURES}"

    def events(self, number: int) -> Iterator[tuple[object, ...]]:
        task = task_name(number % TASKS)
        at = _text(self.moment(number))
        tenant = f"tenant-{number % TENANTS:03d}"
        yield self.id(number, 0), "app", "inngest", "producer", f"{task}/asked", tenant, f"e{number}", at, task

    def run_rows(self, number: int) -> Iterator[tuple[object, ...]]:
        at, ended = _text(self.moment(number) + 50), _text(self.moment(number) + 900)
        for role, side, platform in ((2, "legacy", "trigger"), (3, "candidate", "inngest")):
            yield (
                *(self.id(number, role), self.id(number, 0), self.id(number, 1), task_name(number % TASKS)),
                *(side, platform, f"{platform}-{number}", "real" if role == 2 else "none"),
                *("finished", "completed", at, ended),
            )

    def pair_rows(self, number: int) -> Iterator[tuple[object, ...]]:
        differs = self.signature(number) is not None
        at = _text(self.moment(number))
        yield (
            *(self.id(number, 1), self.id(number, 0), task_name(number % TASKS), f"tenant-{number % TENANTS:03d}"),
            *(self.id(number, 2), self.id(number, 3), "judged", at, at, "mismatch" if differs else "match"),
            *("major" if differs else None, int(differs), _text(self.moment(number) + 6000), 1),
        )

    def difference_rows(self, number: int) -> Iterator[tuple[object, ...]]:
        found = self.signature(number)
        if found is not None:
            sentence = "candidate wrote 12 where legacy wrote 13"
            yield self.id(number, 1), 0, found, "changed", "$.total", "major", sentence, "13", "12"

    def effect_rows(self, number: int) -> Iterator[tuple[object, ...]]:
        if number % LEDGER_EVERY and self.signature(number) is None:
            return
        at = _text(self.moment(number) + 400)
        for role, side in ((2, "legacy"), (3, "candidate")):
            for turn in range(EFFECTS):
                yield (
                    *(self.id(number, 4 + turn + EFFECTS * (role - 2)), side, self.id(number, role)),
                    *(turn, "http", "mail", f"POST /send/{turn}", at, "gateway", "headers"),
                )


def _text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


_TABLES: dict[str, tuple[str, Callable[[Rows, int], Iterator[tuple[object, ...]]]]] = {
    "events": ("id, source, door, origin, name, tenant, delivery_id, accepted_at, route", Rows.events),
    "runs": (
        "id, event_id, pair_id, task, side, platform, platform_run_id, authority, state, status, started_at,"
        " finished_at",
        Rows.run_rows,
    ),
    "pairs": (
        "id, event_id, task, tenant, legacy_run, candidate_run, state, opened_at, deadline_at, verdict, severity,"
        " difference_count, judged_at, revision",
        Rows.pair_rows,
    ),
    "differences": (
        "pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate",
        Rows.difference_rows,
    ),
    "effects": (
        "id, side, run_id, sequence, kind, target, operation, occurred_at, seen_by, attributed_by",
        Rows.effect_rows,
    ),
}
_SIGNATURES = """
INSERT INTO signatures (id, task, kind, path, severity, sentence, example_pair, first_seen, last_seen, pairs)
SELECT shown.signature, pairs.task, 'changed', '$.total', 'major', 'candidate wrote 12 where legacy wrote 13', pairs.id,
       now() - interval '60 days', now(), shown.number
FROM (SELECT signature, min(pair_id::text)::uuid AS first, count(*) AS number FROM differences GROUP BY 1) AS shown
JOIN pairs ON pairs.id = shown.first
"""
_TALLIES = """
INSERT INTO tallies (task, day, tenant, opened, match, mismatch)
SELECT task, (opened_at AT TIME ZONE 'UTC')::date, tenant, count(*), count(*) FILTER (WHERE verdict = 'match'),
       count(*) FILTER (WHERE verdict = 'mismatch')
FROM pairs GROUP BY 1, 2, 3
"""
_PHASES = """
INSERT INTO phases (task, phase, previous, effective_at, version)
SELECT name, %s, 'legacy', now() - interval '60 days', 1 FROM unnest(%s::text[]) AS name
"""


async def fill(url: str, rows: Rows) -> None:
    """Load everything; says how far it is."""
    database = Database(url)
    await database.prepare()
    async with database.direct() as connection:
        for days in range(DAYS + 31, -1, -28):
            await ensure_partitions(connection, datetime.now(UTC) - timedelta(days=days))
    await database.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for table, (columns, of) in _TABLES.items():
            began = time.monotonic()
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for start in range(0, rows.pairs, CHUNK):
                    numbers = range(start, min(start + CHUNK, rows.pairs))
                    copy.write("".join(_line(row) for number in numbers for row in of(rows, number)))
            print(f"{table}: {time.monotonic() - began:.0f} s", flush=True)
        connection.execute(_SIGNATURES)
        connection.execute(_TALLIES)
        connection.execute(_PHASES, (Phase.SHADOW.value, [task_name(number) for number in range(TASKS)]))
        connection.execute("VACUUM ANALYZE")


def _line(row: tuple[object, ...]) -> str:
    return "\t".join("\\N" if value is None else str(value) for value in row) + "\n"


def questions(rows: Rows) -> dict[str, Callable[[int], str]]:
    """Name -> the path of the request for the n-th time."""

    def differing(turn: int) -> int:
        return (RARE_PAIRS + 7 * turn) * DIFFERING % rows.pairs

    def signature(turn: int) -> str:
        return rows.signature(differing(turn)) or RARE

    return {
        "parity": lambda turn: f"/v1/tasks/{task_name(turn % TASKS)}/parity",
        "tasks": lambda turn: "/v1/tasks",
        "signatures": lambda turn: f"/v1/signatures?task={task_name(turn % TASKS)}",
        "pairs by signature": lambda turn: f"/v1/pairs?signature={signature(turn)}",
        "pairs by a frequent signature": lambda turn: f"/v1/pairs?signature={FREQUENT}",
        "pairs by a rare signature": lambda turn: f"/v1/pairs?signature={RARE}",
        "pairs by task and verdict": lambda turn: f"/v1/pairs?task={task_name(turn % TASKS)}&verdict=mismatch",
        "pairs by tenant": lambda turn: f"/v1/pairs?tenant=tenant-{turn % TENANTS:03d}",
        "pair": lambda turn: f"/v1/pairs/{_uuid(rows.id(differing(turn), 1))}",
        "gate": lambda turn: f"/v1/gates/{task_name(turn % TASKS)}",
        "gates": lambda turn: "/v1/gates",
        "board": lambda turn: "/v1/board",
        "scrape": lambda turn: "/metrics/parity",
    }


def _uuid(hexadecimal: str) -> str:
    h = hexadecimal
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


async def ask(url: str, token: str, rows: Rows, times: int) -> tuple[dict[str, Any], bool]:
    figures: dict[str, Any] = {}
    quick = True
    async with httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=120
    ) as client:
        for name, path in questions(rows).items():
            took: list[float] = []
            failed = 0
            for turn in range(times):
                began = time.perf_counter()
                answer = await client.get(path(turn))
                took.append((time.perf_counter() - began) * 1000)
                failed += answer.status_code != 200
            took.sort()
            p95 = took[int(0.95 * len(took))]
            figures[name] = {"p50_ms": round(statistics.median(took), 1), "p95_ms": round(p95, 1)}
            if failed:
                figures[name]["failed"] = failed
            quick = quick and not failed and (p95 < MOST_MS or name not in REQUIRED)
            print(f"{name}: {figures[name]}", flush=True)
    return figures, quick


async def measure(pairs: int, times: int) -> tuple[dict[str, Any], bool]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    (folder / "catalogue.yaml").write_text(catalogue())
    url, server = embedded.start(folder / "data", ephemeral=True)
    try:
        rows = Rows(pairs, datetime.now(UTC))
        began = time.monotonic()
        await fill(url, rows)
        loaded = time.monotonic() - began
        database = Database(url)
        token, _ = await tokens.issue(database.engine, "bench", tokens.Scope)
        await database.close()
        front, control = free_port(), free_port()
        serve = ["shadow", "serve", "--catalogue", str(folder / "catalogue.yaml"), "--database-url", url]
        serve += ["--data", str(folder), "--front-port", str(front), "--control-port", str(control)]
        with process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log"):
            figures, quick = await ask(f"http://{HOST}:{control}", token, rows, times)
        with psycopg.connect(url) as connection:
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert size is not None
        return {
            "pairs": pairs,
            "loaded_seconds": round(loaded),
            "bytes_per_pair": round(size[0] / pairs),
            "asked": figures,
        }, quick
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--times", type=int, default=60, help="how often each is asked")
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options.pairs, options.times))
    print(json.dumps(figures, indent=2))
    finish("scale", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

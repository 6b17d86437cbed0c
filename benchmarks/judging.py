"""What it costs to judge pairs, to count them, and to evaluate gates meanwhile: CPU seconds per 1,000 pairs.

    make bench NAME=judging ARGS="--pairs 4000 --corresponding 30 --differing 2"

Pairs whose runs have ended, five effects a side (those of `benchmarks/compare.py`), are loaded by COPY as doors,
fan-out, outcomes and effects leave them behind. Then the judge's loop works until all have a verdict, and the gate's
until all are counted; the gates are evaluated now and then, as often as they would be at 500 pairs a second. Of each
stage it is told what this process spent and what PostgreSQL's backends did. The clock on the wall is not looked at: on
a busy machine it says nothing.
Required: as many verdicts of each kind as were loaded, all of them counted, and at most 0.8 CPU seconds per 1,000.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

import orjson
import psutil
import psycopg
import uvloop

from benchmarks.compare import Pair, pair
from benchmarks.report import finish
from comparators import JSON, Effect
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.gate.counting import CountingLoop
from shadow.gate.evaluating import GateLoop
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import derived_id, first_id_at
from shadow.sealing.master import MasterKey
from shadow.store import codec, embedded
from shadow.store.database import Database

MOST_SECONDS: Final = 0.8
RATE: Final = 500
"""Pairs a second, for which gates are evaluated as often as they would be."""
EVALUATED_SECONDS: Final = 5.0
TASKS: Final = 20
TENANTS: Final = 50
SETTLE: Final = timedelta(seconds=5)
CHUNK: Final = 500


def catalogue(tasks: int) -> ResolvedCatalogue:
    """The catalogue of the tasks, with the rules of `benchmarks/compare.py`."""
    head = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, secret_key: tr_dev_bench}
  inngest: {kind: inngest, side: candidate, event_key: k, app: bench}
sources:
  app: {kind: inngest, keys: [bench]}
defaults: {settle: 5s}
tasks:
"""
    one = """  {name}:
    event: {name}/asked
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
    rules:
      identities:
        - {{kind: http, target: shopify, paths: [$.params.id]}}
        - {{kind: http, target: payments, paths: [$.body.ref]}}
        - {{kind: sql, paths: [$.order_id]}}
        - {{kind: email, paths: [$.order_id]}}
"""
    return parse(head + "".join(one.format(name=task_name(number)) for number in range(tasks)), "bench.yaml", {})


def task_name(number: int) -> str:
    return f"task-{number:03d}"


@dataclass(slots=True)
class Spent:
    """CPU seconds."""

    python: float = 0.0
    postgresql: float = 0.0

    def shown(self, pairs: int) -> dict[str, float]:
        each = 1000 / pairs
        return {"python": round(self.python * each, 3), "postgresql": round(self.postgresql * each, 3)}


@dataclass(slots=True)
class Meter:
    """Who spent how much at which stage. Stages follow each other; of nested ones the inner is taken off the outer."""

    postmaster: psutil.Process
    spent: dict[str, Spent] = field(default_factory=dict)
    _inner: list[Spent] = field(default_factory=list)
    _backends: list[Path] = field(default_factory=list)

    def look_for_backends(self) -> None:
        """Know the processes of PostgreSQL that there are now."""
        found = [self.postmaster, *self.postmaster.children()]
        self._backends = [Path(f"/proc/{process.pid}/schedstat") for process in found]

    def _now(self) -> tuple[float, float]:
        nanoseconds = 0
        for backend in self._backends:
            try:
                nanoseconds += int(backend.read_bytes().split()[0])
            except OSError:
                continue  # it has ended
        return time.process_time(), nanoseconds / 1e9

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is spent within is that stage's."""
        inner = Spent()
        self._inner.append(inner)
        python, postgresql = self._now()
        try:
            yield
        finally:
            after = self._now()
            took = Spent(after[0] - python, after[1] - postgresql)
            self._inner.pop()
            if self._inner:
                self._inner[-1].python += took.python
                self._inner[-1].postgresql += took.postgresql
            found = self.spent.setdefault(name, Spent())
            found.python += took.python - inner.python
            found.postgresql += took.postgresql - inner.postgresql

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Take what an asynchronous method of an object spends for a stage."""
        real = getattr(owner, method)

        async def watched(*arguments: Any, **more: Any) -> Any:
            with self.stage(name):
                return await real(*arguments, **more)

        setattr(owner, method, watched)


_COLUMNS = {
    "events": "id, source, door, origin, name, tenant, delivery_id, accepted_at, route",
    "runs": "id, event_id, pair_id, task, side, platform, platform_run_id, authority, state, status, attempts,"
    " started_at, finished_at",
    "pairs": "id, event_id, task, tenant, legacy_run, candidate_run, state, opened_at, deadline_at, due_at, starts_at",
    "effects": "id, side, platform_run_id, task, sequence, kind, target, operation, identity, occurred_at, received_at,"
    " seen_by, attributed_by, data",
    "bodies": "id, part, content",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows of a batch of pairs for COPY, by table."""

    tables: dict[str, list[tuple[object, ...]]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})

    def add(self, number: int, task: str, tenant: str, accepted: datetime, made: Pair) -> None:
        """A pair that has settled."""
        base = first_id_at(accepted)
        event = UUID(int=base.int | (number << 8))
        pair_id = derived_id(event, task)
        runs = {side: derived_id(event, task, side) for side in ("legacy", "candidate")}
        at, due = accepted.isoformat(), (accepted + SETTLE).isoformat()
        self.tables["events"].append(
            (event, "app", "inngest", "producer", f"{task}/asked", tenant, f"e{event}", at, task)
        )
        self._body(event, "evidence", made.known)
        ends = (*(runs.values()), "settling", at, (accepted + timedelta(minutes=15)).isoformat(), due, at)
        self.tables["pairs"].append((pair_id, event, task, tenant, *ends))
        sides = (("legacy", "trigger", "real", made.legacy), ("candidate", "inngest", "none", made.candidate))
        for turn, (side, platform, authority, ledger) in enumerate(sides):
            run, name = runs[side], f"{platform}-{event}"
            started = ledger.outcome.started_at or 0.0
            self.tables["runs"].append(
                (
                    *(run, event, pair_id, task, side, platform, name, authority, "finished", "completed", 1),
                    *(_moment(started), _moment(started + 3)),
                )
            )
            self._body(run, "output", ledger.outcome.output)
            for place, effect in enumerate(ledger.effects):
                self._effect(
                    UUID(int=event.int + (turn + 1) * 16 + place + 1), side, name, task, place, effect, started
                )

    def _effect(
        self, identifier: UUID, side: str, run: str, task: str, place: int, effect: Effect, started: float
    ) -> None:
        what = (effect.kind, effect.target, effect.operation, effect.identity)
        when = (_moment(started + 0.2 * place + 0.1), _moment(started + 2))
        said = ("report", "report", _evidence(effect.data))
        self.tables["effects"].append((identifier, side, run, task, place, *what, *when, *said))

    def _body(self, owner: UUID, part: str, value: JSON) -> None:
        self.tables["bodies"].append((owner, part, _evidence(value)))


def _evidence(value: JSON) -> str:
    """What is kept of a value, as COPY takes it."""
    return "\\\\x" + codec.encode_evidence(orjson.dumps(value)).hex()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _line(row: tuple[object, ...]) -> str:
    return "\t".join("\\N" if value is None else str(value) for value in row) + "\n"


def kinds(pairs: int, corresponding: float, differing: float, random: Random) -> list[str]:
    """Of each pair in which way its sides differ; shares are percentages."""
    counts = {"corresponding": round(pairs * corresponding / 100), "differing": round(pairs * differing / 100)}
    found = [kind for kind, number in counts.items() for _ in range(number)]
    found += ["equal"] * (pairs - len(found))
    random.shuffle(found)
    return found


def load(url: str, of: Sequence[str], tasks: int, until: datetime, random: Random) -> None:
    """Load a pair of each of these kinds; the last was accepted at `until`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for start in range(0, len(of), CHUNK):
            loaded = Loaded()
            for number in range(start, min(start + CHUNK, len(of))):
                accepted = until - timedelta(milliseconds=2 * (len(of) - number))
                made = pair(of[number], number, random)
                loaded.add(number, task_name(number % tasks), f"tenant-{number % TENANTS:03d}", accepted, made)
            for table, rows in loaded.tables.items():
                statement = f"COPY {table} ({_COLUMNS[table]}) FROM STDIN"
                with connection.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write("".join(map(_line, rows)))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


@asynccontextmanager
async def stage_set(of: Sequence[str], tasks: int, random: Random) -> AsyncIterator[tuple[Database, psutil.Process]]:
    """A database of its own with the pairs in it, and its postmaster."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-judging-"))
    url, server = embedded.start(folder / "data", ephemeral=True)
    database = Database(url, sealing_key=lambda: MasterKey(bytes(32)))
    try:
        await database.prepare()
        load(url, of, tasks, datetime.now(UTC) - timedelta(minutes=1), random)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            postmaster = psutil.Process(row[0]).parent()
        assert postmaster is not None
        yield database, postmaster
    finally:
        await database.close()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def measure(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    random = Random(options.seed)  # no secret
    of = kinds(options.pairs, options.corresponding, options.differing, random)
    async with stage_set(of, options.tasks, random) as (database, postmaster):
        declared = catalogue(options.tasks)
        judge, counting = JudgeLoop(database, declared), CountingLoop(database, declared)
        gates = GateLoop(database, declared, every=0.0)
        meter = Meter(postmaster)
        for method in ("_claim", "_postpone", "_write", "_note_targets"):
            meter.watch(judge, method, f"judge{method}")
        meter.watch(judge, "_each", "judge_load")
        await judge.once(datetime.now(UTC) - timedelta(days=1))
        await counting.once()
        # As the service does when it has started.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        meter.look_for_backends()
        rounds = Counter[str]()
        with meter.stage("judge"):
            while (done := await judge.once()).claimed:
                rounds.update(claimed=done.claimed, postponed=done.postponed, judged=done.judged)
        counted = 0
        with meter.stage("count"):
            for _ in range(10_000):
                turn = await counting.once()
                counted += turn.counted
                if not turn.counted and not turn.begun:
                    break
        meter.look_for_backends()
        times = max(1, round(options.pairs / RATE / EVALUATED_SECONDS))
        await gates.once()
        with meter.stage("evaluate"):
            for _ in range(times):
                await gates.once()
        async with database.direct() as connection:
            cursor = await connection.execute("SELECT verdict, count(*)::int FROM pairs GROUP BY 1 ORDER BY 1")
            verdicts = dict(await cursor.fetchall())
    found = Counter(of)
    expected = {"match": found["equal"] + found["corresponding"], "mismatch": found["differing"]}
    right = verdicts == {verdict: number for verdict, number in expected.items() if number}
    total = Spent(
        sum(spent.python for spent in meter.spent.values()), sum(spent.postgresql for spent in meter.spent.values())
    )
    seconds = (total.python + total.postgresql) * 1000 / options.pairs
    figures: dict[str, object] = {
        "pairs": dict(found),
        "verdicts": verdicts,
        "rounds": dict(rounds),
        "counted": counted,
        "cpu_seconds_per_1000": {name: spent.shown(options.pairs) for name, spent in meter.spent.items()},
        "together": {**total.shown(options.pairs), "all": round(seconds, 3)},
        "most": MOST_SECONDS,
    }
    return figures, right and counted == options.pairs and seconds <= MOST_SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--corresponding", type=float, default=30.0, help="percent that differ by ids and clocks alone")
    parser.add_argument("--differing", type=float, default=1.0, help="percent with a true change as well")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures, ok = uvloop.run(measure(options))
    finish("judging", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

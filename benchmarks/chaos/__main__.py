"""A hundred rounds, in each of which something dies, hangs, lies or fills up, under load through all doors.

Two `shadow serve` behind a balancer, two `shadow work`, and a PostgreSQL with fsync; the commerce example's platforms,
workers, targets and producers behind lines that can misbehave. Orders come by webhook, payouts at the Inngest door,
applications at the Trigger.dev door; workers reach targets through the gateway. Orders and applications are in
`shadow`, payouts are `live`: so each side has authority for something. Every round is a disturbance of a few seconds,
chosen by the seed, after which everything runs again.

Required at the end: acknowledged events lost 0 (by the platforms' own lists of runs and by the ledger), runs doubled 0
(by those lists), leaks 0 (by the targets' books and the ledger), every pair judged, no mismatch that nothing explains,
nothing left in a spool, and no process of Shadow that ever had more than so much memory.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import psycopg

from benchmarks.chaos.database import running
from benchmarks.chaos.disturbances import DISTURBANCES, REACHED, Scene, die_at, order
from benchmarks.chaos.line import Line
from benchmarks.chaos.mismatches import Happened, accounted, mismatches
from benchmarks.chaos.parts import Fleet
from benchmarks.cutover import audit
from benchmarks.cutover.load import Load
from benchmarks.report import finish
from sandbox.commerce import databases
from sandbox.commerce.catalogue import catalogue as catalogue_text
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Action, SendEvents, Trigger, Webhook, build_plan
from sandbox.commerce.producers import Sent
from sandbox.ports import free_port
from sandbox.stage import EgressKeys, Ports
from shadow.catalogue import load
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.cutover.moves import LEAD, MoveRefused
from shadow.demo.processes import StageProcess, StageSettings
from shadow.egress import keys as egress_keys
from shadow.intake.plan import PASSTHROUGH_PATIENCE
from shadow.observe.fail_points import POINTS
from shadow.sealing.master import VARIABLE, parse
from shadow.steering.moving import move
from shadow.store.database import Database, Work

PHASES = {
    "sync-shopify-order": Phase.SHADOW,
    "process-creator-application": Phase.SHADOW,
    "process-attribution": Phase.SHADOW,
    "process-payout": Phase.LIVE,
}
ZERO = ("lost", "runs_doubled", "leaks", "unjudged", "left_in_spools", "not_accepted", "unexplained")
"""Figures that have to be 0."""
MOST_MEMORY = 600 << 20
"""Bytes that a process of Shadow may ever have resident: some 250 MiB are its libraries and pools."""
_CALM_SECONDS = 60.0
_LONGEST_ROUND, _LONGEST_AT_POINT = 12, 60
"""Seconds of a round for which there is load, on average: at a point all of a kind start twice, and that takes long on
a busy machine."""
_LEAST_SETTLING = PASSTHROUGH_PATIENCE.total_seconds() + 60.0
"""What was spooled may rest for a minute before workers touch it; sooner, it is late and not lost."""


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    rate: float
    seed: int
    serves: int
    works: int
    settle: float = 240.0
    points: bool = False
    only: str | None = None


def actions(dataset: Dataset, scale: int) -> list[Action]:
    """Orders, payouts and applications, as their producers send them; some things come twice."""
    wanted: list[Action] = []
    for action in build_plan(dataset, scale=scale).actions:
        match action:
            case Webhook(topic="orders/create") | Trigger(task="process-creator-application"):
                wanted.append(action)
            case SendEvents(events=events) if all(event["name"] == "payout/approved" for event in events):
                wanted.append(action)
    return wanted


async def bench(options: Options, folder: Path) -> dict[str, Any]:
    """The figures."""
    longest = _LONGEST_AT_POINT if options.points else _LONGEST_ROUND
    scale = max(60, int(options.rounds * longest * options.rate / 2))
    dataset = Dataset.build(options.seed, scale=scale)
    keys = Keys()
    front_port = free_port()
    front_url = f"http://127.0.0.1:{front_port}"
    sealing = base64.b64encode(secrets.token_bytes(32)).decode()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(folder))
        # The workers' databases are nobody's business here: were they away as well, every run would end there.
        tenants = await stack.enter_async_context(running(folder / "tenants"))
        database = Database(server.url, sealing_key=lambda: parse(sealing))
        stack.push_async_callback(database.close)
        urls = await asyncio.to_thread(databases.prepare, tenants.url, dataset.rows, dataset.rows)
        await database.prepare()
        egress = EgressKeys(*[(await egress_keys.issue(database, side, "bench"))[0] for side in Side])
        ports = Ports(free_port(), free_port(), free_port())
        stage = StageProcess(folder, StageSettings(front_url, egress, urls, (), dataset, scale, ports))
        lines = {
            name: Line(free_port(), urlsplit(url))
            for name, url in (
                ("trigger", stage.urls.trigger),
                ("inngest", stage.urls.inngest),
                ("targets", stage.urls.targets),
            )
        }
        path = folder / "catalogue.yaml"
        text = catalogue_text(
            dataset,
            trigger_url=lines["trigger"].url,
            inngest_url=lines["inngest"].url,
            targets_url=lines["targets"].url,
            databases=urls,
            keys=keys,
        )
        await asyncio.to_thread(path.write_text, text)
        await _move(database, path)
        fleet = Fleet(
            folder,
            path,
            front_port,
            {"SHADOW_DATABASE_URL": server.url, VARIABLE: sealing},
            serves=options.serves,
            works=options.works,
        )
        small_spool = fleet.mount_small_spool()
        stack.push_async_callback(stage.stop)
        stack.push_async_callback(fleet.stop)
        for line in lines.values():
            await line.start()
            stack.push_async_callback(line.stop)
        await asyncio.gather(stage.start(), fleet.start())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            synced = await client.post(f"{stage.urls.app}/sync", json={"url": f"{front_url}/shadow/inngest"})
            synced.raise_for_status()
        scene = Scene(fleet, server, lines, random.Random(options.seed), small_spool)
        loaded = Load(front_url, keys, options.rate)
        return await _measure(options, scene, loaded, actions(dataset, scale), database, stage, folder)


async def _move(database: Database, path: Path) -> None:
    catalogue = await asyncio.to_thread(load, path)
    for task in catalogue.tasks:
        await declare(database, task, actor="bench", reason="its targets are pretended")
    for task, phase in PHASES.items():
        with contextlib.suppress(MoveRefused):  # a route moves with all of its tasks
            await move(database, catalogue, task, phase, actor="bench", reason="chaos", force=True)
    await asyncio.sleep(LEAD.total_seconds())


async def _measure(
    options: Options,
    scene: Scene,
    load: Load,
    plan: list[Action],
    database: Database,
    stage: StageProcess,
    folder: Path,
) -> dict[str, Any]:
    began = time.monotonic()
    stop = asyncio.Event()
    loading = asyncio.create_task(load.run(plan, stop))
    watch = _Memory(scene.fleet)
    doors = _Doors(scene.fleet)
    watching = asyncio.gather(watch.run(), doors.run())
    names = order(scene.dice, options.rounds, small_spool=scene.small_spool)
    if options.only is not None:
        names = [name for name in DISTURBANCES if options.only in name] * options.rounds
        names = names[: options.rounds]
    if options.points:
        names = list(REACHED)
    slow: list[str] = []
    not_reached: list[str] = []
    happened: list[Happened] = []
    try:
        for number, name in enumerate(names, 1):
            _tell(began, f"round {number}/{len(names)}: {name} ({len(load.sent)} sent)")
            since = datetime.now(UTC)
            if name in POINTS:
                if not await die_at(scene, name, 1, patience=30.0):
                    not_reached.append(name)
            else:
                await DISTURBANCES[name](scene)
            await scene.fleet.ensure()
            if not await _calm(load):
                slow.append(f"round {number}: {name}")
            happened.append(Happened(name, since, datetime.now(UTC)))
            await asyncio.sleep(scene.dice.uniform(0.2, 1.0))
    finally:
        stop.set()
        await loading
    _tell(began, "settling")
    left = await _settled(database, folder, max(options.settle, _LEAST_SETTLING))
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    took = time.monotonic() - began
    found = await _found(database, await audit.books(stage.urls.app), load.sent)
    found |= accounted(await mismatches(database), happened, doors.away)
    return {
        "rounds": options.rounds,
        "seconds": round(took, 1),
        "disturbances": dict(sorted(Counter(names).items())),
        "not_disturbed": [] if scene.small_spool else ["the spool's disk full: no file system can be mounted here"],
        "slow_to_recover": slow,
        "points_not_reached": not_reached,
        "not_settled": left,
        "most_memory_mib": {name: size >> 20 for name, size in sorted(watch.most.items())},
        "memory_bounded": max(watch.most.values(), default=0) <= MOST_MEMORY,
        "left_in_spools": _left(folder),
        "ran_out_of_load": load.ran_out,
        **found,
    }


def _tell(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)


async def _calm(load: Load) -> bool:
    """Wait until something that is sent from now on has been acknowledged."""
    already = len(load.sent)
    until = time.monotonic() + _CALM_SECONDS
    while time.monotonic() < until:
        if any(sent.acknowledged for sent in load.sent[already:]) or load.ran_out:
            return True
        await asyncio.sleep(0.1)
    return False


class _Memory:
    """The most that each process ever had."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.most: dict[str, int] = {}

    async def run(self) -> None:
        while True:
            for part in self._fleet.parts:
                self.most[part.name] = max(self.most.get(part.name, 0), part.memory())
            await asyncio.sleep(0.5)


class _Doors:
    """When a `serve` was dead, or did not take connections yet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._since: dict[str, datetime] = {}
        self._past: list[Happened] = []

    @property
    def away(self) -> list[Happened]:
        now = datetime.now(UTC)
        return [*self._past, *(Happened(name, since, now) for name, since in self._since.items())]

    async def run(self) -> None:
        while True:
            for part in self._fleet.serving:
                now = datetime.now(UTC)
                if not await part.listens():
                    self._since.setdefault(part.name, now)
                elif (since := self._since.pop(part.name, None)) is not None:
                    self._past.append(Happened(part.name, since, now))
            await asyncio.sleep(0.2)


_OPEN = """
SELECT 'dispatch', side || ' ' || stage || ' ' || state, count(*) FROM dispatches WHERE state <> 'dead' GROUP BY 2
UNION ALL
SELECT 'run', side || ' ' || task || ' ' || state || ' ' || authority, count(*) FROM runs
WHERE state <> 'finished' AND coalesce(scheduled_at, now()) <= now() GROUP BY 2
UNION ALL
SELECT 'pair', task || ' ' || state, count(*) FROM pairs WHERE verdict IS NULL GROUP BY 2
"""


async def _settled(database: Database, folder: Path, patience: float) -> list[str]:
    """Wait until nothing is queued, under way, unjudged or spooled; what still is after a while."""
    until = time.monotonic() + patience
    found = ["nobody could look"]
    while time.monotonic() < until:
        with contextlib.suppress(psycopg.Error):
            async with database.connection(Work.CONTROL) as connection:
                rows = await (await connection.execute(_OPEN)).fetchall()
            found = [f"{number} x {what}: {which}" for what, which, number in rows]
            if not found and _left(folder) == 0:
                return []
        await asyncio.sleep(0.5)
    return found


def _left(folder: Path) -> int:
    """Files in spools: what is empty goes."""
    return sum(1 for path in folder.glob("serve-*/spool/*.sqlite"))


async def _found(database: Database, told: dict[str, Any], sent: list[Sent]) -> dict[str, Any]:
    async with database.connection(Work.CONTROL) as connection:

        async def count(query: str) -> int:
            row = await (await connection.execute(query.encode())).fetchone()
            assert row is not None
            return int(row[0])

        events = await (await connection.execute(audit.EVENTS.encode())).fetchall()
        leaks = await count("SELECT count(*) FROM incidents WHERE kind = 'leak'")
        unjudged = await count("SELECT count(*) FROM pairs WHERE verdict IS NULL")
        pairs = await count("SELECT count(*) FROM pairs")
        dead = await (
            await connection.execute(
                "SELECT side, stage, left(error, 80), count(*) FROM dispatches WHERE state = 'dead' GROUP BY 1, 2, 3"
            )
        ).fetchall()
        verdicts = await (
            await connection.execute("SELECT verdict, count(*) FROM pairs GROUP BY 1 ORDER BY 2 DESC")
        ).fetchall()
        reasons = await (
            await connection.execute(
                "SELECT split_part(reason, ':', 1), count(*) FROM pairs WHERE verdict = 'not_comparable' GROUP BY 1"
                " ORDER BY 2 DESC"
            )
        ).fetchall()
    acknowledged = [action for action in sent if action.acknowledged]
    doubled = runs_doubled(told)
    return {
        "acknowledged": len(acknowledged),
        "acknowledged_by_door": dict(Counter(action.kind for action in acknowledged)),
        "not_accepted": len(sent) - len(acknowledged),
        "why_not": sorted({str(action.problem)[:120] for action in sent if not action.acknowledged})[:5],
        "sent_again": sum(action.attempts - 1 for action in sent),
        "events": len(events),
        "pairs": pairs,
        "verdicts": {str(verdict): number for verdict, number in verdicts},
        "not_comparable_by_reason": {str(reason): number for reason, number in reasons},
        "lost": lost(acknowledged, told) + sum(1 for event in events if event[4] and not event[6]),
        "runs_doubled": len(doubled),
        "doubled": doubled[:5],
        "leaks": leaks + sum(1 for call in told["targets"] if not call["authorized"]),
        "unjudged": unjudged,
        "dead_letters": [list(row) for row in dead],
    }


def lost(acknowledged: Iterable[Sent], told: dict[str, Any]) -> int:
    """Acknowledged actions of which neither platform has a run that ended."""
    ran = {subject(run["payload"]) for run in told["runs"]["legacy"] if run["status"] in ("COMPLETED", "FAILED")}
    ran |= {subject(run["data"]) for run in told["runs"]["candidate"] if run["status"] in ("Completed", "Failed")}
    return sum(1 for sent in acknowledged for data in _data(sent.action) if subject(data) not in ran)


def _data(action: Action) -> list[Any]:
    match action:
        case SendEvents(events=events):
            return [event["data"] for event in events]
        case Trigger(payload=payload):
            return [payload]
        case Webhook(body=body):
            return [{"orderId": orjson.loads(body)["id"]}]


def subject(data: object) -> str:
    """Which order, payout or application a run is of."""
    if not isinstance(data, dict):
        return ""
    return str(data.get("requestId") or data.get("creatorId") or data.get("orderId"))


def runs_doubled(told: dict[str, Any]) -> list[str]:
    """What a platform runs twice though it is one and the same thing; children of runs have their own parents.

    Trigger.dev frees the key of a failed run: a producer that repeats its call then starts another, and is right to.
    """
    legacy = Counter(
        (run["task"], orjson.dumps(run["payload"], option=orjson.OPT_SORT_KEYS), run["parent_id"])
        for run in told["runs"]["legacy"]
        if run["status"] != "FAILED"
    )
    candidate = Counter(
        (run["function"], run["event_id"] or run["internal_event_id"]) for run in told["runs"]["candidate"]
    )
    return [str(key) for key, number in [*legacy.items(), *candidate.items()] if number > 1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rate", type=float, default=6.0, help="calls of producers a second")
    parser.add_argument("--seed", type=int, default=11, help="of the dataset and of the disturbances")
    parser.add_argument("--serves", type=int, default=2)
    parser.add_argument("--works", type=int, default=2)
    parser.add_argument("--settle", type=float, default=240.0, help="seconds that everything may take at the end")
    parser.add_argument("--points", action="store_true", help="a process dies at each fail point in turn, and no more")
    parser.add_argument("--only", help="only disturbances whose name holds this")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shadow-chaos-"))
    options = Options(
        given.rounds, given.rate, given.seed, given.serves, given.works, given.settle, given.points, given.only
    )
    try:
        figures = asyncio.run(bench(options, folder))
    finally:
        if given.keep:
            print(f"logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    ok = is_ok(figures)
    finish("chaos", ok=ok, figures=figures)


def is_ok(figures: dict[str, Any]) -> bool:
    """Whether everything came out as it must."""
    ok = bool(not figures["not_settled"] and figures["memory_bounded"]) and all(figures[name] == 0 for name in ZERO)
    return ok and not figures["points_not_reached"]


if __name__ == "__main__":
    main()

"""The load: producers, platforms' workers, an operator who moves routes, and somebody who pulls the plug."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg

from benchmarks.containment import asgi
from benchmarks.containment.audit import Findings, Outage, audit
from benchmarks.containment.calls import Call, Keys, Run, Truth, Worker, kinds
from benchmarks.containment.faults import CURRENT, Faults
from benchmarks.containment.phases import Held, Timeline
from benchmarks.containment.targets import read_log
from benchmarks.containment.world import (
    PRODUCER,
    REAL_CREDENTIAL,
    REAL_QUERY,
    REPORT_KEYS,
    WORKER_KEYS,
    World,
)
from shadow.catalogue import ResolvedTask
from shadow.catalogue.model import Side
from shadow.causes.authority import Purpose
from shadow.causes.repeats import repeat
from shadow.cutover.decision import Phase, Ramp
from shadow.cutover.moves import LEAD, MoveRefused, write_move
from shadow.cutover.routing import read_standings
from shadow.platforms.event import EventRow
from shadow.store.database import Work

RECOVERY_SECONDS = 6.0
"""How long after a crash the service may still be finding its feet: sound calls need not arrive, leaks are leaks."""
AWAY_MARGIN = 0.2
"""How much longer than it is seen to be the database may be away for the gateway."""
STALE_SECONDS = 3.0
"""How long after an outage an event that was accepted in it, or right after, may begin."""
DEEPEST = 3
"""Generations of children."""
_CHILDREN = ("bench/notify", "bench/audit")
_EVENTS = ("bench/pay", "bench/pay", "bench/sync", "bench/notify", "bench/audit")
_PHASES = (Phase.LEGACY, Phase.SHADOW, Phase.SHADOW, Phase.RAMP, Phase.RAMP, Phase.RAMP, Phase.LIVE)
_SHARES = (0, 10, 50, 90, 100)
_TENANTS = tuple(f"tenant-{number}" for number in range(40))


@dataclass
class Options:
    calls: int
    seed: int = 1
    workers: int = 320
    crashes: int = 5
    moves: bool = True
    fault_rate: float = 0.004
    progress: Callable[[str], None] = print


@dataclass
class _Told:
    """What the benchmark knows of an event that it sent."""

    lineage: str
    begun: datetime
    by_phase: bool = False
    """Whether the phase of its route at its acceptance says who has authority; else nobody has."""
    certain: bool = True
    """Whether that is all there is to it; else what the service decided is taken."""
    authority: Side | None = None
    """The side with authority, once a run of it began."""
    key: str = ""
    """Its root's tenant."""


@dataclass
class Bench:
    """One run of it."""

    options: Options
    calls: list[Call] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    wrong_decisions: list[str] = field(default_factory=list)
    """Events that got another authority than they had to."""
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(f"bench:{self.options.seed}")
        self._events: dict[int, _Told] = {}
        self._stale: list[tuple[float, str]] = []
        """Decisions by a phase that was over, and when they were noticed."""
        self._live: dict[int, UUID] = {}
        """Numbers of events that were started, and their ids."""
        self._waiting: asyncio.Queue[tuple[Run, int]] = asyncio.Queue()
        self._begun = 0
        self._done = 0
        self._next_event = 0
        self._under_way = 0
        self._ending = False
        self.seconds = 0.0
        self.faults = Faults(self.options.seed, self.options.fault_rate)

    # ------------------------------------------------------------ the platforms start runs

    def started(self, side: Side, task: ResolvedTask, event: EventRow, data: bytes, name: str) -> None:
        """A platform was handed an event."""
        document = orjson.loads(data)
        number = document["bench"]
        if event.purpose == Purpose.LIVE:
            told = self._events[number]
            if self._live.setdefault(number, event.id) != event.id:
                self.wrong_decisions.append(f"event {number} of {event.name}: repeated, and says that it is live")
        else:
            told = _Told(event.purpose, datetime.now(UTC))
        told.authority = Side(event.authority) if event.authority is not None else None
        expected, certain = None, told.certain
        if told.by_phase:
            expected = self._timeline.authority(task.id, told.key, told.begun, event.accepted_at)
            certain = certain and expected is not None
        if certain and told.authority is not expected:
            what = f"event {number} ({told.lineage}) of {event.name}: authority {told.authority}, expected {expected}"
            if told.by_phase:
                # It is the other side's, but one side's alone: who knew no better decided as before the move.
                self._stale.append((time.monotonic(), what))
            else:
                self.wrong_decisions.append(what)
                told.authority = expected
        truth: Truth = "real" if told.authority is side else "none"
        run = Run(
            side, task.id, truth, name, event.delivery_id, f"{self.options.seed}:{number}:{task.id}", task.reads,
            told.lineage,
        )  # fmt: skip
        self.counted[f"runs_{side.value}_{truth}"] += 1
        self._waiting.put_nowait((run, document["depth"]))

    # ------------------------------------------------------------ the whole of it

    async def run(self, world: World) -> Findings:
        """Make the calls, then hold the targets' log against them."""
        self._world = world
        self._timeline = Timeline(world.catalogue)
        self._keys = Keys(world.egress, world.revoked, REAL_CREDENTIAL)
        self.faults.install(world.gateway)
        began = time.monotonic()
        actors = [
            *(asyncio.create_task(self._worker()) for _ in range(self.options.workers)),
            *(asyncio.create_task(self._producer()) for _ in range(4)),
            asyncio.create_task(self._report()),
            asyncio.create_task(self._unplug()),
            asyncio.create_task(self._watch()),
        ]
        if self.options.moves:
            actors.append(asyncio.create_task(self._operator()))
        try:
            while self._done < self.options.calls or self._under_way:
                self._ending = self._done >= self.options.calls
                await asyncio.sleep(0.1)
                for actor in actors:
                    if actor.done() and not actor.cancelled() and actor.exception() is not None:
                        await actor  # raises: the benchmark itself is broken
        finally:
            await _cancelled(actors)
        self.seconds = time.monotonic() - began
        self.faults.active = False
        self.options.progress("all calls are made; waiting until what was spooled is written down")
        await self._settle()
        for at, what in self._stale:
            # A process that has just lost the database may miss a move; any other knows of it before it holds.
            if any(outage.began_at <= at <= outage.ended_at + STALE_SECONDS for outage in self.outages):
                self.counted["stale_decisions_after_outages"] += 1
            else:
                self.wrong_decisions.append(what)
        self.options.progress("holding the targets' log against what is known")
        return self._audited(world)

    async def _watch(self) -> None:
        """Notes when the gateway itself takes the database to be away: after a fault it does so for a moment."""
        journal = self._world.gateway.journal
        since: float | None = None
        while True:
            now = time.monotonic()
            if journal.away and since is None:
                since = now
                self.counted["times_away"] += 1
            elif since is not None and not journal.away:
                self.outages.append(Outage(since - AWAY_MARGIN, now + AWAY_MARGIN))
                since = None
            await asyncio.sleep(0.02)

    def _audited(self, world: World) -> Findings:
        offset = datetime.now(UTC).timestamp() - time.monotonic()

        def may_pass_away(call: Call) -> bool:
            begun, ended = (datetime.fromtimestamp(at + offset, UTC) for at in (call.began_at, call.ended_at))
            return self._timeline.was_legacys(call.task, begun, ended)

        return audit(
            [call for call in self.calls if call.ended_at],
            read_log(world.log),
            self.outages,
            self.faults.touched,
            may_pass_away=may_pass_away,
            secrets=tuple(world.egress.values()),
            credential=f"Bearer {REAL_CREDENTIAL}",
            credential_parameter=REAL_QUERY,
        )

    async def _settle(self) -> None:
        """Let what was spooled be written down, and the looks for leaks come round."""
        for _ in range(60):
            with suppress(psycopg.Error, TimeoutError, OSError):
                await self._world.replay.once()
                await self._world.gateway.incidents.look(since=datetime.fromtimestamp(0, UTC))
                return
            await asyncio.sleep(0.5)

    async def recorded(self, query: str) -> list[tuple[Any, ...]]:
        """What Shadow's own database says."""
        async with self._world.database.connection(Work.CONTROL) as connection:
            return await (await connection.execute(query.encode())).fetchall()

    # ------------------------------------------------------------ actors

    async def _worker(self) -> None:
        while True:
            run, depth = await self._waiting.get()
            made = random.Random(f"{run.plan}:{run.side}:run")
            calls = Worker(run, self._keys).calls(self._begun, made.randrange(3, 16))
            self._begun += len(calls)
            self.calls += calls
            for call in calls:
                if self._ending:
                    break
                await self._call(call)
                if depth < DEEPEST and made.random() < 0.02:
                    await self._emit(run, depth, named=made.random() < 0.9, name=made.choice(_CHILDREN))
            if not self._ending and made.random() < 0.95:
                await self._ended(run)

    async def _call(self, call: Call) -> None:
        CURRENT.set(call.number)
        call.began_at = time.monotonic()
        self._under_way += 1
        patience = self._random.uniform(0, 0.05)
        call.got = await asgi.request(
            self._world.app, call.method, call.path, call.query, call.headers, call.body, call.leave, patience
        )
        self._under_way -= 1
        call.ended_at = time.monotonic()
        call.body = None
        self._done += 1

    async def _ended(self, run: Run) -> None:
        """The worker tells how its run ended."""
        report = {"run": run.name, "task": run.task, "status": "completed", "output": {"ok": True}}
        if run.side is Side.CANDIDATE:
            report["event"] = run.event
        await self._post("/shadow/runs", report, {"authorization": f"Bearer {REPORT_KEYS[run.side]}"})

    async def _producer(self) -> None:
        """Keeps the workers busy, and now and then has recorded events repeated."""
        while True:
            if self._waiting.qsize() > self.options.workers:
                await asyncio.sleep(0.02)
                continue
            if self._live and self._random.random() < 0.1:
                await self._repeat()
            else:
                await self._send(self._random.choice(_EVENTS))

    def _event(self, depth: int) -> tuple[int, dict[str, Any]]:
        self._next_event += 1
        return self._next_event, {"bench": self._next_event, "depth": depth, "tenantId": self._random.choice(_TENANTS)}

    async def _send(self, name: str) -> None:
        number, data = self._event(0)
        self._events[number] = _Told("producer's event", datetime.now(UTC), by_phase=True, key=data["tenantId"])
        event = {"name": name, "data": data, "id": f"e{self.options.seed}-{number}"}
        for _ in range(100):
            if await self._post(f"/e/{PRODUCER}", event, {}) == 200:
                break
            await asyncio.sleep(0.1)
        self.counted["events_producer"] += 1

    async def _emit(self, run: Run, depth: int, *, named: bool, name: str) -> None:
        """A run emits an event with its side's key, and says which run it is, or does not."""
        number, data = self._event(depth + 1)
        lineage = f"child of {run.authority}" if named else f"child of unknown ({run.authority})"
        # A child of a run without authority has none, whatever the phase. Whose parent is not told gets what its side
        # has: that is looked at as the service decides it.
        told = _Told(lineage, datetime.now(UTC), by_phase=named and run.authority == "real", certain=named)
        # Its own tenant may be another: the root's counts, where that is known.
        told.key = self._events[int(run.plan.split(":")[1])].key if named else data["tenantId"]
        self._events[number] = told
        headers = {}
        if named:
            headers = {"x-shadow-task": run.task}
            headers["x-shadow-run" if run.side is Side.LEGACY else "x-shadow-event"] = (
                run.name if run.side is Side.LEGACY else run.event
            )
        event = {"name": name, "data": data, "id": f"c{self.options.seed}-{number}"}
        await self._post(f"/e/{WORKER_KEYS[run.side]}", event, headers)
        self.counted[f"events_{'child' if named else 'orphan'}"] += 1

    async def _repeat(self) -> None:
        """A replay, a canary, or legacy against legacy: authority for nobody."""
        purposes = [(Purpose.REPLAY, Side.CANDIDATE), (Purpose.CANARY, Side.CANDIDATE)]
        if self._done > self.options.calls / 2:
            # While any such run is under way, the gateway lets no unknown run of legacy's through: it has to do both.
            purposes.append((Purpose.LEGACY_TWICE, Side.LEGACY))
        purpose, side = self._random.choice(purposes)
        event = self._live[self._random.choice(list(self._live))]
        with suppress(psycopg.Error, OSError):
            await repeat(self._world.database, self._world.catalogue, event, purpose, (side,))
            self.counted[f"events_{purpose.value}"] += 1

    async def _operator(self) -> None:
        """Moves routes about, each a few seconds after the last."""
        while True:
            await asyncio.sleep(self._random.uniform(0.3, 2.0))
            task = self._random.choice(list(self._world.catalogue.tasks))
            phase = self._random.choice(_PHASES)
            route = self._world.catalogue.routes[self._world.catalogue.tasks[task].route]
            held = Held(phase)
            if phase is Phase.RAMP:
                allow, deny = (frozenset(self._random.sample(_TENANTS, 2)) for _ in range(2))
                held = Held(phase, self._random.choice(_SHARES), allow, deny - allow)
            # While legacy runs without authority, the gateway lets no unknown run of its through: it has to do both.
            reverse = self._done > self.options.calls / 2 and phase in (Phase.RAMP, Phase.LIVE)
            try:
                async with self._world.database.connection(Work.CONTROL) as connection:
                    done = await write_move(
                        connection,
                        route,
                        phase,
                        ramp=Ramp(held.share, held.allow, held.deny),
                        reverse=reverse,
                        actor="bench",
                        reason="random",
                    )
            except MoveRefused:
                continue
            except (psycopg.Error, OSError):
                await self._relearn()
                continue
            self._timeline.learn(route.name, done.decided_at, done.effective_at, held)
            self.counted["moves"] += 1
            self.counted[f"moves_to_{phase.value}"] += 1
            self.counted["moves_with_reverse"] += reverse and route.reverse

    async def _relearn(self) -> None:
        """After a move of which nobody knows whether it was made: what the database says."""
        while True:
            with suppress(psycopg.Error, OSError):
                async with self._world.database.connection(Work.CONTROL) as connection:
                    standings = await read_standings(connection)
                for task, standing in standings.items():
                    route = self._world.catalogue.tasks[task].route
                    ramp = standing.ramp
                    held = Held(standing.phase, ramp.share, ramp.allow, ramp.deny)
                    self._timeline.learn(route, standing.effective_at - LEAD, standing.effective_at, held)
                return
            await asyncio.sleep(0.2)

    async def _unplug(self) -> None:
        """Crashes the database, evenly over the calls."""
        for number in range(1, self.options.crashes + 1):
            while self._done < self.options.calls * number / (self.options.crashes + 1):  # noqa: ASYNC110  # a count
                await asyncio.sleep(0.05)
            began = time.monotonic()
            self.counted["crashes"] += 1
            await self._world.server.crash()
            self.outages.append(Outage(began, time.monotonic() + RECOVERY_SECONDS))

    async def _report(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(10)
            rate = self._done / (time.monotonic() - began)
            self.options.progress(
                f"{self._done:7d} of {self.options.calls} calls  {rate:5.0f}/s  runs waiting {self._waiting.qsize()}"
                f"  moves {self.counted['moves']}  crashes {self.counted['crashes']}"
                f"  faults {self.faults.injected.total()}"
            )

    async def _post(self, path: str, document: object, headers: dict[str, str]) -> int | None:
        body = orjson.dumps(document)
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        sent += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        got = await asgi.request(self._world.app, "POST", path.encode(), b"", sent, [body])
        return got.status


async def _cancelled(actors: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them until they are: before Python 3.12 `wait_for`, which libraries use, may swallow a cancellation."""
    waiting = set(actors)
    while waiting:
        for actor in waiting:
            actor.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1)


def figures(bench: Bench, found: Findings, dispositions: dict[str, int], incidents: dict[str, int]) -> dict[str, Any]:
    """What the benchmark reports."""
    done = [call for call in bench.calls if call.ended_at]
    answers = Counter(
        "left" if call.got is None or call.got.status is None else call.got.gateway or "target" for call in done
    )
    return {
        "leaks": len(found.leaks),
        "calls": len(done),
        "seconds": round(bench.seconds, 1),
        "dispositions": dispositions,
        "answers": dict(sorted(answers.items())),
        "arrived": found.counted["arrived"],
        "arrived_with_authority": found.counted["with_authority"],
        "reads_without_authority": found.counted["reads_without_authority"],
        "unknown_legacy_runs_while_away": found.counted["unknown_legacy_runs_while_away"],
        "calls_without_authority": sum(call.truth != "real" for call in done),
        "told_unreachable": found.counted["told_unreachable"],
        "arrived_twice": len(found.twice),
        "lost": len(found.lost),
        "untrue_answers": len(found.untrue),
        "exposed": len(found.exposed),
        "strays": len(found.strays),
        "hung": len(found.hung),
        "wrong_decisions": len(bench.wrong_decisions),
        "faults_injected": dict(sorted(bench.faults.injected.items())),
        "calls_while_it_was_away": found.counted["during_outage"],
        "incidents": incidents,
        "kinds": kinds(done),
        **dict(sorted(bench.counted.items())),
    }

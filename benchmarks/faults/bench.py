"""The bench: clean pairs and spoilt ones through the judge, and how many of either it was right about."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from benchmarks.faults import kinds as _kinds
from benchmarks.faults.fault import KINDS, Expected, Fault, Spoiling
from benchmarks.faults.pairs import Pair, Pairing
from benchmarks.faults.recording import Kept, Recorder
from benchmarks.faults.tasks import TASKS, any_script
from benchmarks.faults.world import World
from comparators.path import parse
from comparators.signature import generalised
from shadow.reports import pairs as reports
from shadow.reports.pairs import PENDING, PairFilter
from shadow.reports.shapes import PairDetail

assert _kinds  # importing them is what registers them
BATCH = 250
"""Pairs written and judged together."""
_COMBINED = 0.25
"""The share of spoilt pairs with two or three faults."""
_TRIES = 400
"""Scripts that a fault is offered before it is said to fit none."""
_VERDICTS = ("mismatch", "missing_candidate", "missing_legacy", "not_comparable", PENDING)


@dataclass
class Options:
    pairs: int = 20_000
    """Clean ones."""
    instances: int = 500
    """Faults, at least."""
    seed: int = 1
    only: tuple[str, ...] = ()
    """Kinds of faults; all by default."""
    tasks: tuple[str, ...] = ()
    noise: bool = True
    progress: Callable[[str], None] = print


@dataclass(frozen=True)
class Injected:
    """One fault in one pair."""

    kind: str
    expected: Expected
    places: tuple[Kept, ...]


@dataclass
class Spoilt:
    """A pair with faults in it."""

    pair: UUID
    task: str
    seed: str
    faults: list[Injected]


@dataclass
class Findings:
    """What came of it."""

    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    """In words, with the seed of the pair."""
    alarms: list[str] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)
    """What false alarms were about."""
    clean: Counter[str] = field(default_factory=Counter)
    """Clean pairs by task."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not self.missed and not self.alarms and self.found == self.injected


class Bench:
    """One run of it."""

    def __init__(self, options: Options, world: World) -> None:
        self.options = options
        self._world = world
        self._recorder = Recorder(world.catalogue)
        self._clean: dict[UUID, str] = {}
        """Seeds of clean pairs."""
        self._spoilt: dict[UUID, Spoilt] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)

    async def run(self) -> Findings:
        """All of it."""
        batch: list[Pair] = []
        spent = time.perf_counter()
        for made, pair in enumerate(self._pairs(), 1):
            batch.append(pair)
            if len(batch) == BATCH:
                self._seconds["making"] += time.perf_counter() - spent
                await self._judged(batch)
                batch = []
                if made % (BATCH * 8) == 0:
                    self.options.progress(f"{made} pairs judged")
                spent = time.perf_counter()
        await self._judged(batch)
        return await self._findings()

    def _pairs(self) -> Iterator[Pair]:
        """Spoilt pairs among clean ones."""
        spoilt = self._spoiled()
        left = True
        for number in range(self.options.pairs):
            yield self._clean_pair(f"{self.options.seed}:clean:{number}")
            every = max(1, self.options.pairs // max(1, self.options.instances))
            if left and number % every == 0:
                another = next(spoilt, None)
                left = another is not None
                if another is not None:
                    yield another
        yield from spoilt

    def _clean_pair(self, seed: str) -> Pair:
        rng = random.Random(seed)
        script = any_script(rng, rng.choice(self.options.tasks) if self.options.tasks else None)
        pair = Pairing(rng, self._recorder, noise=self.options.noise).pair(script, script)
        self._clean[pair.id] = seed
        return pair

    def _spoiled(self) -> Iterator[Pair]:
        """Every kind in turn, until there are as many instances as wanted."""
        names = self.options.only or tuple(KINDS)
        rounds = 0
        injected = 0
        while injected < self.options.instances:
            for name in names:
                seed = f"{self.options.seed}:{name}:{rounds}"
                pair, spoilt = self._spoilt_pair(seed, name, names)
                injected += len(spoilt.faults)
                self._spoilt[pair.id] = spoilt
                yield pair
            rounds += 1

    def _spoilt_pair(self, seed: str, name: str, names: Sequence[str]) -> tuple[Pair, Spoilt]:
        rng = random.Random(seed)
        for _ in range(_TRIES):
            fault = KINDS[name]()
            task = rng.choice(sorted(fault.tasks) or tuple(TASKS))
            legacy = any_script(rng, task)
            it = Spoiling(legacy.copied(), rng)
            expected = fault.spoil(it)
            if expected is None:
                continue
            wanted = [(name, expected)]
            if rng.random() < _COMBINED and expected.verdict == "mismatch":
                wanted += self._more(it, rng, rng.choice((1, 2)), [other for other in names if other != name])
            candidate = it.script if expected.verdict == "mismatch" else None
            pair = Pairing(rng, self._recorder, noise=self.options.noise).pair(legacy, candidate)
            faults = [Injected(kind, each, tuple(_places(pair, each))) for kind, each in wanted]
            return pair, Spoilt(pair.id, task, seed, faults)
        raise ValueError(f"no script has a place for the fault {name!r}")

    def _more(self, it: Spoiling, rng: random.Random, count: int, names: Sequence[str]) -> list[tuple[str, Expected]]:
        """Further faults in the same script, as many as fit."""
        added: list[tuple[str, Expected]] = []
        for name in rng.sample(names, min(len(names), 12)):
            fault: Fault = KINDS[name]()
            if len(added) == count or it.ended:
                break
            if not fault.combines or (fault.tasks and it.script.task not in fault.tasks):
                continue
            expected = fault.spoil(it)
            if expected is not None and expected.verdict == "mismatch":
                added.append((name, expected))
        return added

    async def _judged(self, batch: Sequence[Pair]) -> None:
        if not batch:
            return
        started = time.perf_counter()
        await self._world.write(batch)
        written = time.perf_counter()
        judged = await self._world.verdicts()
        if judged != len(batch):
            raise RuntimeError(f"{len(batch)} pairs were written, {judged} judged")
        self._seconds["writing"] += written - started
        self._seconds["judging"] += time.perf_counter() - written

    async def _findings(self) -> Findings:
        findings = Findings(clean=Counter(), seconds={name: round(took, 1) for name, took in self._seconds.items()})
        engine = self._world.database.engine
        for verdict in _VERDICTS:
            cursor = None
            while True:
                page = await reports.page(engine, PairFilter(verdict=verdict), cursor=cursor, limit=200)
                for pair in page.items:
                    if pair.id in self._clean:
                        told = await self._detail(pair.id)
                        findings.alarms.append(_alarm(self._clean[pair.id], told))
                        findings.groups[_about(told)] += 1
                cursor = page.next_cursor
                if cursor is None:
                    break
        for spoilt in self._spoilt.values():
            self._look(spoilt, await self._detail(spoilt.pair), findings)
        findings.clean["pairs"] = len(self._clean)
        return findings

    async def _detail(self, pair: UUID) -> PairDetail:
        told = await reports.detail(self._world.database.engine, pair)
        if told is None:
            raise LookupError(f"the reports do not know pair {pair}")
        return told

    def _look(self, spoilt: Spoilt, told: PairDetail, findings: Findings) -> None:
        for fault in spoilt.faults:
            findings.injected[fault.kind] += 1
            expected = fault.expected
            right = told.verdict == expected.verdict
            if right and expected.verdict == "mismatch":
                right = any(expected.finds(difference, fault.places) for difference in told.differences)
            if right:
                findings.found[fault.kind] += 1
            else:
                said = "; ".join(f"{d.kind} {d.path}" for d in told.differences[:4]) or told.reason
                where = sorted({f"{p.kind} {p.target}/{p.operation} {p.identity}" for p in fault.places})[:3]
                findings.missed.append(
                    f"{fault.kind} ({spoilt.seed}, {spoilt.task}) at {where} {expected.members or expected.run}:"
                    f" {told.verdict}: {said}"
                )


def _places(pair: Pair, expected: Expected) -> Iterator[Kept]:
    for run in (pair.legacy, pair.candidate):
        for number in expected.deeds if run is not None else ():
            assert run is not None
            yield from run.recorded.places.get(number, ())


def _alarm(seed: str, told: PairDetail) -> str:
    said = "; ".join(f"{d.kind} {d.path}: {d.sentence}" for d in told.differences[:3]) or str(told.reason)
    return f"{seed} ({told.task}) {told.verdict}: {said}"


def _about(told: PairDetail) -> str:
    if not told.differences:
        return f"{told.task} {told.verdict}: {told.reason}"
    first = told.differences[0]
    return f"{told.task} {first.kind} {generalised(parse(first.path))}"

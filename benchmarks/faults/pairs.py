"""Pairs: the two runs of one event, each by its own hand, ready to be written."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from benchmarks.faults.hand import Hand
from benchmarks.faults.performance import Performance, perform
from benchmarks.faults.recording import Recorded, Recorder
from benchmarks.faults.script import Script
from benchmarks.faults.spelling import Speller
from shadow.catalogue.model import Side
from shadow.model.ids import derived_id, new_id

_LATEST = datetime(2026, 11, 20, tzinfo=UTC)
_ERRORS = {Side.LEGACY: "AbortTaskRunError", Side.CANDIDATE: "NonRetriableError"}
_GIVEN = ("transfer", "mail-message", "other-message", "fb-trace")
"""Ids that come with answers: contained runs get those of their twins."""


@dataclass
class Run:
    """One side of a pair."""

    id: UUID
    platform_run: str
    side: Side
    script: Script
    performance: Performance
    recorded: Recorded
    output: bytes
    error_name: str | None
    error_message: str | None


@dataclass
class Pair:
    """An event and what both sides made of it."""

    event: UUID
    task: str
    name: str
    tenant: str | None
    data: bytes
    accepted_at: datetime
    legacy: Run
    candidate: Run | None
    """None: it never ran."""

    @property
    def id(self) -> UUID:
        return derived_id(self.event, self.task)


class Pairing:
    """Makes pairs of scripts."""

    def __init__(self, rng: random.Random, recorder: Recorder, *, noise: bool = True) -> None:
        self._rng = rng
        self._recorder = recorder
        self._noise = noise
        self._ids: dict[str, str] = {}
        """Of the run that was made last."""

    def pair(self, legacy: Script, candidate: Script | None) -> Pair:
        """The pair in which the sides did as these scripts say; None: the candidate's run never came."""
        rng = self._rng
        event, accepted = new_id(), self._moment()
        seconds = rng.choice((0.2, 1, 5, 30)) * (0.5 + rng.random())
        mine = self._run(event, legacy, Side.LEGACY, accepted, accepted + timedelta(seconds=rng.random()), seconds, {})
        theirs = None
        if candidate is not None:
            begins = mine.performance.finished_at + self._later()
            theirs_seconds = seconds * (0.7 + 0.8 * rng.random())
            theirs = self._run(event, candidate, Side.CANDIDATE, accepted, begins, theirs_seconds, self._given(mine))
        data = Speller(rng).json(Hand(rng, accepted, accepted, plain=True).value(legacy.data, accepted))
        return Pair(event, legacy.task, legacy.event, legacy.tenant, data, accepted, mine, theirs)

    def _moment(self) -> datetime:
        """When an event came: at any time, and often just before midnight or a new month."""
        rng = self._rng
        moment = _LATEST - timedelta(days=rng.randrange(50), seconds=rng.random() * 86400)
        edge = rng.random()
        if edge < 0.2:
            moment = moment.replace(hour=23, minute=59, second=rng.choice((50, 58, 59)))
        elif edge < 0.25:
            moment = moment.replace(month=10, day=31, hour=23, minute=59, second=57)
        return moment

    def _later(self) -> timedelta:
        """After the other run: usually at once, in a replay hours or weeks later."""
        rng = self._rng
        return timedelta(
            seconds=rng.choice((0.1, 1, 20, 600)) * (0.5 + rng.random()) + rng.choice((0, 0, 0, 0, 0, 86400 * 3))
        )

    def _given(self, mine: Run) -> dict[str, str]:
        """What legacy's answers were replayed to the candidate with."""
        if self._rng.random() < 0.5:
            return {}
        return {name: made for name, made in self._ids.items() if name.startswith(_GIVEN)}

    def _run(
        self,
        event: UUID,
        script: Script,
        side: Side,
        accepted_at: datetime,
        started_at: datetime,
        seconds: float,
        given: dict[str, str],
    ) -> Run:
        rng = self._rng
        hand = Hand(rng, started_at, accepted_at, given, plain=not self._noise)
        if side is Side.CANDIDATE:
            hand.legacys = self._ids
        speller = Speller(rng, plain=not self._noise)
        performance = perform(script, rng, started_at, seconds, whole=side is Side.LEGACY)
        identifier = derived_id(event, script.task, side)
        platform_run = f"run_{uuid4().hex[:21]}" if side is Side.LEGACY else str(uuid4())
        recorded = self._recorder.run(
            performance,
            hand,
            speller,
            side=side,
            task=script.task,
            tenant=script.tenant,
            run_id=identifier,
            platform_run=platform_run,
        )
        output = speller.json(hand.value(script.output, performance.finished_at))
        self._ids = hand.ids
        error = script.error
        if error is not None and rng.random() < 0.3:
            error = f"{_ERRORS[side]}: {error}"
        name = None if error is None else _ERRORS[side]
        return Run(identifier, platform_run, side, script, performance, recorded, output, name, error)

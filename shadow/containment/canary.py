"""The canary: recorded events that the candidate gets once more, with authority for nobody, to see what it would do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shadow.containment.part import Part, failed, passed
from shadow.containment.shapes import LegacyLedger, Shape, missing
from shadow.store.database import Database, Work

AT_MOST = 10
"""How many events are repeated for one proof."""

_LOOK_SECONDS = 0.5

_EVENTS = "SELECT id, authority, purpose FROM events WHERE id = ANY(%s)"
_RUNS = """
SELECT id, event_id, authority, state, status, error_message, version, platform_run_id FROM runs
WHERE event_id = ANY(%s) AND task = %s AND side = 'candidate'
"""
_EFFECTS = """
SELECT id, kind, target, operation, writes, disposition, seen_by, attributed_by FROM (
    SELECT effects.* FROM unnest(%(runs)s::uuid[]) AS run (id) JOIN effects ON effects.run_id = run.id
    UNION ALL
    SELECT effects.* FROM unnest(%(names)s::text[]) AS run (name)
    JOIN effects ON effects.platform_run_id = run.name AND effects.side = 'candidate' AND effects.run_id IS NULL
) AS effect
ORDER BY received_at, sequence, id
"""


class Repeat(Protocol):
    """Accepts a recorded event once more for the candidate, as a canary: purpose `canary`, authority for nobody."""

    async def __call__(self, event: UUID, /) -> UUID:
        """The id of the new event.

        Raises:
            LookupError: the event, or what it was delivered with, is gone.
        """
        ...


class CanaryFailed(Exception):
    """The canary could not be tried; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CanaryRun:
    """One run of the candidate, for one repeated event."""

    id: UUID
    event: UUID
    authority: str
    finished: bool
    status: str | None
    error: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class CanaryEffect:
    """One thing that a canary's run did or would have done."""

    id: UUID
    shape: Shape
    writes: bool | None
    disposition: str | None
    seen_by: str
    attributed_by: str | None


@dataclass(frozen=True, slots=True)
class Canary:
    """What became of it."""

    began_at: datetime
    events: Mapping[UUID, UUID]
    """The repeated events -> what they were accepted as."""
    gone: tuple[UUID, ...] = ()
    """Events that can't be repeated any more."""
    runs: tuple[CanaryRun, ...] = ()
    effects: tuple[CanaryEffect, ...] = field(default=())

    @property
    def waiting(self) -> int:
        """How many events have no finished run."""
        return len(self.events) - len({run.event for run in self.runs if run.finished})

    @property
    def guarded(self) -> bool:
        """Whether the client package was at work in its runs: its headers were on a call."""
        return any(one.attributed_by == "headers" for one in self.effects)

    @property
    def leaked(self) -> list[CanaryEffect]:
        """Writes that the gateway passed on."""
        return [one for one in self.effects if one.disposition == "forward" and one.writes is not False]


async def fly(
    database: Database,
    task: str,
    events: Sequence[UUID],
    repeat: Repeat,
    *,
    began_at: datetime,
    settle: float,
    patience: float,
    progress: Callable[[str], None],
) -> Canary:
    """Repeat the events and wait until the candidate's runs have ended and settled, or patience is over.

    Raises:
        CanaryFailed: an event would have run with authority; nothing more was sent.
    """
    sent: dict[UUID, UUID] = {}
    gone = []
    for event in events:
        try:
            sent[event] = await repeat(event)
        except LookupError:
            gone.append(event)
    canary = Canary(began_at, sent, tuple(gone))
    if not sent:
        return canary
    await _require_no_authority(database, list(sent.values()))
    until = time.monotonic() + patience
    told = -1
    while True:
        canary = await _look(database, task, canary)
        if (done := len(sent) - canary.waiting) != told:
            told = done
            progress(f"{done} of {len(sent)} runs ended")
        if not canary.waiting:
            await asyncio.sleep(settle)  # what the last step did may arrive after its outcome
            return await _look(database, task, canary)
        if time.monotonic() >= until or canary.leaked:
            return canary
        await asyncio.sleep(_LOOK_SECONDS)


def judge_canary(canary: Canary, ledger: LegacyLedger, targets: Sequence[str], version: str | None) -> Part:
    """What the canary showed of what legacy does.

    Args:
        targets: those that the gateway stands before.
        version: of the candidate, that the proof is for.
    """
    wrong: list[str] = []
    todo: list[str] = []
    warnings: list[str] = []
    seen: dict[Shape, bool] = {}
    for effect in canary.effects:
        seen[effect.shape] = seen.get(effect.shape, False) or effect.seen_by != "report"
    for shape in sorted({one.shape for one in canary.leaked}):
        wrong.append(f"the gateway passed a write on: {shape}")
        todo.append("take the candidate's worker out of service, and look at the incidents")
    for run in canary.runs:
        if run.authority != "none":
            wrong.append(f"the run {run.id} had authority: it was no canary")
        if run.version is not None and version is not None and run.version != version:
            wrong.append(f"the run {run.id} was of version {run.version}, and the guard that reported is of {version}")
            todo.append("deploy one version, and try again")
        if run.finished and run.status != "completed":
            warnings.append(f"the run {run.id} ended {run.status}: {run.error or 'it did not say why'}")
    if canary.waiting:
        wrong.append(f"{canary.waiting} of {len(canary.events)} runs did not end in time")
        todo.append("see whether `shadow work` and the candidate's worker run, and give it longer with --patience")
    for shape in sorted({one.shape for one in canary.effects if one.disposition == "refuse" and one.writes}):
        wrong.append(f"a write was refused for want of an answer: {shape}")
        todo.append(f"declare a stub for it at the target {shape.target}")
    if not canary.events:
        wrong.append("no event could be repeated")
    lacking = missing(ledger.shapes, seen, targets)
    for shape_name in lacking:
        wrong.append(f"not shown: {shape_name}")
    if lacking:
        todo.append("correct the candidate, or wait for events that take that path; a canary shows what it is given")
    if canary.gone:
        warnings.append(f"{len(canary.gone)} events could not be repeated: their originals are gone")
    facts = {
        "events": [str(event) for event in canary.events.values()],
        "repeated": [str(event) for event in canary.events],
        "runs": [str(run.id) for run in canary.runs],
        "shapes": [str(shape) for shape in sorted(seen)],
        "missing": lacking,
        "dispositions": _counts(canary),
        "legacy_shapes": [str(one.shape) for one in ledger.shapes],
        "legacy_runs": ledger.runs,
        "since": ledger.since.isoformat(),
    }
    if wrong:
        return failed(*wrong, todo=list(dict.fromkeys(todo)), warnings=warnings, **facts)
    return passed(
        f"{len(canary.events)} repeated events showed all {len(ledger.shapes)} effect shapes of legacy's"
        f" {ledger.runs} runs since {ledger.since:%Y-%m-%d}",
        "no write was passed on",
        warnings=warnings,
        **facts,
    )


def _counts(canary: Canary) -> dict[str, int]:
    counts: dict[str, int] = {}
    for effect in canary.effects:
        if effect.disposition is not None:
            counts[effect.disposition] = counts.get(effect.disposition, 0) + 1
    return counts


async def _require_no_authority(database: Database, events: Sequence[UUID]) -> None:
    async with database.connection(Work.CONTROL) as connection:
        rows = await (await connection.execute(_EVENTS, (list(events),))).fetchall()
    for identifier, authority, purpose in rows:
        if authority is not None or purpose != "canary":
            raise CanaryFailed(
                f"the event {identifier} was accepted with authority {authority or 'none'} and purpose {purpose},"
                " expected none and canary: stop the candidate's worker before it runs"
            )


async def _look(database: Database, task: str, canary: Canary) -> Canary:
    events = list(canary.events.values())
    async with database.connection(Work.CONTROL) as connection:
        runs = await (await connection.execute(_RUNS, (events, task))).fetchall()
        named = {"runs": [run[0] for run in runs], "names": [run[7] for run in runs]}
        effects = await (await connection.execute(_EFFECTS, named)).fetchall()
    return Canary(
        canary.began_at,
        canary.events,
        canary.gone,
        tuple(
            CanaryRun(identifier, event, authority, state == "finished", status, error, version)
            for identifier, event, authority, state, status, error, version, _name in runs
        ),
        tuple(
            CanaryEffect(identifier, Shape(kind, target, operation), writes, disposition, seen_by, attributed)
            for identifier, kind, target, operation, writes, disposition, seen_by, attributed in effects
        ),
    )

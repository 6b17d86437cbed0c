"""Every pair that is a mismatch, and what explains it: a true difference has a cause among what was disturbed.

A worker that could not reach the gateway, a target that failed one side, a run that was repeated: then the sides really
did something else. Anything without such a cause is a false alarm, over which a gate would stay shut.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shadow.model.ids import time_of
from shadow.store.database import Database, Work

_PAIRS = b"SELECT id, task, legacy_run, candidate_run FROM pairs WHERE verdict = 'mismatch' ORDER BY id"
_DIFFERENCES = b"""
SELECT pair_id, signature, kind, path, sentence FROM differences WHERE pair_id = ANY(%s) ORDER BY pair_id, ordinal
"""
_RUNS = b"""
SELECT id, side, authority, status, error_name, error_message, attempts, started_at, finished_at FROM runs
WHERE id = ANY(%s)
"""
_EFFECTS = b"""
SELECT DISTINCT run.id, effect.sequence, attempt, target, operation, identity, disposition, effect.status, occurred_at
FROM runs AS run JOIN effects AS effect ON effect.run_id = run.id
  OR (effect.platform_run_id = run.platform_run_id AND effect.side = run.side)
WHERE run.id = ANY(%s) AND seen_by = 'gateway' ORDER BY effect.sequence
"""
_UNREACHED = re.compile(r"did not answer: (RemoteProtocol|Read|Connect|Write|Pool|Timeout|ReadTimeout|ConnectTimeout)")
_PASSES = frozenset({408, 425, 429})
_SLACK = timedelta(seconds=2)
"""Of clocks, and between the moment when something breaks and the one when that is noticed."""
_CLOSED = "answered 503"
_LOST = ("effect.missing", "effect.extra")
_REPORTED = ("$['effects']['event']", "$['effects']['sql']")
_SHOWN = 5
_NEVER = datetime.max.replace(tzinfo=UTC) - _SLACK
_NOTHING = "nothing explains it"


@dataclass(frozen=True, slots=True)
class Happened:
    """What was wrong, and when."""

    name: str
    since: datetime
    until: datetime

    def during(self, since: datetime, until: datetime) -> bool:
        return self.since - _SLACK <= until and self.until + _SLACK >= since


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the gateway saw."""

    attempt: int
    target: str
    operation: str
    identity: str | None
    disposition: str
    status: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A run of such a pair."""

    side: str
    authority: str
    status: str | None
    error_name: str | None
    error_message: str | None
    attempts: int | None
    started_at: datetime | None
    finished_at: datetime | None
    calls: Sequence[Call] = ()

    @property
    def was_repeated(self) -> bool:
        """Whether a later attempt did again what an earlier one had done."""
        made: defaultdict[tuple[str, str, str | None], set[int]] = defaultdict(set)
        for call in self.calls:
            made[call.target, call.operation, call.identity].add(call.attempt)
        return any(len(attempts) > 1 for attempts in made.values())

    @property
    def was_failed(self) -> bool:
        """Whether a target did not do what it was asked, or nobody knows whether it did."""
        return any(
            call.disposition == "forward" and (call.status is None or call.status in _PASSES or call.status >= 500)
            for call in self.calls
        )


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A pair whose runs differ."""

    pair: str
    task: str
    differences: Sequence[tuple[str, str, str, str]]
    """Signature, kind, path, sentence."""
    runs: Sequence[Run]
    accepted_at: datetime


def cause(mismatch: Mismatch, happened: Iterable[Happened], doors: Iterable[Happened]) -> str | None:
    """Why its runs truly did something else; None where nothing that was disturbed explains it.

    Args:
        happened: what was disturbed.
        doors: when a `serve` was not there.
    """
    happened, doors = list(happened), list(doors)
    for run in mismatch.runs:
        since, until = run.started_at or mismatch.accepted_at, run.finished_at or _NEVER
        names = {one.name for one in happened if one.during(since, until)}
        door_away = any(one.during(since, until) for one in doors)
        target_away = any(name.startswith("targets") for name in names)
        database_away = any(name.startswith("PostgreSQL") for name in names)  # a run may be told to come back then
        message = run.error_message or ""
        if door_away and _UNREACHED.search(message):
            return f"{run.side}'s worker could not reach the gateway"
        if (target_away or door_away) and run.was_failed:
            return f"a target failed {run.side} alone"
        if (target_away or door_away or database_away) and run.was_repeated:
            return f"{run.side} was repeated"
        if any("disk full" in name for name in names):
            if _CLOSED in message:
                return f"{run.side}'s calls could be recorded nowhere, and were not let through"
            if run.was_failed or run.was_repeated:
                return f"{run.side}'s calls could be recorded nowhere, and were not let through"
            if all(kind in _LOST and path.startswith(_REPORTED) for _id, kind, path, _sentence in mismatch.differences):
                return "a report that neither the database nor the disk took"
    return None


async def mismatches(database: Database) -> list[Mismatch]:
    """All of them."""
    async with database.connection(Work.CONTROL) as connection:
        pairs = await (await connection.execute(_PAIRS)).fetchall()
        runs = [run for *_pair, legacy, candidate in pairs for run in (legacy, candidate)]
        differences = await (await connection.execute(_DIFFERENCES, ([pair[0] for pair in pairs],))).fetchall()
        known = await (await connection.execute(_RUNS, (runs,))).fetchall()
        effects = await (await connection.execute(_EFFECTS, (runs,))).fetchall()
    calls: defaultdict[Any, list[Call]] = defaultdict(list)
    for run, _sequence, *call in effects:
        calls[run].append(Call(*call))
    made = {run: replace(Run(*columns), calls=calls[run]) for run, *columns in known}
    shown: defaultdict[Any, list[tuple[str, str, str, str]]] = defaultdict(list)
    for pair, signature, kind, path, sentence in differences:
        shown[pair].append((signature, kind, path, sentence))
    return [
        Mismatch(str(pair), task, shown[pair], [made[run] for run in (legacy, candidate) if run in made], time_of(pair))
        for pair, task, legacy, candidate in pairs
    ]


def accounted(found: Sequence[Mismatch], happened: Sequence[Happened], doors: Sequence[Happened]) -> dict[str, Any]:
    """The figures: how many of each signature and cause, and those that nothing explains."""
    causes = {mismatch.pair: cause(mismatch, happened, doors) for mismatch in found}
    signatures: Counter[tuple[str, str, str, str]] = Counter()
    examples: dict[str, str] = {}
    for mismatch in found:
        why = causes[mismatch.pair] or _NOTHING
        signatures.update({(mismatch.task, one[0], one[1], why) for one in mismatch.differences})
        examples.update({one[0]: one[3] for one in mismatch.differences})
    examples = {which: sentence[:200] for which, sentence in examples.items()}
    unexplained = [mismatch for mismatch in found if causes[mismatch.pair] is None]
    return {
        "mismatches_by_cause": dict(Counter(why or _NOTHING for why in causes.values()).most_common()),
        "mismatches_by_signature": [
            [number, *which, examples[which[1]]] for which, number in signatures.most_common(20)
        ],
        "unexplained": len(unexplained),
        "unexplained_pairs": [repr(mismatch)[:4000] for mismatch in unexplained[:_SHOWN]],
    }

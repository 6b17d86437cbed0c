"""Performances: in which order, at what moments and in how many attempts a run does what its script says.

All of this must not matter to the judge: steps side by side in any order, tries that a target did not take, reads and
keyed calls and whole rows that a later attempt does again, each run's own time.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.faults.script import Call, Deed, Emission, Row, Script
from benchmarks.faults.symbols import births

_BOOKS = "ledger_transactions"
_PAYERS = ("swiftpay", "bankwire")
_NOT_TAKEN = (503, 503, 429, 429, 408, 425)


@dataclass(frozen=True)
class Performed:
    """A deed, done at a moment."""

    deed: Deed
    at: datetime
    attempt: int


@dataclass
class Performance:
    """One run's doings in the order of time."""

    started_at: datetime
    finished_at: datetime
    done: list[Performed]
    attempts: int


def perform(script: Script, rng: random.Random, started_at: datetime, seconds: float, *, whole: bool) -> Performance:
    """Do what a script says.

    Args:
        seconds: how long the run takes.
        whole: whether a retry runs the task from its beginning (Trigger.dev), or one step (Inngest).
    """
    ordered = _ordered(script, rng)
    tried: list[tuple[Deed, int]]
    attempts = script.attempts
    stumbling = _stumbling(ordered, rng, whole) if script.attempts == 1 and rng.random() < 0.35 else []
    if stumbling:
        tried, attempts = _again(ordered, stumbling, rng, whole)
    else:
        tried = [(deed, deed.attempt) for deed in ordered]
    attempts = max([attempts, *(attempt for _deed, attempt in tried)])
    # Always within the run, and in order.
    moments = sorted(rng.random() for _ in tried)
    done = [
        Performed(deed, started_at + timedelta(seconds=seconds * share), attempt)
        for (deed, attempt), share in zip(tried, moments, strict=True)
    ]
    return Performance(started_at, started_at + timedelta(seconds=seconds), done, attempts)


def _ordered(script: Script, rng: random.Random) -> list[Deed]:
    """The deeds in an order in which they may be done: stage by stage, or any that keeps what has to be in order."""
    places = {id(deed): rng.random() for deed in script.deeds}
    if rng.random() < 0.6:
        return sorted(script.deeds, key=lambda deed: (deed.attempt, deed.stage, places[id(deed)]))
    bound: dict[object, list[Deed]] = {}
    for deed in script.deeds:
        if (tie := _tie(deed)) is not None:
            bound.setdefault(tie, []).append(deed)
    for deeds in bound.values():
        free = sorted(places[id(deed)] for deed in deeds)
        for deed, place in zip(sorted(deeds, key=lambda d: (d.stage, places[id(d)])), free, strict=True):
            places[id(deed)] = place
    return sorted(script.deeds, key=lambda deed: (deed.attempt, places[id(deed)]))


def _tie(deed: Deed) -> object:
    """What a deed has to keep its place among: the writes of one row, and money before the books."""
    if isinstance(deed, Row):
        return deed.table if deed.table == _BOOKS else (deed.table, str(deed.values.get("id")))
    return _BOOKS if isinstance(deed, Call) and deed.target in _PAYERS else None


def _stumbling(ordered: list[Deed], rng: random.Random, whole: bool) -> list[int]:
    """The places of calls that come to nothing at first."""
    if any(deed.attempt > 1 for deed in ordered):
        return []
    places = [
        place
        for place, deed in enumerate(ordered)
        if isinstance(deed, Call)
        and deed.status < 500
        and deed.status not in _NOT_TAKEN
        and (not whole or all(map(_repeatable, ordered[:place])))
    ]
    return sorted(rng.sample(places, min(len(places), rng.choice((1, 1, 1, 2, 3)))))


def _repeatable(deed: Deed) -> bool:
    """Whether doing it once more leaves the world as it is."""
    if isinstance(deed, Call):
        return deed.reads or deed.key is not None
    if isinstance(deed, Row):
        return deed.verb == "upsert" and not any(births(deed.values))
    return isinstance(deed, Emission)


def _again(
    ordered: list[Deed], stumbling: list[int], rng: random.Random, whole: bool
) -> tuple[list[tuple[Deed, int]], int]:
    """(deed, attempt) of all that is done, and how many attempts the run had."""
    if not whole:  # each step by itself
        tried: list[tuple[Deed, int]] = []
        for place, deed in enumerate(ordered):
            tries = rng.choice((1, 1, 2)) if place in stumbling else 0
            tried += [(_failed(deed, rng), attempt) for attempt in range(1, tries + 1)]
            tried.append((deed, tries + 1))
        return tried, 1
    tried, attempt = [], 1
    emitted: set[int] = set()
    for place in stumbling:
        tried += _done(ordered[:place], attempt, emitted)
        tried.append((_failed(ordered[place], rng), attempt))
        attempt += 1
    return [*tried, *_done(ordered, attempt, emitted)], attempt


def _done(deeds: list[Deed], attempt: int, emitted: set[int]) -> list[tuple[Deed, int]]:
    """An event that is emitted again under its key is no second one: the door knows it."""
    done = [(deed, attempt) for deed in deeds if not (isinstance(deed, Emission) and deed.number in emitted)]
    emitted.update(deed.number for deed in deeds if isinstance(deed, Emission))
    return done


def _failed(call: Deed, rng: random.Random) -> Call:
    assert isinstance(call, Call)
    failed = copy.copy(call)  # the same number: it is the same deed
    # With a key the provider can tell, so its answer may have been lost as well.
    failed.status = rng.choice((*_NOT_TAKEN, *((500, 502, 504) if call.key is not None or call.reads else ())))
    return failed

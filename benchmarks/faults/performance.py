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
    if script.attempts == 1 and rng.random() < 0.3 and (stumbling := _stumbling(ordered, rng, whole)) is not None:
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
    places = {id(deed): rng.random() for deed in script.deeds}
    return sorted(script.deeds, key=lambda deed: (deed.attempt, deed.stage, places[id(deed)]))


def _stumbling(ordered: list[Deed], rng: random.Random, whole: bool) -> int | None:
    """The place of a call that may come to nothing at first; None where there is none."""
    places = [
        place
        for place, deed in enumerate(ordered)
        if isinstance(deed, Call)
        and deed.status < 500
        and deed.status not in _NOT_TAKEN
        and all(other.attempt == 1 for other in ordered)
        and (not whole or all(map(_repeatable, ordered[:place])))
    ]
    return rng.choice(places) if places else None


def _repeatable(deed: Deed) -> bool:
    """Whether doing it once more leaves the world as it is."""
    if isinstance(deed, Call):
        return deed.reads or deed.key is not None
    if isinstance(deed, Row):
        return deed.verb == "upsert" and not any(births(deed.values))
    return isinstance(deed, Emission)


def _again(ordered: list[Deed], place: int, rng: random.Random, whole: bool) -> tuple[list[tuple[Deed, int]], int]:
    failing = ordered[place]
    assert isinstance(failing, Call)
    tries = rng.choice((1, 1, 2))
    before, after = ordered[:place], ordered[place + 1 :]
    tried: list[tuple[Deed, int]] = []
    for attempt in range(1, tries + 1):
        if whole or attempt == 1:
            # An event that is emitted again under its key is no second one: the door knows it.
            tried += [(deed, attempt) for deed in before if attempt == 1 or not isinstance(deed, Emission)]
        tried.append((_failed(failing, rng), attempt))
    last = tries + 1
    if whole:
        tried += [(deed, last) for deed in before if not isinstance(deed, Emission)]
    tried.append((failing, last))
    tried += [(deed, last if whole else 1) for deed in after]
    return tried, last if whole else 1


def _failed(call: Call, rng: random.Random) -> Call:
    failed = copy.copy(call)  # the same number: it is the same deed
    # With a key the provider can tell, so its answer may have been lost as well.
    failed.status = rng.choice((*_NOT_TAKEN, *((500, 502, 504) if call.key is not None or call.reads else ())))
    return failed

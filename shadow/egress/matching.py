"""Which of the twin's recorded calls is the counterpart of a call. Pure.

Calls correspond within one group: same task, target, operation and identity. A worker that is retried makes its
calls again, so the twin's n-th call of a group is that of the last attempt which got so far; and a call's place is
counted within its own attempt. Among those the one with the very same content is taken first, so that two parallel
calls that arrive in another order get their own answers; else the one in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Made:
    """A call of one group, as it was recorded. Sequences of them are in the order in which they were made."""

    id: UUID
    attempt: int
    digest: bytes | None
    """Of its content; None where the content was too long to be told."""
    status: int | None = None
    """Of its answer; None while there is none."""


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What matching found."""

    occurrence: Made | None
    """The twin's call in whose place this one stands; None: the twin has made fewer."""
    first: Made | None
    """The twin's first call of the group."""
    last: Made | None


def occurrences(twin: Sequence[Made]) -> list[Made]:
    """The twin's calls with its attempts collapsed: each place has the call of the last attempt that made it."""
    by_attempt: dict[int, list[Made]] = {}
    for call in twin:
        by_attempt.setdefault(call.attempt, []).append(call)
    places: list[Made] = []
    for attempt in sorted(by_attempt):
        calls = by_attempt[attempt]
        places[: len(calls)] = calls
    return places


def counterpart(twin: Sequence[Made], before: Sequence[Made], digest: bytes | None) -> Counterpart:
    """The counterpart of a call with that digest.

    Args:
        twin: all calls of the group that the twin made.
        before: those of the group that this run made before, within the same attempt.
    """
    places = occurrences(twin)
    taken: set[int] = set()
    for position, call in enumerate(before):
        if (place := _place(places, taken, position, call.digest)) is not None:
            taken.add(place)
    place = _place(places, taken, len(before), digest)
    return Counterpart(
        None if place is None else places[place],
        places[0] if places else None,
        places[-1] if places else None,
    )


def _place(places: Sequence[Made], taken: set[int], position: int, digest: bytes | None) -> int | None:
    free = [index for index in range(len(places)) if index not in taken]
    if digest is not None:
        for index in free:
            if places[index].digest == digest:
                return index
    if position in free:
        return position
    return free[0] if free else None

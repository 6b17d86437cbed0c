"""Attempts of a run collapsed into what the world saw.

Trigger.dev retries the whole run, Inngest a step. An effect performed again by a later attempt reached the
world once only if the provider could recognise it: same idempotency key. Anything else happened twice, except for
what changed nothing: a read, a try that the target itself says it did not take, one that the gateway refused, and a row
that is written again as it was. An error that leaves open whether the target did it (500, 502, 504 is what is recorded
when a write left and its answer was lost) says no such thing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

from comparators.canonical import JSON, canonical
from comparators.generated import HOLE, take_apart
from comparators.instant import moment_in_number
from comparators.normalise import Entry
from comparators.path import Parts
from comparators.shape import shape

_NOT_TAKEN = frozenset({408, 425, 429, 503})
"""Come again, for nothing was done."""
_WHOLE_ROWS = ("upsert ", "update ")
"""Operations that leave a row as they say, however often they are done. An insert makes one row more."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An effect that was done again and changed nothing more, and why it does not count."""

    entry: Entry
    instead: Entry
    """The one that counts."""
    reason: str


@dataclass(frozen=True, slots=True)
class Collapsed:
    """A ledger as the world saw it."""

    kept: tuple[Entry, ...]
    """In the ledger's order."""
    dropped: tuple[Dropped, ...] = ()


def collapse(entries: Sequence[Entry], known: Collection[str]) -> Collapsed:
    """The entries without those that were done again and changed nothing more.

    A key that is used again for another operation or other content collapses nothing: providers refuse
    or misread such a call, so it stays visible.
    """
    dropped: list[Dropped] = []
    first: dict[tuple[str, str, str, str, bytes], Entry] = {}
    kept: list[Entry] = []
    counted = _answered_at_last(entries, known, dropped)
    counted = _once(counted, lambda e: _read(e, known), "a read that was made again by a later attempt", dropped)
    counted = _once(counted, _row, "a later attempt wrote the row again as it was", dropped)
    for entry in sorted(_tried_at_last(counted, known, dropped), key=_by_attempt):
        if entry.idempotency_key is None:
            kept.append(entry)
            continue
        same = (*entry.group, entry.idempotency_key, shape(_timeless(entry.data), known))
        seen = first.setdefault(same, entry)
        if seen.attempt == entry.attempt:
            kept.append(entry)
        else:
            reason = f"attempt {entry.attempt} did it again under the idempotency key of attempt {seen.attempt}"
            dropped.append(Dropped(entry, seen, reason))
    return Collapsed(tuple(sorted(kept, key=lambda entry: entry.position)), tuple(dropped))


def _answered_at_last(entries: Sequence[Entry], known: Collection[str], dropped: list[Dropped]) -> Sequence[Entry]:
    """Without the calls that were refused and that a later attempt made again, with an answer.

    Of one attempt as many go as a later one made more: a call that was made twice is two, refused or not.
    """
    if not any(entry.effect.refused for entry in entries):
        return entries
    answered: dict[Hashable, dict[int, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if not entry.effect.refused:
            answered[_same(entry, known)][entry.attempt].append(entry)
    kept: list[Entry] = []
    told: Counter[Hashable] = Counter()
    for entry in entries:
        same = _same(entry, known)
        by_attempt = answered.get(same, {})
        later = max((calls for attempt, calls in by_attempt.items() if attempt > entry.attempt), key=len, default=[])
        place = len(by_attempt.get(entry.attempt, ())) + told[same, entry.attempt]
        if not entry.effect.refused or place >= len(later):
            kept.append(entry)
            continue
        told[same, entry.attempt] += 1
        dropped.append(
            Dropped(entry, later[place], f"it was refused, and attempt {later[place].attempt} made it again")
        )
    return kept


def _tried_at_last(entries: Sequence[Entry], known: Collection[str], dropped: list[Dropped]) -> Sequence[Entry]:
    """Without the calls that came to nothing and were made again: what came of it at last counts."""
    if not any(came_to_nothing(entry.data) for entry in entries):
        return entries
    kept: list[Entry] = []
    made_again: dict[Hashable, Entry] = {}
    for entry in sorted(entries, key=_by_attempt, reverse=True):
        same = _same(entry, known)
        keyed = (same, entry.idempotency_key)
        if _changed_nothing(entry):
            again = made_again.get(same)
            why = "it was answered {}: nothing was done, and it was called again"
        else:  # it may have been done: then the provider did it once only if it could tell
            tells = came_to_nothing(entry.data) and entry.idempotency_key is not None
            again = made_again.get(keyed) if tells else None
            why = "it was answered {}, and called again under the same idempotency key"
        if again is None:
            kept.append(entry)
        else:
            dropped.append(Dropped(entry, again, why.format(_status(entry.data))))
        made_again[same] = entry
        if _status(entry.data) not in _NOT_TAKEN:
            made_again[keyed] = entry
    return kept


def _once(
    entries: Sequence[Entry], same_of: Callable[[Entry], Hashable], reason: str, dropped: list[Dropped]
) -> Sequence[Entry]:
    """Without what a later attempt did again to no effect; as often as within one attempt, it stays.

    Args:
        same_of: what makes it the same; None for what this is not about.
    """
    if not any(entry.attempt > 1 for entry in entries):
        return entries
    sames = {entry: same for entry in entries if (same := same_of(entry)) is not None}
    counts: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for entry, same in sames.items():
        counts[same][entry.attempt] += 1
    left = {same: max(counted.values()) for same, counted in counts.items()}
    kept: list[Entry] = []
    last: dict[Hashable, Entry] = {}
    for entry in sorted(entries, key=_by_attempt, reverse=True):
        if entry in sames:
            same = sames[entry]
            if left[same] == 0:
                dropped.append(Dropped(entry, last[same], reason))
                continue
            left[same] -= 1
            last[same] = entry
        kept.append(entry)
    return kept


def _read(entry: Entry, known: Collection[str]) -> Hashable:
    return _same(entry, known) if entry.reads else None


def _row(entry: Entry) -> Hashable:
    """A row as it was left, but for the moments in it. Other ids are other rows."""
    if entry.kind != "sql" or entry.identity is None or not entry.spelled.startswith(_WHOLE_ROWS):
        return None
    return (entry.group, entry.identity, canonical(_timeless(entry.data)))


def _by_attempt(entry: Entry) -> tuple[int, int]:
    return entry.attempt, entry.position


def came_to_nothing(data: JSON) -> bool:
    """Whether a call was answered in a way that has it made again: what came of it is told by another, perhaps."""
    status = _status(data)
    return status is not None and (status >= 500 or status in _NOT_TAKEN)


def _changed_nothing(entry: Entry) -> bool:
    return _status(entry.data) in _NOT_TAKEN or (entry.reads and came_to_nothing(entry.data))


def _status(data: JSON) -> int | None:
    status = data.get("status") if isinstance(data, dict) else None
    return status if type(status) is int else None


def _same(entry: Entry, known: Collection[str]) -> Hashable:
    """What makes a call the same call, whatever it was answered. Of one order, another amount is another call."""
    data = entry.data
    if isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "status"}
    return (entry.group, entry.identity, shape(_timeless(data), known))


def _timeless(value: JSON, parts: Parts = ()) -> JSON:
    """A value without the moments in it: those of a run's own clock are others at every attempt."""
    if isinstance(value, dict):
        return {name: _timeless(member, (*parts, name)) for name, member in value.items()}
    if isinstance(value, list):
        return [_timeless(item, (*parts, index)) for index, item in enumerate(value)]
    if isinstance(value, str):
        return take_apart(value).filled(lambda token: HOLE if token.is_instant else token.text)
    if isinstance(value, int | float) and not isinstance(value, bool) and moment_in_number(value, parts) is not None:
        return HOLE
    return value

"""Attempts of a run collapsed into what the world saw.

Trigger.dev retries the whole run, Inngest a step. An effect performed again by a later attempt reached the
world once only if the provider could recognise it: same idempotency key. Anything else happened twice, except for
what changed nothing: a try that was turned away, and a read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable

from comparators.canonical import JSON
from comparators.normalise import Entry
from comparators.shape import shape

_TURNED_AWAY = frozenset({408, 425, 429})
"""Beside the server's errors: come again."""


def collapse(entries: list[Entry], known: Collection[str]) -> list[Entry]:
    """The entries without those that were done again and changed nothing more.

    A key that is used again for another operation or other content collapses nothing: providers refuse
    or misread such a call, so it stays visible.
    """
    first: dict[tuple[str, str, str, str, bytes], Entry] = {}
    kept: list[Entry] = []
    for entry in sorted(_tried_at_last(_read_at_last(entries, known), known), key=_by_attempt):
        if entry.idempotency_key is None:
            kept.append(entry)
            continue
        same = (*entry.group, entry.idempotency_key, shape(entry.data, known))
        seen = first.setdefault(same, entry)
        if seen.attempt == entry.attempt:
            kept.append(entry)
    return sorted(kept, key=lambda entry: entry.position)


def _tried_at_last(entries: list[Entry], known: Collection[str]) -> list[Entry]:
    """Without the calls that were turned away for a while and made again: what came of it at last counts."""
    if not any(_turned_away(entry.data) for entry in entries):
        return entries
    kept: list[Entry] = []
    made_again: set[Hashable] = set()
    for entry in sorted(entries, key=_by_attempt, reverse=True):
        same = _same(entry, known)
        if not _turned_away(entry.data) or same not in made_again:
            kept.append(entry)
        made_again.add(same)
    return kept


def _read_at_last(entries: list[Entry], known: Collection[str]) -> list[Entry]:
    """Without the reads that a later attempt made again; as often as within one attempt, they stay."""
    if not any(entry.reads and entry.attempt > 1 for entry in entries):
        return entries
    counts: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for entry in entries:
        if entry.reads:
            counts[_same(entry, known)][entry.attempt] += 1
    left = {same: max(counted.values()) for same, counted in counts.items()}
    kept: list[Entry] = []
    for entry in sorted(entries, key=_by_attempt, reverse=True):
        if entry.reads:
            same = _same(entry, known)
            if left[same] == 0:
                continue
            left[same] -= 1
        kept.append(entry)
    return kept


def _by_attempt(entry: Entry) -> tuple[int, int]:
    return entry.attempt, entry.position


def _turned_away(data: JSON) -> bool:
    status = data.get("status") if isinstance(data, dict) else None
    return type(status) is int and (status >= 500 or status in _TURNED_AWAY)


def _same(entry: Entry, known: Collection[str]) -> Hashable:
    """What makes a call the same call, whatever it was answered."""
    if entry.identity is not None:
        return (entry.group, entry.identity)
    data = entry.data
    if isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "status"}
    return (entry.group, shape(data, known))

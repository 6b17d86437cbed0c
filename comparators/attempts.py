"""Attempts of a run collapsed into what the world saw.

Trigger.dev retries the whole run, Inngest a step. An effect performed again by a later attempt reached the
world once only if the provider could recognise it: same idempotency key. Anything else happened twice.
"""

from __future__ import annotations

from collections.abc import Collection

from comparators.normalise import Entry
from comparators.shape import shape


def collapse(entries: list[Entry], known: Collection[str]) -> list[Entry]:
    """The entries without those a later attempt repeated under the same idempotency key.

    A key that is used again for another operation or other content collapses nothing: providers refuse
    or misread such a call, so it stays visible.
    """
    first: dict[tuple[str, str, str, str, bytes], Entry] = {}
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.attempt, entry.position)):
        if entry.idempotency_key is None:
            kept.append(entry)
            continue
        same = (*entry.group, entry.idempotency_key, shape(entry.data, known))
        seen = first.setdefault(same, entry)
        if seen.attempt == entry.attempt:
            kept.append(entry)
    return sorted(kept, key=lambda entry: entry.position)

"""Emitted events: their data, and when they take effect.

What a platform or an SDK adds around the data (the event's id, the version of its form) is its own matter; that an
event is told apart from its repetitions says the effect's idempotency key.
"""

from __future__ import annotations

from comparators.canonical import JSON
from comparators.kinds.instants import instant

_ENVELOPE = frozenset({"name", "data", "id", "ts", "user", "v", "scheduledFor", "idempotencyKey"})
_ADDED = frozenset({"id", "v", "idempotencyKey"})
_MOMENTS = ("scheduledFor", "schedule", "delayUntil")


def emitted(value: JSON) -> JSON:
    """An event in its normal notation: its data, or all of it as an SDK sends it."""
    if not isinstance(value, dict):
        return value
    told = dict(value)
    if isinstance(value.get("data"), dict) and isinstance(value.get("name"), str) and value.keys() <= _ENVELOPE:
        told = {name: held for name, held in value.items() if name not in _ADDED}
    for name in _MOMENTS:
        if isinstance(moment := told.get(name), str):
            told[name] = instant(moment)
    return told

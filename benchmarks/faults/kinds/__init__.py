"""The kinds of faults, by what they are about. Importing this registers them all."""

from __future__ import annotations

from benchmarks.faults.kinds import (
    endings,
    events,
    fields,
    identities,
    money,
    order,
    people,
    presence,
    texts,
    times,
)

__all__ = ["endings", "events", "fields", "identities", "money", "order", "people", "presence", "texts", "times"]

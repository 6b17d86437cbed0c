"""The diff of two aligned values: what differs, where, and how.

DeepDiff finds the differences. Its defaults would hide some: members whose names begin with two underscores
are skipped, objects with few common members are reported as a whole, and `ignore_order` takes a repeated item
for one. Arrays reach it as mappings (see `align`), so that nothing is left to its own pairing of items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from deepdiff import DeepDiff

from comparators.align import Aligned, Items, part, restored, same_layout
from comparators.canonical import JSON
from comparators.path import Parts


class How(StrEnum):
    """In what way a value differs."""

    changed = "changed"
    retyped = "type_changed"
    dropped = "field_dropped"
    """The candidate lacks the member or item."""
    added = "field_added"
    """Only the candidate has the member or item."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference within two values."""

    how: How
    parts: Parts
    legacy: JSON
    candidate: JSON


_REPORTED = {
    "values_changed": How.changed,
    "type_changes": How.retyped,
    "dictionary_item_removed": How.dropped,
    "dictionary_item_added": How.added,
}


def changes(legacy: Aligned, candidate: Aligned) -> Iterator[Change]:
    """All differences of two values that were laid out alike, in no particular order."""
    found = DeepDiff(
        *_differing(legacy, candidate),
        view="tree",
        ignore_private_variables=False,
        threshold_to_diff_deeper=0,
    )
    for reported, levels in found.items():
        how = _REPORTED[reported]
        for level in levels:
            parts = tuple(part(label) for label in level.path(output_format="list"))
            mine = None if how is How.added else restored(level.t1)
            theirs = None if how is How.dropped else restored(level.t2)
            if how is How.retyped and type_name(mine) == type_name(theirs):
                # An integer against a fraction: to JSON both are numbers.
                how_here = How.changed
            else:
                how_here = how
            yield Change(how_here, parts, mine, theirs)


def _differing(legacy: Aligned, candidate: Aligned) -> tuple[Aligned, Aligned]:
    """Both values without the members and items that are equal: DeepDiff takes long to find nothing."""
    if not isinstance(legacy, dict) or not isinstance(candidate, dict) or type(legacy) is not type(candidate):
        return legacy, candidate
    mine: Items | dict[str, Aligned] = Items() if isinstance(legacy, Items) else {}
    theirs: Items | dict[str, Aligned] = Items() if isinstance(legacy, Items) else {}
    for label, member in legacy.items():
        if label not in candidate:
            mine[label] = member  # type: ignore[index]  # a label of its own
        elif not same_layout(member, other := candidate[label]):  # type: ignore[index]  # both are of one type
            mine[label], theirs[label] = _differing(member, other)  # type: ignore[index]  # as above
    theirs.update((label, member) for label, member in candidate.items() if label not in legacy)  # type: ignore[misc]
    return mine, theirs


def type_name(value: JSON) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"

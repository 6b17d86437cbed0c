"""Patches: a difference for machines, as RFC 6902 JSON Patch.

Made from values that are laid out alike, so that an item more in an array is one `add` and not a rewriting of all that
follows. Every patch is applied to legacy's value before it is handed out; one that would not yield the candidate's is
replaced by the candidate's value as a whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

import jsonpatch

from comparators.align import Aligned, Items, restored
from comparators.canonical import JSON, same

Operation: TypeAlias = dict[str, JSON]
"""`{"op": "add"|"remove"|"replace", "path": a JSON Pointer, "value": ...}`."""


def patch(legacy: Aligned, candidate: Aligned) -> list[Operation]:
    """The operations that turn legacy's value into the candidate's."""
    mine, theirs = restored(legacy), restored(candidate)
    made = list(_operations(legacy, candidate, ""))
    return made if _yields(mine, theirs, made) else [_replace("", theirs)]


def patched(value: JSON, operations: Sequence[Operation]) -> JSON:
    """The value with the operations applied.

    Raises:
        ValueError: they don't fit the value.
    """
    try:
        return cast(JSON, jsonpatch.apply_patch(copy.deepcopy(value), list(operations)))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise ValueError(f"the patch does not fit: {error}") from error


def _yields(legacy: JSON, candidate: JSON, operations: Sequence[Operation]) -> bool:
    try:
        return same(patched(legacy, operations), candidate)
    except ValueError:
        return False


def _operations(legacy: Aligned, candidate: Aligned, pointer: str) -> Iterator[Operation]:
    if isinstance(legacy, Items) and isinstance(candidate, Items):
        yield from _of_items(legacy, candidate, pointer)
    elif isinstance(legacy, dict) and isinstance(candidate, dict) and type(legacy) is type(candidate):
        for name, member in legacy.items():
            place = f"{pointer}/{_escaped(str(name))}"
            if name in candidate:
                yield from _operations(member, candidate[name], place)  # type: ignore[index]  # both are objects
            else:
                yield {"op": "remove", "path": place}
        for name, member in candidate.items():
            if name not in legacy:
                yield {"op": "add", "path": f"{pointer}/{_escaped(str(name))}", "value": restored(member)}
    elif type(legacy) is not type(candidate) or legacy != candidate:
        yield _replace(pointer, restored(candidate))


def _of_items(legacy: Items, candidate: Items, pointer: str) -> Iterator[Operation]:
    """First what changed within items, while all of legacy's are in place; then removals from the end; then additions
    from the beginning. Places are those in both arrays as laid out."""
    places = {label: place for place, label in enumerate(legacy)}
    for label, place in places.items():
        if label in candidate:
            yield from _operations(legacy[label], candidate[label], f"{pointer}/{place}")
    for label, place in reversed(places.items()):
        if label not in candidate:
            yield {"op": "remove", "path": f"{pointer}/{place}"}
    for place, label in enumerate(candidate):
        if label not in legacy:
            yield {"op": "add", "path": f"{pointer}/{place}", "value": restored(candidate[label])}


def _replace(pointer: str, value: JSON) -> Operation:
    return {"op": "replace", "path": pointer, "value": value}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

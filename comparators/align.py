"""Alignment: two JSON values laid out so that what belongs together stands at the same place.

Arrays become mappings from (legacy index, candidate index) to item. Equal beginnings and ends are aligned
first, so one item more or less in an array is one difference; ignored parts are left out. The layout does not
depend on which side is called legacy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import TypeAlias

from comparators.canonical import JSON, canonical
from comparators.path import Parts
from comparators.protected import is_protected

Label: TypeAlias = "tuple[int | None, int | None]"
ItemKey: TypeAlias = Callable[[JSON], Hashable]
"""What identifies an item of an array whose order does not matter; None: its content."""
NOWHERE: Mapping[Parts, ItemKey | None] = MappingProxyType({})
Aligned: TypeAlias = "bool | int | float | str | Items | dict[str, Aligned] | None"


class Items(dict[Label, "Aligned"]):
    """The items of an array by their indexes on both sides; None on the side that lacks the item."""


def align(
    legacy: JSON,
    candidate: JSON,
    shape_of: Callable[[JSON], bytes],
    unordered: Mapping[Parts, ItemKey | None] = NOWHERE,
    parts: Parts = (),
) -> tuple[Aligned, Aligned]:
    """Both values laid out alike.

    Args:
        shape_of: tells which items of arrays of different length, or without order, correspond.
        unordered: arrays (by their place in legacy's value) whose order does not matter, and what identifies an item.
    """
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        mine: dict[str, Aligned] = {}
        theirs: dict[str, Aligned] = {}
        for name in sorted(legacy.keys() | candidate.keys()):
            if name in legacy and name in candidate:
                mine[name], theirs[name] = align(legacy[name], candidate[name], shape_of, unordered, (*parts, name))
            elif name in legacy:
                mine[name] = _alone(legacy[name])
            else:
                theirs[name] = _alone(candidate[name])
        return mine, theirs
    if isinstance(legacy, list) and isinstance(candidate, list):
        mine_items, their_items = Items(), Items()
        if parts in unordered:
            labels = _by_key(legacy, candidate, unordered[parts] or canonical, shape_of)
        else:
            labels = _labels(legacy, candidate, shape_of)
        for i, j in labels:
            if i is not None and j is not None:
                mine_items[i, j], their_items[i, j] = align(legacy[i], candidate[j], shape_of, unordered, (*parts, i))
            elif i is not None:
                mine_items[i, j] = _alone(legacy[i])
            elif j is not None:
                their_items[i, j] = _alone(candidate[j])
        return mine_items, their_items
    return _alone(legacy), _alone(candidate)


def same_layout(legacy: Aligned, candidate: Aligned) -> bool:
    """Strict equality: Python alone would take True for 1, and an empty array for an empty object."""
    if type(legacy) is not type(candidate):
        return False
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        return legacy.keys() == candidate.keys() and all(
            same_layout(member, candidate[name])  # type: ignore[index]  # same kind of mapping
            for name, member in legacy.items()
        )
    return legacy == candidate


def restored(value: Aligned) -> JSON:
    """The JSON value that an aligned value stands for."""
    if isinstance(value, Items):
        return [restored(item) for item in value.values()]
    if isinstance(value, dict):
        return {str(name): restored(member) for name, member in value.items()}
    return value


def part(label: str | Label) -> str | int:
    """The path part for a member name or an item's label: legacy's index, where legacy has the item."""
    if isinstance(label, str):
        return label
    mine, theirs = label
    return mine if mine is not None else theirs or 0


def pruned(value: JSON, ignored: Collection[Parts], spoken_of: Collection[Parts] = ()) -> JSON:
    """The value without the ignored nodes; protected values below them stay, and so do those that are `spoken_of`."""
    if not ignored:
        return value
    rest = _rest(value, (), ignored, spoken_of, within=False)
    return None if isinstance(rest, _Absent) else rest


class _Absent:
    """What is left of a node that is ignored as a whole."""


_ABSENT = _Absent()


def _rest(
    value: JSON, parts: Parts, ignored: Collection[Parts], spoken_of: Collection[Parts], *, within: bool
) -> JSON | _Absent:
    within = parts in ignored or (within and parts not in spoken_of)
    if isinstance(value, dict):
        kept: dict[str, JSON] = {}
        for name, member in value.items():
            rest = _rest(member, (*parts, name), ignored, spoken_of, within=within)
            if not isinstance(rest, _Absent):
                kept[name] = rest
        return kept if kept or not within else _ABSENT
    if isinstance(value, list):
        rests = [_rest(item, (*parts, index), ignored, spoken_of, within=within) for index, item in enumerate(value)]
        if within and all(isinstance(rest, _Absent) for rest in rests):
            return _ABSENT
        return [None if isinstance(rest, _Absent) else rest for rest in rests]
    return _ABSENT if within and not is_protected(parts) else value


def _alone(value: JSON) -> Aligned:
    if isinstance(value, list):
        return Items({(index, index): _alone(item) for index, item in enumerate(value)})
    if isinstance(value, dict):
        return {name: _alone(member) for name, member in value.items()}
    return value


def _by_key(
    legacy: list[JSON], candidate: list[JSON], key: Callable[[JSON], Hashable], shape_of: Callable[[JSON], bytes]
) -> list[Label]:
    """Items of equal keys go together, then items of equal shapes; the rest two by two as they come."""
    labels: list[Label] = []
    mine, theirs = list(range(len(legacy))), list(range(len(candidate)))
    for by in (key, shape_of):
        waiting: dict[Hashable, list[int]] = {}
        for j in theirs:
            waiting.setdefault(by(candidate[j]), []).append(j)
        left = []
        for i in mine:
            if found := waiting.get(by(legacy[i])):
                labels.append((i, found.pop(0)))
            else:
                left.append(i)
        mine, theirs = left, sorted(j for found in waiting.values() for j in found)
    labels += zip_longest(mine, theirs)
    return sorted(labels, key=lambda label: (label[0] is None, label[0] or 0, label[1] or 0))


def _labels(legacy: list[JSON], candidate: list[JSON], shape_of: Callable[[JSON], bytes]) -> list[Label]:
    shorter = min(len(legacy), len(candidate))
    if len(legacy) == len(candidate):
        return [(index, index) for index in range(shorter)]
    mine, theirs = [shape_of(item) for item in legacy], [shape_of(item) for item in candidate]
    start = 0
    while start < shorter and mine[start] == theirs[start]:
        start += 1
    end = 0
    while end < shorter - start and mine[-1 - end] == theirs[-1 - end]:
        end += 1
    # Between the equal ends the items go two by two, and what the longer side has more comes last.
    middle = shorter - end
    labels: list[Label] = [(index, index) for index in range(middle)]
    labels += [(index, None) for index in range(middle, len(legacy) - end)]
    labels += [(None, index) for index in range(middle, len(candidate) - end)]
    labels += [(len(legacy) - back, len(candidate) - back) for back in range(end, 0, -1)]
    return labels

"""Alignment: two JSON values laid out so that what belongs together stands at the same place.

Arrays become mappings from (legacy index, candidate index) to item. Of arrays of different length a longest common
subsequence stands together, so one item more or less is one difference; ignored parts are left out. The layout does
not depend on which side is called legacy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import TypeAlias

from comparators.assignment import assign
from comparators.canonical import JSON, canonical
from comparators.path import Parts
from comparators.protected import is_protected
from comparators.shape import leaves

Label: TypeAlias = "tuple[int | None, int | None]"
ItemKey: TypeAlias = Callable[[JSON], Hashable]
"""What identifies an item of an array whose order does not matter; None: its content."""
_LARGEST = 250_000
"""Cells of the table beyond which only items that are there once are looked at between the equal ends of two arrays."""
_FEW = 2
"""Items that differ in their places and need no better explanation than that."""
_SCALARS = frozenset({str, int, float, bool, type(None)})
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
    tied: Callable[[JSON], bytes] | None = None,
    moves: bool = False,
) -> tuple[Aligned, Aligned]:
    """Both values laid out alike.

    Args:
        shape_of: tells which items of arrays of different length, or without order, correspond.
        unordered: arrays (by their place in legacy's value) whose order does not matter, and what identifies an item.
        tied: the same as `shape_of`, with what is known already of which ids are the same thing.
        moves: whether items of arrays of equal length may have moved, where one came and another went.
    """
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        mine: dict[str, Aligned] = {}
        theirs: dict[str, Aligned] = {}
        for name in sorted(legacy.keys() | candidate.keys()):
            if name in legacy and name in candidate:
                one, other = legacy[name], candidate[name]
                if isinstance(one, dict | list) and isinstance(other, dict | list):
                    mine[name], theirs[name] = align(one, other, shape_of, unordered, (*parts, name), tied, moves)
                else:
                    mine[name], theirs[name] = alone(one), alone(other)
            elif name in legacy:
                mine[name] = alone(legacy[name])
            else:
                theirs[name] = alone(candidate[name])
        return mine, theirs
    if isinstance(legacy, list) and isinstance(candidate, list):
        mine_items, their_items = Items(), Items()
        if parts in unordered:
            labels = _by_key(legacy, candidate, unordered[parts] or canonical, tied or shape_of, shape_of)
        else:
            labels = _labels(legacy, candidate, shape_of, moves=moves)
        for i, j in labels:
            if i is not None and j is not None:
                mine_items[i, j], their_items[i, j] = align(
                    legacy[i], candidate[j], shape_of, unordered, (*parts, i), tied, moves
                )
            elif i is not None:
                mine_items[i, j] = alone(legacy[i])
            elif j is not None:
                their_items[i, j] = alone(candidate[j])
        return mine_items, their_items
    return alone(legacy), alone(candidate)


def same_layout(legacy: Aligned, candidate: Aligned) -> bool:
    """Strict equality: Python alone would take True for 1, and an empty array for an empty object."""
    if legacy is candidate:
        return True
    if type(legacy) is not type(candidate):
        return False
    if not isinstance(legacy, dict) or not isinstance(candidate, dict):
        return legacy == candidate
    if len(legacy) != len(candidate):
        return False
    for name, member in legacy.items():
        if name not in candidate:
            return False
        other = candidate[name]  # type: ignore[index]  # same kind of mapping
        if member is not other and not same_layout(member, other):
            return False
    return True


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


def alone(value: JSON) -> Aligned:
    """A value laid out by itself: as it is beside its like, or beside nothing."""
    if type(value) in _SCALARS:
        return value  # type: ignore[return-value]  # neither array nor object
    if isinstance(value, list):
        return Items({(index, index): alone(item) for index, item in enumerate(value)})
    if isinstance(value, dict):
        return {name: alone(member) for name, member in value.items()}
    return value


def _by_key(
    legacy: list[JSON],
    candidate: list[JSON],
    key: Callable[[JSON], Hashable],
    tied: Callable[[JSON], Hashable],
    shape_of: Callable[[JSON], bytes],
) -> list[Label]:
    """Items of equal keys go together, then those that say the same but for ids, first where these are tied; the rest
    so that all of it is as alike as can be."""
    labels: list[Label] = []
    mine, theirs = list(range(len(legacy))), list(range(len(candidate)))
    for by in (key, tied, shape_of):
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
    labels += _likest(legacy, candidate, mine, theirs)
    return sorted(labels, key=lambda label: (label[0] is None, label[0] or 0, label[1] or 0))


def _likest(legacy: list[JSON], candidate: list[JSON], mine: list[int], theirs: list[int]) -> list[Label]:
    """Two by two of what is left of either array, and each that has no counterpart."""
    ours = sorted((canonical(legacy[i]), i) for i in mine)
    others = sorted((canonical(candidate[j]), j) for j in theirs)
    swapped = [said for said, _ in ours] > [said for said, _ in others]
    mine_said = [_said(legacy[i]) for _, i in ours]
    their_said = [_said(candidate[j]) for _, j in others]
    # Among equally good choices it must not matter which side is called legacy.
    couples = assign(their_said, mine_said) if swapped else assign(mine_said, their_said)
    found = [(ours[b][1], others[a][1]) if swapped else (ours[a][1], others[b][1]) for a, b in couples]
    labels: list[Label] = list(found)
    labels += [(i, None) for i in mine if i not in {i for i, _ in found}]
    labels += [(None, j) for j in theirs if j not in {j for _, j in found}]
    return labels


def _said(item: JSON) -> dict[Hashable, int]:
    return {(parts, canonical(leaf)): 1 for parts, leaf in leaves(item)}


def may_have_moved(value: JSON) -> bool:
    """Whether there is an array in it of which items may have moved."""
    if isinstance(value, list):
        return len(value) > _FEW or any(may_have_moved(item) for item in value)
    return isinstance(value, dict) and any(may_have_moved(member) for member in value.values())


def _labels(
    legacy: list[JSON], candidate: list[JSON], shape_of: Callable[[JSON], bytes], *, moves: bool
) -> list[Label]:
    shorter = min(len(legacy), len(candidate))
    in_place: list[Label] = [(index, index) for index in range(shorter)]
    equally_long = len(legacy) == len(candidate)
    if equally_long and (not moves or shorter <= _FEW):
        return in_place
    mine, theirs = [shape_of(item) for item in legacy], [shape_of(item) for item in candidate]
    other = sum(a != b for a, b in zip(mine, theirs, strict=False))
    if equally_long and other <= _FEW:
        return in_place
    labels = _in_sequence(mine, theirs)
    if equally_long and 2 * sum(i is None or j is None or mine[i] != theirs[j] for i, j in labels) >= other:
        return in_place
    return labels


def _in_sequence(mine: Sequence[bytes], theirs: Sequence[bytes]) -> list[Label]:
    """Items of equal shape stand together, as many as can without changing the order."""
    shorter = min(len(mine), len(theirs))
    start = 0
    while start < shorter and mine[start] == theirs[start]:
        start += 1
    end = 0
    while end < shorter - start and mine[-1 - end] == theirs[-1 - end]:
        end += 1
    labels: list[Label] = [(index, index) for index in range(start)]
    anchors = _common(mine[start : len(mine) - end], theirs[start : len(theirs) - end])
    i = j = start
    for a, b in [*((start + a, start + b) for a, b in anchors), (len(mine) - end, len(theirs) - end)]:
        # Between two items that are there on both sides the others go two by two; the longer side has more.
        labels += zip_longest(range(i, a), range(j, b))
        labels.append((a, b))
        i, j = a + 1, b + 1
    labels.pop()
    labels += [(len(mine) - back, len(theirs) - back) for back in range(end, 0, -1)]
    return labels


def _common(mine: Sequence[bytes], theirs: Sequence[bytes]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence, the same whichever comes first. Where looking for it would take too long,
    it is one of those items that are there once on both sides."""
    if not mine or not theirs:
        return []
    if list(mine) > list(theirs):
        return [(i, j) for j, i in _common(theirs, mine)]
    if len(mine) * len(theirs) > _LARGEST:
        return _common_of_unique(mine, theirs)
    longest = [[0] * (len(theirs) + 1) for _ in range(len(mine) + 1)]
    for i in range(len(mine) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            if mine[i] == theirs[j]:
                longest[i][j] = longest[i + 1][j + 1] + 1
            else:
                longest[i][j] = max(longest[i + 1][j], longest[i][j + 1])
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        if mine[i] == theirs[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _common_of_unique(mine: Sequence[bytes], theirs: Sequence[bytes]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence of the items that are there once on both sides."""
    here, there = Counter(mine), Counter(theirs)
    places = {item: j for j, item in enumerate(theirs) if there[item] == 1}
    couples = [(i, places[item]) for i, item in enumerate(mine) if here[item] == 1 and item in places]
    # A longest rising subsequence: of each length the couple with the smallest end, and what came before it.
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for number, (_, j) in enumerate(couples):
        length = bisect_left(ends, j)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [j]
        last[length : length + 1] = [number]
    found: list[tuple[int, int]] = []
    end = last[-1] if last else None
    while end is not None:
        found.append(couples[end])
        end = before[end]
    return found[::-1]

"""Assignment: which of these goes with which of those, so that all of them together are as alike as can be.

A greedy choice takes the likest couple first and leaves the others what remains; `linear_sum_assignment` finds the
choice that is best as a whole. What has nothing in common is not put together at all.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

_LARGEST = 1_000_000
"""Cells of the table of costs beyond which things are put together in their order."""
_FEW = 2
"""Features up to which two things may go together although they share none: there is too little to tell."""

Features: TypeAlias = Mapping[Hashable, int]
"""What a thing says, and how much each of it weighs: the same feature weighs the same everywhere."""


def assign(mine: Sequence[Features], theirs: Sequence[Features]) -> list[tuple[int, int]]:
    """Index couples of the cheapest assignment: what both say is free, what only one says costs its weight.

    Among equally good ones the answer depends on the order of both sequences and on which of them comes first.
    """
    if not mine or not theirs:
        return []
    if len(mine) == len(theirs) == 1:
        together = min(len(mine[0]), len(theirs[0])) <= _FEW or not mine[0].keys().isdisjoint(theirs[0].keys())
        return [(0, 0)] if together else []
    if len(mine) * len(theirs) > _LARGEST:
        return list(zip(range(len(mine)), range(len(theirs)), strict=False))
    return _cheapest(mine, theirs)


def _cheapest(mine: Sequence[Features], theirs: Sequence[Features]) -> list[tuple[int, int]]:
    # Most pairs never come here, and importing takes a third of a second, which commands would wait for.
    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import csr_array

    columns: dict[Hashable, int] = {}
    for things in (mine, theirs):
        for features in things:
            for feature in features:
                columns.setdefault(feature, len(columns))

    def table(things: Sequence[Features], *, weighed: bool) -> csr_array:
        values = [weight if weighed else 1 for features in things for weight in features.values()]
        rows = [row for row, features in enumerate(things) for _ in features]
        where = [columns[feature] for features in things for feature in features]
        return csr_array((values, (rows, where)), shape=(len(things), len(columns)), dtype=np.int64)

    shared = (table(mine, weighed=True) @ table(theirs, weighed=False).T).toarray()
    weights = [np.array([sum(features.values()) for features in things]) for things in (mine, theirs)]
    sizes = [np.array([len(features) for features in things]) for things in (mine, theirs)]
    cost = np.add.outer(*weights) - 2 * shared
    apart = (shared == 0) & (np.minimum.outer(*sizes) > _FEW)
    # So dear that as few such couples as possible are chosen; those that are, are taken apart again.
    cost[apart] = (cost.max() + 1) * min(cost.shape)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(cost), strict=True) if not apart[i, j]]

"""The order in which pairs are counted: that of their start, up to the oldest unresolved one. Pure.

A match is known soon, a miss only at its deadline. Counted as verdicts come, the pairs counted so far are always the
better ones, and a gate opens falsely most of the time. So whether a pair is the next to be counted must not depend on
its verdict: it is the oldest that was not counted yet, and while that is unresolved, nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

UNDER_WAY = timedelta(seconds=5)
"""How long a transaction that accepts an event may take to become visible: nothing that started later is counted."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """How far one may count, whatever has its verdict."""

    now: datetime
    unopened: datetime | None = None
    """The start of the oldest event whose pairs are not there yet."""

    @property
    def before(self) -> datetime:
        """Pairs that start from then on wait."""
        visible = self.now - UNDER_WAY
        return visible if self.unopened is None else min(visible, self.unopened)


def countable(resolved: NDArray[np.bool_]) -> NDArray[np.intp]:
    """How many pairs may be counted, of pairs in the order of their start that are resolved or not: those before the
    first that is not.

    Args:
        resolved: the last axis is that of the pairs; there may be others, for many sequences at once.
    """
    if resolved.shape[-1] == 0:
        return np.zeros(resolved.shape[:-1], np.intp)
    counted: NDArray[np.intp] = np.where(resolved.all(axis=-1), resolved.shape[-1], np.argmin(resolved, axis=-1))
    return counted

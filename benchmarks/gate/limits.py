"""The statistic as a table: after n pairs, with how many mismatches it is open. By the engine's own process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shadow.gate.process import log_e_above_path, pairs_to_open, threshold


def most_mismatches(pairs: int, budget: float, alpha: float) -> NDArray[np.int16]:
    """For n = 0 ... pairs: with how many mismatches at most E reaches 1 / alpha; -1: with none.

    E grows with every clean pair, so that it is reached from a certain n on for each number of mismatches.
    """
    limits = np.full(pairs + 1, -1, np.int16)
    mismatches = 0
    while (needed := mismatches + pairs_to_open(mismatches, mismatches, budget, alpha)) <= pairs:
        limits[needed:] = mismatches
        mismatches += 1
    return limits


def fewest_mismatches(pairs: int, budget: float, alpha: float) -> NDArray[np.int16]:
    """For n = 0 ... pairs: from how many mismatches on the opposite process reaches 1 / alpha; n + 1: from none."""
    n = np.arange(pairs + 1)
    low, high = np.full(pairs + 1, -1), n + 1  # not enough, enough
    while np.any(high - low > 1):
        middle = np.minimum((low + high) // 2, n)
        enough = (log_e_above_path(n, np.maximum(middle, 0), budget) >= threshold(alpha)) & (middle > low)
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.maximum(low, middle))
        stuck = (high - low > 1) & (middle == n) & ~enough
        low = np.where(stuck, high - 1, low)
    return high.astype(np.int16)

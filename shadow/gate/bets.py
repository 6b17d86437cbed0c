"""Bounds on a mean that hold however often one looks, by betting. Pure.

Values d_1, d_2, ... lie between `low` and `high`. Against the hypothesis "their mean is m or more" somebody stakes a
fixed share of what he owns on each: his wealth is the product of 1 + s (m - d_i) / (high - m) for a share s in (0, 1].
If the hypothesis holds, no factor has an expectation above 1, so the wealth is a test supermartingale, and so is every
mixture over shares; by Ville's inequality it ever reaches 1 / alpha with probability alpha at most. The values of m
that are not refuted form a confidence sequence: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random
variables by betting", Journal of the Royal Statistical Society B 86 (2024), theorem 1 and section 4, here with fixed
bets mixed over a grid rather than predictable ones. The wealth then depends on how often each value came and not on the
order, so that counts are all that need be kept, and a pair that is judged again is simply counted differently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

_WHOLE = 0.5
"""The weight of the share 1: whoever never loses then needs little more than a test of fixed size would."""
_SHARES: Sequence[tuple[float, float]] = (
    (1.0, _WHOLE),
    *((2.0**-step, (1 - _WHOLE) / 10) for step in range(1, 11)),
)
"""(share, weight)."""
_EXACT = 1e-4
"""So near a limit is told; what is decided is decided by the wealth itself."""
_LARGEST = 690.0
"""Of logarithms: beyond it nobody cares, and e to its power is still a float."""


def log_wealth_below(counts: Mapping[float, int], mean: float, high: float) -> float:
    """The logarithm of the wealth against "the mean is `mean` or more": large when it is shown to be less.

    Args:
        counts: value -> how often it came; none is above `high`.
        mean: below `high`.
    """
    return _mixture([(mean - value) / (high - mean) for value in counts], list(counts.values()))


def log_wealth_above(counts: Mapping[float, int], mean: float, low: float) -> float:
    """The logarithm of the wealth against "the mean is `mean` or less": large when it is shown to be more.

    Args:
        counts: value -> how often it came; none is below `low`.
        mean: above `low`.
    """
    return _mixture([(value - mean) / (mean - low) for value in counts], list(counts.values()))


def upper_limit(counts: Mapping[float, int], alpha: float, low: float, high: float) -> float:
    """The mean is below it, with confidence 1 - alpha at all times together; `high` while nothing is known."""
    return _upper_limit(tuple(sorted(counts.items())), alpha, low, high)


@lru_cache(maxsize=4096)
def _upper_limit(given: tuple[tuple[float, int], ...], alpha: float, low: float, high: float) -> float:
    counts = dict(given)
    needed = -math.log(alpha)
    total = sum(counts.values())
    # A mean below that of what came is never refuted.
    refuted, open_ = high, sum(value * count for value, count in given) / total if total else low
    while refuted - open_ > _EXACT:
        middle = (refuted + open_) / 2
        if log_wealth_below(counts, middle, high) >= needed:
            refuted = middle
        else:
            open_ = middle
    return refuted


def is_below(counts: Mapping[float, int], mean: float, high: float, alpha: float) -> bool:
    """Whether the mean is shown to be below `mean`."""
    return mean >= high or log_wealth_below(counts, mean, high) >= -math.log(alpha)


def is_above(counts: Mapping[float, int], mean: float, low: float, alpha: float) -> bool:
    """Whether the mean is shown to be above `mean`."""
    return mean > low and log_wealth_above(counts, mean, low) >= -math.log(alpha)


def needed(value: float, counts: Mapping[float, int], mean: float, high: float, alpha: float) -> int | None:
    """How many more values like that show the mean to be below `mean`; None: however many do not."""
    target = -math.log(alpha)
    if log_wealth_below(counts, mean, high) >= target:
        return 0
    if value >= mean:
        return None

    def enough(more: int) -> bool:
        return log_wealth_below({**counts, value: counts.get(value, 0) + more}, mean, high) >= target

    most = 1
    while not enough(most):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def _mixture(gains: Sequence[float], counts: Sequence[int]) -> float:
    """The logarithm of the wealth of all shares together, where each unit staked gains that much that often."""
    logs = []
    for share, weight in _SHARES:
        total = math.log(weight)
        for gain, count in zip(gains, counts, strict=True):
            if count:
                factor = 1 + share * gain
                total = total + count * math.log(factor) if factor > 1e-300 else -math.inf
        logs.append(total)
    largest = max(logs)
    return min(largest + math.log(sum(math.exp(one - largest) for one in logs)), _LARGEST)

"""The statistic: tests of a mismatch rate that stay valid however often, and whenever, one looks. Pure.

Of n pairs, k are mismatches. For a budget b and a rate θ below it, each pair multiplies a bet on θ against b: by θ/b
for a mismatch, by (1-θ)/(1-b) for any other. While every pair differs with probability b or more, whatever came before
it, no such bet grows on average, and neither does a mixture of them:

    E(n, k) = 0.7 · [k = 0] · (1-b)^-n  +  0.3 · 1/b ∫₀ᵇ (θ/b)^k ((1-θ)/(1-b))^(n-k) dθ

It starts at 1, so that it ever reaches 1/alpha with probability alpha at most (Ville 1939; Ramdas et al. 2023,
"Game-theoretic statistics and safe anytime-valid inference"). The weight at θ = 0 opens for a perfect candidate after
little more than the pairs that a test with one look needs. The integral is an incomplete beta function:
b^-(k+1) (1-b)^-(n-k) B(b; k+1, n-k+1).

All of it is computed as logarithms: at ten million pairs E has tens of thousands of digits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from shadow.catalogue.gate_settings import GateSettings, MigrationGate

Logs = NDArray[np.float64]

PERFECT = 0.7
"""The weight of θ = 0; the rest is spread evenly over the rates up to the budget."""
_TINY = 1e-290
"""Below it the incomplete beta function loses digits, and then is 0."""
_CLOSE = 1e-13
_HALVINGS = 60
_EXACT = 1e-5
"""Of itself a bound need be no nearer."""
_MOST_STEPS = 10_000
_MOST_PAIRS = 1 << 60


def log_e(pairs: int, mismatches: int, budget: float) -> float:
    """ln E against "the rate is `budget` or more".

    Raises:
        ValueError: no budget between 0 and 1, or not 0 <= mismatches <= pairs.
    """
    return float(log_e_path(pairs, mismatches, budget))


def log_e_path(pairs: ArrayLike, mismatches: ArrayLike, budget: float) -> Logs:
    """`log_e` of many at once."""
    n, k = _checked(pairs, mismatches, budget)
    perfect = np.where(k == 0, math.log(PERFECT) - n * math.log1p(-budget), -np.inf)
    return np.logaddexp(perfect, math.log1p(-PERFECT) + _even_below(n, k, budget))


def quick_log_e(pairs: int, mismatches: int, budget: float) -> float:
    """`log_e` of one without arrays, up to rounding: what is shown asks for it dozens of times."""
    n, k, b = pairs, mismatches, budget
    if not 0 < b < 1 or not 0 <= k <= n:
        return log_e(pairs, mismatches, budget)
    share = float(special.betainc(k + 1, n - k + 1, b))
    if share < _TINY:
        return log_e(pairs, mismatches, budget)
    even = math.log(share) + float(special.betaln(k + 1, n - k + 1)) - (k + 1) * math.log(b) - (n - k) * math.log1p(-b)
    found = math.log1p(-PERFECT) + even
    if k:
        return found
    perfect = math.log(PERFECT) - n * math.log1p(-b)
    return max(found, perfect) + math.log1p(math.exp(-abs(found - perfect)))


def log_e_above(pairs: int, mismatches: int, budget: float) -> float:
    """ln E of the opposite, against "the rate is `budget` or less": evenly over the rates above it.

    Raises:
        ValueError: as `log_e`.
    """
    return float(log_e_above_path(pairs, mismatches, budget))


def log_e_above_path(pairs: ArrayLike, mismatches: ArrayLike, budget: float) -> Logs:
    """`log_e_above` of many at once."""
    n, k = _checked(pairs, mismatches, budget)
    # Rates above b of mismatches are rates below 1-b of all others.
    return _even_below(n, n - k, 1 - budget)


def upper_bound(pairs: int, mismatches: int, alpha: float) -> float:
    """The smallest budget that these pairs show to be kept; 1 while nothing is known.

    With confidence 1 - alpha the rate is below all of these bounds, however often they are read.
    """
    limit = threshold(alpha)
    low, high = mismatches / pairs if pairs else 1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not 0 < middle < 1 or high - low < _EXACT * high:
            break
        if quick_log_e(pairs, mismatches, middle) >= limit:
            high = middle
        else:
            low = middle
    return high


def pairs_to_open(pairs: int, mismatches: int, budget: float, alpha: float) -> int:
    """How many more pairs without a mismatch make E reach 1 / alpha; 0 when it has."""
    limit = threshold(alpha)

    def reached(more: int) -> bool:
        return quick_log_e(pairs + more, mismatches, budget) >= limit

    if reached(0):
        return 0
    high = minimum_pairs(budget, alpha)
    while not reached(high) and high < _MOST_PAIRS:
        high *= 2
    low = 0  # not enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def minimum_pairs(budget: float, alpha: float) -> int:
    """How many pairs, all of them clean, a test needs that looks only once: 299 for 1 % at 95 %."""
    return math.ceil(math.log(1 / alpha) / -math.log1p(-budget))


def threshold(alpha: float) -> float:
    """What ln E must reach."""
    return -math.log(alpha)


def alpha_of(settings: GateSettings, migration: MigrationGate, tasks: int, epoch_number: int) -> float:
    """With which probability, at most, the gate of one task may open falsely in its epoch of that number.

    Args:
        tasks: of the whole migration; with `family_wise` they share alpha evenly (Bonferroni).
        epoch_number: from 1; with `over_epochs` the j-th gets 1 / (j (j+1)) of alpha, which comes to all of it.
    """
    alpha = 1 - settings.confidence
    if migration.family_wise:
        alpha /= max(tasks, 1)
    if migration.over_epochs:
        alpha /= epoch_number * (epoch_number + 1)
    return alpha


def _checked(pairs: ArrayLike, mismatches: ArrayLike, budget: float) -> tuple[Logs, Logs]:
    n, k = np.broadcast_arrays(np.asarray(pairs, float), np.asarray(mismatches, float))
    if not 0 < budget < 1:
        raise ValueError(f"expected a budget between 0 and 1, found {budget}")
    if np.any(k < 0) or np.any(k > n):
        raise ValueError("expected 0 <= mismatches <= pairs")
    return n, k


def _even_below(n: Logs, k: Logs, b: float) -> Logs:
    """ln of 1/b ∫₀ᵇ (θ/b)^k ((1-θ)/(1-b))^(n-k) dθ.

    Where k/n lies far above b, the incomplete beta function is too small for a float; what remains of it once all
    factors are cancelled is the continued fraction by which it is computed there.
    """
    with np.errstate(divide="ignore"):
        share = special.betainc(k + 1, n - k + 1, b)
        found = np.log(share) + special.betaln(k + 1, n - k + 1)
    found = found - (k + 1) * math.log(b) - (n - k) * math.log1p(-b)
    far = share < _TINY
    if np.any(far):
        fraction = _continued_fraction(k[far] + 1, n[far] - k[far] + 1, b)
        found = np.asarray(found)
        found[far] = math.log1p(-b) - np.log(k[far] + 1) + np.log(fraction)
    return np.asarray(found, float)


def _continued_fraction(a: Logs, c: Logs, x: float) -> Logs:
    """B(x; a, c) · a / (x^a (1-x)^c), for x well below a / (a + c), by Lentz's method (DLMF 8.17.22)."""
    numerator = np.ones_like(a)
    denominator = 1 / (1 - (a + c) * x / (a + 1))
    value = denominator.copy()
    for m in range(1, _MOST_STEPS):
        even = m * (c - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / (1 + even * denominator)
        numerator = 1 + even / numerator
        value = value * numerator * denominator
        odd = -(a + m) * (a + c + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        denominator = 1 / (1 + odd * denominator)
        numerator = 1 + odd / numerator
        step = numerator * denominator
        value = value * step
        if np.all(np.abs(step - 1) < _CLOSE):
            break
    return value

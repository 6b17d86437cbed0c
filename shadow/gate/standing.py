"""Where the statistic of an epoch stands: looked at after every pair, opened, regressed, corrected. Pure.

Once E reaches its threshold the statistic has opened, and stays so; from there on the opposite process, which starts
anew, watches whether the rate is above the budget after all, and regresses it.

What was counted may turn out otherwise (a late effect, an allowance that has ended). Then it is counted as it should
have been: an opening that would not have been one is taken back, and so is a regression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shadow.gate.process import log_e, log_e_above, log_e_above_path, log_e_path, threshold


@dataclass(frozen=True, slots=True)
class Test:
    """What is asked of the statistic."""

    __test__ = False  # it is no test of pytest's

    budget: float
    alpha: float
    """With which the rate is to be shown to be below the budget."""
    regress_alpha: float
    """With which, once it has opened, to be above it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What had been counted at some time."""

    place: int = 0
    """Of the last pair, in its epoch: 1, 2, ...; incomparable pairs have places too."""
    pairs: int = 0
    """Compared."""
    mismatches: int = 0

    def __sub__(self, other: Mark) -> Mark:
        return Mark(self.place, self.pairs - other.pairs, self.mismatches - other.mismatches)

    def corrected(self, corrections: Iterable[Correction]) -> Mark:
        """With what is to be counted otherwise, as far as it had been counted by then."""
        meant = [one for one in corrections if one.place <= self.place]
        return replace(
            self,
            pairs=self.pairs + sum(one.pairs for one in meant),
            mismatches=self.mismatches + sum(one.mismatches for one in meant),
        )


@dataclass(frozen=True, slots=True)
class Correction:
    """A pair that was counted is to be counted otherwise."""

    place: int
    pairs: int
    """1, 0 or -1: whether it is compared now and was not, and the other way round."""
    mismatches: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it stands."""

    now: Mark = Mark()
    opened: Mark | None = None
    regressed: Mark | None = None
    highest: float = 0.0
    """ln E was at most that, of what opens it."""
    highest_above: float = 0.0
    """The same of the opposite, since it opened."""

    def counted(self, mismatched: Sequence[bool], compared: Sequence[bool], test: Test) -> Standing:
        """After pairs were counted, in this order; the statistic is looked at after each of them.

        Args:
            mismatched: of each pair whether it is a mismatch.
            compared: whether it could be compared at all.
        """
        if not len(compared):
            return self
        valid = np.asarray(compared, bool)
        wrong = np.asarray(mismatched, bool) & valid
        path = _Path(
            self.now.place + np.arange(1, len(valid) + 1),
            self.now.pairs + np.cumsum(valid),
            self.now.mismatches + np.cumsum(wrong),
        )
        found = replace(self, now=path.mark(-1))
        start = 0
        if found.opened is None:
            logs = log_e_path(path.pairs, path.mismatches, test.budget)
            opened = _first(logs >= threshold(test.alpha))
            seen = logs if opened is None else logs[: opened + 1]
            found = replace(found, highest=max(found.highest, float(seen.max())))
            if opened is None:
                return found
            found = replace(found, opened=path.mark(opened), highest_above=0.0)
            start = opened + 1
        if found.regressed is None and start < len(valid):
            assert found.opened is not None
            above = log_e_above_path(
                path.pairs[start:] - found.opened.pairs,
                path.mismatches[start:] - found.opened.mismatches,
                test.budget,
            )
            regressed = _first(above >= threshold(test.regress_alpha))
            found = replace(
                found,
                highest_above=max(found.highest_above, float(above.max())),
                regressed=None if regressed is None else path.mark(start + regressed),
            )
        return found

    def corrected(self, corrections: Sequence[Correction], test: Test) -> Standing:
        """After pairs that were counted turned out otherwise."""
        return replace(
            self,
            now=self.now.corrected(corrections),
            opened=self.opened and self.opened.corrected(corrections),
            regressed=self.regressed and self.regressed.corrected(corrections),
        ).reviewed(test)

    def reviewed(self, test: Test) -> Standing:
        """As it stands when what it rested on has changed: what was counted, or what is asked.

        What opened it must still do so, or all that is counted by now must; else it is not open.
        """
        found = self
        if found.opened is not None and not _opens(found.opened, test):
            found = replace(found, opened=None, regressed=None, highest_above=0.0)
        if found.opened is None and _opens(found.now, test):
            found = replace(found, opened=found.now, highest=max(found.highest, self.log_e(test)))
        opened = found.opened
        if opened is not None:
            if found.regressed is not None and not _regresses(found.regressed - opened, test):
                found = replace(found, regressed=None)
            if found.regressed is None and _regresses(found.now - opened, test):
                found = replace(found, regressed=found.now)
        return found

    def log_e(self, test: Test) -> float:
        """ln E of all that was counted."""
        return log_e(self.now.pairs, self.now.mismatches, test.budget)

    def log_e_above(self, test: Test) -> float:
        """ln E of the opposite since it opened; 0 before."""
        if self.opened is None:
            return 0.0
        since = self.now - self.opened
        return log_e_above(since.pairs, since.mismatches, test.budget)


@dataclass(frozen=True, slots=True)
class _Path:
    places: NDArray[np.int64]
    pairs: NDArray[np.int64]
    mismatches: NDArray[np.int64]

    def mark(self, index: int) -> Mark:
        return Mark(int(self.places[index]), int(self.pairs[index]), int(self.mismatches[index]))


def _first(reached: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(reached)) if reached.any() else None


def _opens(mark: Mark, test: Test) -> bool:
    return log_e(mark.pairs, mark.mismatches, test.budget) >= threshold(test.alpha)


def _regresses(since: Mark, test: Test) -> bool:
    return log_e_above(since.pairs, since.mismatches, test.budget) >= threshold(test.regress_alpha)

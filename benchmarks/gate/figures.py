"""What is measured of one budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.limits import fewest_mismatches, most_mismatches
from benchmarks.gate.simulation import (
    Epochs,
    Order,
    World,
    arrivals,
    counted_as_verdicts_come,
    counted_in_order,
    mismatched,
    pairs_of,
    split,
)
from shadow.catalogue.gate_settings import GateSettings, MigrationGate
from shadow.gate.order import countable
from shadow.gate.process import alpha_of, minimum_pairs, pairs_to_open

ALPHA = 0.05
DEPLOYS = (4.0, 5.5, 10.0)
"""Where epochs end, in pairs that a test with one look needs: a long one, a short one, a long one."""
AT_OR_ABOVE = (1.0, 1.5, 2.0, 5.0)
BELOW = (0.0, 0.1, 0.5)
RISES = (2.0, 5.0)
MOST = 1.25
"""Times the fixed-sample minimum, for a perfect candidate."""
CHUNK_PAIRS = 8_000_000
"""In memory at once."""

_SETTINGS = GateSettings(confidence=1 - ALPHA)


def allowed(migrations: int) -> float:
    """The largest share of false openings that alpha allows in so many migrations: three standard errors above it."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / migrations)


@dataclass(frozen=True, slots=True)
class Opened:
    """How often gates opened, in migrations of several epochs."""

    per_epoch: float
    """Share of the epochs, each with alpha."""
    per_migration: float
    """Share of the migrations that open in any epoch, with alpha shared over them (`over_epochs`)."""
    first: NDArray[np.intp]
    """After how many pairs the first epochs opened."""
    first_opened: float
    """Share of the first epochs."""


@dataclass(frozen=True)
class Budget:
    """Everything that is measured of a budget."""

    budget: float
    migrations: int
    seed: int

    @property
    def minimum(self) -> int:
        return minimum_pairs(self.budget, ALPHA)

    @property
    def ends(self) -> list[int]:
        return [round(times * self.minimum) for times in DEPLOYS]

    def world(self, times: float) -> World:
        """Of that many times the budget, some verdicts of which change later; a perfect candidate has none."""
        return World(self.budget * times, alarms=self.budget / 10 if times else 0.0, hidden=0.05)

    def opened(self, world: World, name: str, *, naive: bool = False, order: Order = countable) -> Opened:
        """How often gates open when that is true."""
        longest = self.ends[-1]
        tables = [most_mismatches(longest, self.budget, ALPHA)]
        over = MigrationGate(over_epochs=True)
        shared = [
            most_mismatches(longest, self.budget, alpha_of(_SETTINGS, over, 1, number + 1))
            for number in range(len(DEPLOYS))
        ]
        epochs = openings = migrations = 0
        first: list[NDArray[np.intp]] = []
        for rng, number in self._chunks(longest, name):
            any_epoch = np.zeros(number, bool)
            for index, (starts, end) in enumerate(split(arrivals(longest, rng), self.ends)):
                pairs = pairs_of(world, number, starts, end, rng)
                counted: Epochs = counted_as_verdicts_come(pairs) if naive else counted_in_order(pairs, order)
                opens, after = counted.opens(tables[0])
                openings += int(opens.sum())
                epochs += number
                any_epoch |= counted.opens(shared[index])[0]
                if index == 0:
                    first.append(after[opens])
            migrations += int(any_epoch.sum())
        joined = np.concatenate(first)
        return Opened(openings / epochs, migrations / self.migrations, joined, len(joined) / self.migrations)

    def regressed(self, times: float) -> tuple[float, float | None]:
        """(share of open gates that regress within ten times the minimum, median pairs until then), at that rate."""
        longest = self.ends[-1]
        table = fewest_mismatches(longest, self.budget, ALPHA)[1:]
        after: list[NDArray[np.intp]] = []
        for rng, number in self._chunks(longest, f"regress {times}"):
            wrong = mismatched(World(self.budget * times), (number, longest), rng)
            reached = np.cumsum(wrong, axis=1, dtype=np.int16) >= table
            any_of = reached.any(axis=1)
            after.append(reached.argmax(axis=1)[any_of] + 1)
        joined = np.concatenate(after)
        return len(joined) / self.migrations, float(np.median(joined)) if len(joined) else None

    def measured(self) -> tuple[bool, dict[str, object]]:
        """Whether all that is required holds, and the figures."""
        limit, epoch_limit = allowed(self.migrations), allowed(self.migrations * len(DEPLOYS))
        ok = True
        false: dict[str, object] = {}
        for times in AT_OR_ABOVE:
            found = self.opened(self.world(times), f"false {times}")
            ok &= found.per_epoch <= epoch_limit and found.per_migration <= limit
            false[f"{times:g} b"] = {
                "per_epoch": _rounded(found.per_epoch),
                "per_migration": _rounded(found.per_migration),
            }
        true: dict[str, object] = {}
        for times in BELOW:
            found = self.opened(self.world(times), f"true {times}")
            true[f"{times:g} b"] = {
                "opened": _rounded(found.first_opened),
                "median_pairs": float(np.median(found.first)) if len(found.first) else None,
            }
        needed = pairs_to_open(0, 0, self.budget, ALPHA)
        simulated = true["0 b"]
        assert isinstance(simulated, dict)
        ok &= needed <= MOST * self.minimum and simulated["median_pairs"] == needed
        regressions: dict[str, object] = {}
        for times in (0.5, 1.0):
            share, _ = self.regressed(times)
            ok &= share <= limit
            regressions[f"false at {times:g} b"] = _rounded(share)
        for times in RISES:
            share, median = self.regressed(times)
            regressions[f"at {times:g} b"] = {"regressed": _rounded(share), "median_pairs": median}
        at_budget = self.world(1.0)
        return ok, {
            "allowed": {"per_epoch": _rounded(epoch_limit), "per_migration": _rounded(limit)},
            "false_openings": false,
            "openings": true,
            "perfect": {"pairs": needed, "minimum": self.minimum, "times": round(needed / self.minimum, 3)},
            "pairs_after_one_mismatch": 1 + pairs_to_open(1, 1, self.budget, ALPHA),
            "pairs_after_two_mismatches": 2 + pairs_to_open(2, 2, self.budget, ALPHA),
            "regressions": regressions,
            "for_comparison_at_b": {
                "counted_as_verdicts_come": self._at_budget(at_budget, "naive", naive=True),
                "three_in_ten_mismatches_taken_for_matches_at_first": self._at_budget(
                    replace(at_budget, hidden=0.3), "hidden"
                ),
                "mismatches_in_rows_of_five": self._at_budget(replace(at_budget, cluster=5.0), "cluster"),
            },
        }

    def _at_budget(self, world: World, name: str, *, naive: bool = False) -> float:
        """False openings per epoch, of a tenth of the migrations."""
        few = replace(self, migrations=max(self.migrations // 10, 1))
        return _rounded(few.opened(world, name, naive=naive).per_epoch)

    def _chunks(self, pairs: int, name: str) -> Iterator[tuple[np.random.Generator, int]]:
        """(randomness of its own, migrations), as many as fit into memory."""
        size = max(1, CHUNK_PAIRS // pairs)
        key = [self.seed, round(1 / self.budget), *name.encode()]
        for number, start in enumerate(range(0, self.migrations, size)):
            yield np.random.default_rng([*key, number]), min(size, self.migrations - start)


def _rounded(share: float) -> float:
    return round(share, 4)

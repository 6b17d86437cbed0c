"""The simulation behind `make bench NAME=gate`: it would tell a wrong order of counting from the right one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gate.figures import ALPHA, Budget, allowed
from benchmarks.gate.limits import fewest_mismatches, most_mismatches
from benchmarks.gate.simulation import Flags, Order, World, arrivals, counted_in_order, pairs_of, split
from shadow.gate.order import countable
from shadow.gate.process import log_e, log_e_above, threshold
from shadow.gate.standing import Correction, Standing, Test

BUDGET = Budget(budget=0.02, migrations=300, seed=7)
AT_BUDGET = BUDGET.world(1.0)


def test_in_the_order_of_their_start_gates_open_falsely_as_seldom_as_promised() -> None:
    found = BUDGET.opened(AT_BUDGET, "test")
    assert found.per_epoch <= allowed(900)
    assert found.per_migration <= allowed(300)
    assert BUDGET.opened(BUDGET.world(0.0), "test").first_opened == 1


def test_counted_as_verdicts_come_most_gates_open_falsely() -> None:
    assert BUDGET.opened(AT_BUDGET, "test", naive=True).per_epoch > 0.4


def _whatever_has_arrived(resolved: Flags) -> NDArray[np.intp]:
    return np.full(resolved.shape[0], resolved.shape[1], np.intp)


def _as_many_as_are_resolved(resolved: Flags) -> NDArray[np.intp]:
    counted: NDArray[np.intp] = np.sum(resolved, axis=1, dtype=np.intp)
    return counted


@pytest.mark.parametrize("broken", [_whatever_has_arrived, _as_many_as_are_resolved])
def test_an_order_that_waits_for_no_miss_fails_the_bench(broken: Order) -> None:
    found = BUDGET.opened(AT_BUDGET, "test", order=broken)
    assert found.per_epoch > 2 * allowed(900)


def test_the_tables_are_the_statistic() -> None:
    most, fewest = most_mismatches(600, 0.02, ALPHA), fewest_mismatches(600, 0.02, ALPHA)
    for n in (0, 1, 2, 100, 160, 161, 300, 422, 600):
        open_with = [k for k in range(n + 1) if log_e(n, k, 0.02) >= threshold(ALPHA)]
        assert most[n] == max(open_with, default=-1)
        regressed_with = [k for k in range(n + 1) if log_e_above(n, k, 0.02) >= threshold(ALPHA)]
        assert fewest[n] == min(regressed_with, default=n + 1)


def test_each_row_is_what_the_engine_would_count() -> None:
    """Turn by turn, with what was judged again first: opened or not, it comes to the same."""
    rng = np.random.default_rng(3)
    world = World(0.02, alarms=0.01, hidden=0.3)
    arrival = arrivals(900, rng)
    starts, end = next(split(arrival, [700, 900]))
    pairs = pairs_of(world, 40, starts, end, rng)
    found = counted_in_order(pairs)
    opens, _after = found.opens(most_mismatches(900, 0.02, ALPHA))
    test = Test(0.02, ALPHA, ALPHA)
    moments = np.append(np.arange(float(starts[0]), min(end, float(starts[-1]) + 600), 25), min(end, starts[-1] + 600))
    for row in range(40):
        standing, counted, said, ever = Standing(), 0, pairs.first[row].copy(), False
        as_counted = pairs.first[row].copy()
        for moment in moments:
            said[pairs.changed_at[row] <= moment] = pairs.final[row][pairs.changed_at[row] <= moment]
            changed = [place for place in range(counted) if said[place] != as_counted[place]]
            standing = standing.corrected(
                [Correction(place + 1, 0, int(said[place]) - int(as_counted[place])) for place in changed], test
            )
            ever |= standing.opened is not None
            as_counted[changed] = said[changed]
            arrived = int(np.searchsorted(starts, moment, side="right"))
            until = counted + int(countable(pairs.resolved_at[row, counted:arrived] <= moment))
            as_counted[counted:until] = said[counted:until]
            standing = standing.counted(said[counted:until].tolist(), [True] * (until - counted), test)
            ever |= standing.opened is not None
            counted = until
        assert counted == found.counted[row]
        assert standing.now.mismatches == found.mismatches[row, counted]
        assert ever == opens[row]

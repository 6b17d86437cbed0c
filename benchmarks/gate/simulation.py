"""Migrations as a gate sees them: pairs that start in bursts, misses known late, deploys, verdicts that change.

Time is counted in pairs: one starts in each unit of it, on average. Which pairs may be counted is asked of the engine
(`shadow.gate.order.countable`), again and again while they come in; the statistic is looked at after each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadow.gate.order import countable

Flags = NDArray[np.bool_]
Order = Callable[[Flags], NDArray[np.intp]]

LATE = 300
"""So many pairs later than a match a miss is known."""
BURST = 20
"""Pairs that start at once, on average."""
LOOK = 25
"""So many pairs come in between two turns of the counting."""
SECOND_THOUGHT = 200
"""So many pairs after its verdict a pair is judged again, on average."""


@dataclass(frozen=True, slots=True)
class World:
    """What is true."""

    rate: float
    """Of mismatches, all of them misses."""
    alarms: float = 0.0
    """Share of the clean pairs that are taken for mismatches at first."""
    hidden: float = 0.0
    """Share of the mismatches that are taken for matches at first."""
    cluster: float = 1.0
    """Mismatches in a row, on average; more than 1: pairs are not independent."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """What was counted in an epoch of many migrations: one row each."""

    counted: NDArray[np.intp]
    """How many pairs, until the epoch ended."""
    mismatches: NDArray[np.int16]
    """Column n: after n pairs, with what had turned out otherwise by then."""
    looked: NDArray[np.int16]
    """The same just before what turned out otherwise at that time."""

    def opens(self, most: NDArray[np.int16]) -> tuple[Flags, NDArray[np.intp]]:
        """Whether each opens, by `limits.most_mismatches`, and after how many pairs."""
        width = self.mismatches.shape[1]
        reached: Flags = np.minimum(self.mismatches, self.looked) <= most[:width]
        reached &= np.arange(width) <= self.counted[:, None]
        return np.any(reached, axis=1), np.argmax(reached, axis=1)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of an epoch, in the order of their start."""

    first: Flags
    """Taken for mismatches at first."""
    final: Flags
    """What they are."""
    resolved_at: NDArray[np.float32]
    """When the first verdict is known."""
    changed_at: NDArray[np.float32]
    """When the second is."""
    arrival: NDArray[np.float64]
    ends_at: float
    """When the epoch ends."""


def arrivals(pairs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """When pairs start: in bursts, with pauses that make up for them."""
    sizes = rng.geometric(1 / BURST, pairs)
    starts = np.cumsum(rng.exponential(BURST, pairs))
    return np.repeat(starts, sizes)[:pairs]


def mismatched(world: World, shape: tuple[int, int], rng: np.random.Generator) -> Flags:
    """Which pairs are mismatches."""
    if world.cluster <= 1 or world.rate <= 0:
        return rng.random(shape, np.float32) < world.rate
    # Two states that alternate, one in which all pairs differ and one in which none does.
    leave = 1 / world.cluster
    enter = leave * world.rate / (1 - world.rate)
    state = rng.random(shape[0]) < world.rate
    found = np.empty(shape, bool)
    for column in range(shape[1]):
        found[:, column] = state
        state = np.where(state, rng.random(shape[0]) >= leave, rng.random(shape[0]) < enter)
    return found


def pairs_of(
    world: World, migrations: int, arrival: NDArray[np.float64], ends_at: float, rng: np.random.Generator
) -> Pairs:
    shape = (migrations, len(arrival))
    final = mismatched(world, shape, rng)
    first = final.copy()
    resolved_at = (arrival + rng.uniform(1, 5, shape[1])).astype(np.float32)[None, :].repeat(migrations, axis=0)
    changed_at = np.full(shape, np.inf, np.float32)
    if world.alarms or world.hidden:
        rows, columns = np.nonzero(rng.random(shape, np.float32) < np.where(final, world.hidden, world.alarms))
        first[rows, columns] ^= True
    rows, columns = np.nonzero(first)
    resolved_at[rows, columns] += (LATE + rng.uniform(0, LATE / 6, len(rows))).astype(np.float32)
    rows, columns = np.nonzero(first != final)
    thought = rng.exponential(SECOND_THOUGHT, len(rows)).astype(np.float32)
    changed_at[rows, columns] = resolved_at[rows, columns] + thought
    return Pairs(first, final, resolved_at, changed_at, arrival, ends_at)


def counted_in_order(pairs: Pairs, order: Order = countable) -> Epochs:
    """Count them as the engine does: a turn now and then, each as far as the order allows."""
    moments, counts = _turns(pairs, order)
    first = _as_known(pairs, moments, counts, pairs.first)
    path = np.zeros((first.shape[0], first.shape[1] + 1), np.int16)
    np.cumsum(first, axis=1, out=path[:, 1:])
    change = np.zeros_like(path)
    for rows, places, delta in _corrections(pairs, moments, counts, first):
        np.add.at(change, (rows, places), delta)
    later = np.cumsum(change, axis=1, dtype=np.int16)
    path += later
    return Epochs(counts[-1], path, path - change)


def counted_as_verdicts_come(pairs: Pairs) -> Epochs:
    """Count them the naive way, each pair when its verdict is known; as they are, without second thoughts."""
    order = np.argsort(pairs.resolved_at, axis=1, kind="stable")
    wrong = np.take_along_axis(pairs.first, order, axis=1)
    path = np.zeros((wrong.shape[0], wrong.shape[1] + 1), np.int16)
    np.cumsum(wrong, axis=1, out=path[:, 1:])
    return Epochs((pairs.resolved_at <= pairs.ends_at).sum(axis=1), path, path)


def _turns(pairs: Pairs, order: Order) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(moments, how many pairs of each migration were counted by then)."""
    last = min(pairs.ends_at, float(pairs.arrival[-1]) + 2 * LATE)
    moments = np.append(np.arange(float(pairs.arrival[0]), last, LOOK), last)
    counts = np.zeros((len(moments), len(pairs.first)), np.intp)
    done = np.zeros(len(pairs.first), np.intp)
    for turn, moment in enumerate(moments):
        start = int(done.min())
        arrived = int(np.searchsorted(pairs.arrival, moment, side="right"))
        # What was counted before is resolved still, so that all may be asked together from the slowest on.
        window = (pairs.resolved_at[:, start:arrived] <= moment) | (np.arange(start, arrived) < done[:, None])
        done = np.maximum(done, start + order(window))
        counts[turn] = done
    return moments, counts


def _turn_of(counts: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """In which turn these pairs were counted; the number of turns: in none."""
    width = int(counts.max()) + int(columns.max(initial=0)) + 2
    keys = (counts.T + np.arange(counts.shape[1])[:, None] * width).ravel()
    turns: NDArray[np.intp] = np.searchsorted(keys, rows * width + columns, side="right") - rows * counts.shape[0]
    return turns


def _as_known(pairs: Pairs, moments: NDArray[np.float64], counts: NDArray[np.intp], wrong: Flags) -> Flags:
    """As what they were counted: what was known by then. No mismatch that is not known is counted as one."""
    rows, columns = np.nonzero(wrong)
    turn = np.minimum(_turn_of(counts, rows, columns), len(moments) - 1)
    known = wrong.copy()
    known[rows, columns] = pairs.resolved_at[rows, columns] <= moments[turn]
    # Judged again before they were counted.
    rows, columns = np.nonzero(np.isfinite(pairs.changed_at))
    turn = np.minimum(_turn_of(counts, rows, columns), len(moments) - 1)
    again = pairs.changed_at[rows, columns] <= moments[turn]
    known[rows[again], columns[again]] = pairs.final[rows[again], columns[again]]
    return known


def _corrections(
    pairs: Pairs, moments: NDArray[np.float64], counts: NDArray[np.intp], first: Flags
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int16]]]:
    """Of pairs judged again after they were counted: (migrations, after how many pairs, what is to be added)."""
    rows, columns = np.nonzero(np.isfinite(pairs.changed_at))
    counted = _turn_of(counts, rows, columns)
    turn = np.searchsorted(moments, pairs.changed_at[rows, columns], side="left")
    meant = (turn > counted) & (turn < len(moments))
    rows, columns, turn = rows[meant], columns[meant], turn[meant]
    delta = pairs.final[rows, columns].astype(np.int16) - first[rows, columns].astype(np.int16)
    # What was judged again is counted before anything new is.
    yield rows, counts[turn - 1, rows], delta


def split(arrival: NDArray[np.float64], ends: Sequence[int]) -> Iterator[tuple[NDArray[np.float64], float]]:
    """(starts, end) of each epoch: a deploy comes before the pair of each of these numbers; after the last, none."""
    begin = 0
    for number, end in enumerate(ends):
        last = number == len(ends) - 1
        yield arrival[begin:end], np.inf if last else float(arrival[end])
        begin = end

"""Whether a backlog grows."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loop.backlog import STAGES, Sample, growing, growth

RATE = 500.0


def samples(waiting: Sequence[int], stage: str = "dispatches") -> list[Sample]:
    """What waited before one stage, every three seconds."""
    return [Sample(index * 3.0, {**dict.fromkeys(STAGES, 0), stage: count}) for index, count in enumerate(waiting)]


def test_a_stage_that_falls_behind_by_a_tenth_grows() -> None:
    assert growing(samples([150 * index for index in range(20)]), RATE) == {"dispatches": 50.0}


def test_a_backlog_that_stands_high_does_not_grow() -> None:
    assert growing(samples([2000, 2100, 1950, 2020, 2080, 1990, 2010]), RATE) == {}


def test_a_batch_that_is_not_done_yet_is_no_growth() -> None:
    assert growing(samples([20, 20, 300, 100, 450, 500]), RATE) == {}


def test_nor_are_costs_that_are_tallied_every_two_seconds_and_looked_at_every_three() -> None:
    waiting = [int(3.05 * index % 2.0 * 2 * RATE) for index in range(21)]
    assert growth(samples(waiting, "costs"), "costs") > 0.02 * RATE  # for the looks come a little later each time
    assert growing(samples(waiting, "costs"), RATE) == {}
    assert growing(samples([count + 150 * index for index, count in enumerate(waiting)], "costs"), RATE)


def test_one_late_look_does_not_make_a_backlog_grow() -> None:
    assert growing(samples([40, 60, 50, 45, 55, 50, 4000]), RATE) == {}


def test_each_stage_is_looked_at() -> None:
    for stage in STAGES:
        assert list(growing(samples([150 * index for index in range(20)], stage), RATE)) == [stage]


def test_too_few_looks_say_nothing() -> None:
    assert growth(samples([0, 5000]), "dispatches") == 0.0


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=20), st.integers(0, 500))
def test_what_was_there_before_does_not_matter(waiting: list[int], more: int) -> None:
    assert growth(samples(waiting), "dispatches") == growth(samples([count + more for count in waiting]), "dispatches")


@given(st.integers(-300, 300), st.integers(3, 20))
def test_a_steady_growth_is_found_exactly(per_look: int, looks: int) -> None:
    grown = growth(samples([10_000 + per_look * index for index in range(looks)]), "dispatches")
    assert abs(grown - per_look / 3.0) < 1e-9

"""A month of a task on either side, by the price book."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.price_settings import PlatformPrice
from shadow.costs.projection import DAYS_A_MONTH, Basis, Place, months, volume
from shadow.costs.usage import Usage


def place(platform: str = "inngest", declared: float | None = None, bills_runs: bool = False, **used: float) -> Place:
    return Place(platform, bills_runs, Usage(**used), declared)  # type: ignore[arg-type]  # numbers as they come


def test_volume_is_that_of_the_side_that_ran_more() -> None:
    assert volume(Usage(runs=70), Usage(runs=68), 7) == pytest.approx(10 * DAYS_A_MONTH)
    assert volume(Usage(), Usage(runs=14), 7) == pytest.approx(2 * DAYS_A_MONTH)


def test_trigger_dev_costs_what_it_says_of_the_runs_of_which_it_says_anything() -> None:
    month = months(
        {"a": place("trigger", bills_runs=True, runs=10, priced=5, cents=10.0)},
        {"a": 1000.0},
        {"trigger": PlatformPrice(monthly=50, per_run=0.001)},
    )["a"]
    assert (month.basis, month.executions) == (Basis.PLATFORM, None)
    assert month.variable == pytest.approx(1000 * (0.02 + 0.001))
    assert month.fixed == 50
    assert month.total == pytest.approx(71)
    assert month.per_run == pytest.approx(0.021)


def test_what_trigger_dev_has_said_of_no_run_yet_is_unknown_and_not_free() -> None:
    month = months({"a": place("trigger", bills_runs=True, runs=10)}, {"a": 1000.0}, {})["a"]
    assert (month.basis, month.variable, month.total, month.per_run) == (Basis.NONE, None, None, None)


def test_a_platform_without_a_price_is_unknown() -> None:
    assert months({"a": place(runs=10)}, {"a": 10.0}, {})["a"].basis is Basis.NONE


@pytest.mark.parametrize(
    ("told", "basis", "executions"),
    [
        (place(runs=10, told=4, executions=20, declared=9), Basis.TOLD, 5),
        (place(runs=10, declared=3), Basis.DECLARED, 3),
        (place(runs=10), Basis.ASSUMED, 1),
    ],
)
def test_executions_are_those_told_else_declared_else_one_a_run(told: Place, basis: Basis, executions: int) -> None:
    month = months({"a": told}, {"a": 100.0}, {"inngest": PlatformPrice(per_execution=0.5)})["a"]
    assert month.basis is basis
    assert month.executions == pytest.approx(100 * executions)
    assert month.variable == pytest.approx(100 * executions * 0.5)


def test_only_executions_beyond_the_included_ones_are_paid_for_and_shared_out_by_how_many_each_task_has() -> None:
    found = months(
        {"a": place(declared=3), "b": place(declared=1)},
        {"a": 100.0, "b": 100.0},
        {"inngest": PlatformPrice(monthly=20, per_execution=0.1, included_executions=200)},
    )
    assert found["a"].variable == pytest.approx(15)
    assert found["b"].variable == pytest.approx(5)
    assert [month.fixed for month in found.values()] == [10, 10]


def test_a_platform_whose_price_names_no_executions_has_its_prices_alone() -> None:
    month = months({"a": place("http", runs=5)}, {"a": 10.0}, {"http": PlatformPrice(per_run=2)})["a"]
    assert (month.basis, month.executions, month.variable) == (Basis.PRICE_BOOK, None, 20)


def test_the_monthly_price_of_a_platform_on_which_nothing_runs_yet_is_shared_by_its_tasks_alike() -> None:
    found = months({"a": place(), "b": place()}, {"a": 0.0, "b": 0.0}, {"inngest": PlatformPrice(monthly=30)})
    assert [month.total for month in found.values()] == [15, 15]


_USED = st.builds(
    lambda runs, priced, told: Usage(runs, min(priced, runs), min(priced, runs) * 2.5, min(told, runs), told * 3),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(_USED, st.floats(0, 1e6)), min_size=1),
    st.integers(0, 100_000),
)
def test_what_is_shared_out_is_all_that_is_charged(tasks: dict[str, tuple[Usage, float]], included: int) -> None:
    price = PlatformPrice(monthly=99, per_execution=0.01, included_executions=included)
    places = {task: Place("inngest", False, used, None) for task, (used, _runs) in tasks.items()}
    found = months(places, {task: runs for task, (_used, runs) in tasks.items()}, {"inngest": price})
    everything = sum(month.executions or 0.0 for month in found.values())
    by_platform = sum(month.runs * (places[task].known.cents_per_run or 0) / 100 for task, month in found.items())
    assert sum(month.fixed for month in found.values()) == pytest.approx(99)
    assert sum(month.variable or 0.0 for month in found.values()) == pytest.approx(
        by_platform + max(everything - included, 0) * 0.01
    )


@given(st.lists(_USED))
def test_usage_adds_up_in_any_order(used: list[Usage]) -> None:
    assert sum(used, Usage()) == sum(reversed(used), Usage())

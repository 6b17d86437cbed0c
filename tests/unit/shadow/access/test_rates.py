"""How often somebody may ask: on average, at once, and each by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadow.access.rates import _MOST_KEYS, Rates


def test_a_burst_is_admitted_and_then_one_at_a_time() -> None:
    rates = Rates(10, burst=5)
    assert [rates.wait("key", 0.0) for _ in range(5)] == [0.0] * 5
    assert 0 < rates.wait("key", 0.0) <= 0.1
    assert rates.wait("key", 0.1) == 0.0
    assert rates.wait("key", 0.1) > 0


def test_what_is_refused_is_not_counted() -> None:
    rates = Rates(1, burst=1)
    assert rates.wait("key", 0.0) == 0.0
    assert [rates.wait("key", 0.5) for _ in range(100)] == [0.5] * 100
    assert rates.wait("key", 1.0) == 0.0


def test_nobody_pays_for_another() -> None:
    rates = Rates(1, burst=1)
    assert rates.wait("one", 0.0) == 0.0
    assert rates.wait("one", 0.0) > 0
    assert rates.wait("two", 0.0) == 0.0


def test_a_flood_of_keys_takes_bounded_memory() -> None:
    rates = Rates(100, burst=1)
    for number in range(5 * _MOST_KEYS):
        assert rates.wait(number, number / 1000) == 0.0
    assert len(rates._used_up) <= _MOST_KEYS + 1


@given(
    st.lists(st.floats(0, 2), max_size=200),
    st.floats(0.1, 50),
    st.floats(1, 20),
)
def test_never_more_than_the_rate_and_a_burst(gaps: list[float], per_second: float, burst: float) -> None:
    rates = Rates(per_second, burst=burst)
    now, admitted = 0.0, 0
    for gap in gaps:
        now += gap
        admitted += rates.wait("key", now) == 0.0
    assert admitted <= burst + now * per_second + 1e-3


@given(st.lists(st.floats(0, 2), min_size=1, max_size=100))
def test_whoever_waits_as_long_as_is_said_is_admitted(gaps: list[float]) -> None:
    rates = Rates(3, burst=2)
    now = 0.0
    for gap in gaps:
        now += gap
        wait = rates.wait("key", now)
        if wait > 0:
            now += wait
            assert rates.wait("key", now) == 0.0

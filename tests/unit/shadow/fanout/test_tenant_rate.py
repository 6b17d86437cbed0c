"""How fast one tenant's events may be delivered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadow.fanout.tenant_rate import TenantRates


def test_a_second_of_deliveries_may_go_at_once_and_the_rest_comes_spread_out() -> None:
    rates = TenantRates()
    given_out = [rates.reserve("acme", 4, now=100.0) for _ in range(8)]
    assert given_out == [100.0, 100.0, 100.0, 100.0, 100.25, 100.5, 100.75, 101.0]


def test_tenants_do_not_wait_for_each_other() -> None:
    rates = TenantRates()
    for _ in range(50):
        rates.reserve("acme", 1, now=0.0)
    assert rates.reserve("other", 1, now=0.0) == 0.0


def test_less_than_one_a_second_still_lets_one_go_at_once() -> None:
    rates = TenantRates()
    assert rates.reserve("acme", 0.1, now=0.0) == 0.0
    assert rates.reserve("acme", 0.1, now=0.0) == 10.0


@given(
    per_second=st.floats(0.5, 50),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_span_of_time_gets_more_than_its_rate_and_one_burst(per_second: float, gaps: list[float]) -> None:
    rates, now, times = TenantRates(), 0.0, []
    for gap in gaps:
        now += gap
        at = rates.reserve("acme", per_second, now)
        assert at >= now
        times.append(at)
    burst = max(1.0, per_second)
    for first in range(len(times)):
        for last in range(first, len(times)):
            span = times[last] - times[first]
            assert last - first + 1 <= per_second * span + burst + 1 + 1e-6


def test_buckets_that_are_full_again_are_forgotten() -> None:
    rates = TenantRates()
    for tenant in range(10_000):
        rates.reserve(tenant, 100, now=0.0)
    rates.reserve("late", 100, now=1000.0)
    assert len(rates) == 1

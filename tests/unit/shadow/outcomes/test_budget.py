"""The request budget of a platform."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.values import RateBudget
from shadow.outcomes.budget import Budget


def budget(per_minute: float = 60, burst: int = 3) -> Budget:
    return Budget.of(RateBudget(requests_per_minute=per_minute, burst=burst), now=0.0)


def test_a_burst_is_free_and_then_requests_come_at_the_rate() -> None:
    spent = budget()
    waits = []
    for _ in range(5):
        waits.append(spent.wait(0.0))
        spent.spend(0.0)
    assert waits == [0, 0, 0, 1, 2]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=100))
def test_it_is_never_overspent_by_those_who_wait(gaps: list[float]) -> None:
    spent, now, made = budget(per_minute=120, burst=10), 0.0, 0
    for gap in gaps:
        now += gap
        if spent.wait(now) == 0:
            spent.spend(now)
            made += 1
    assert made <= 10 + now * 2 + 1e-6


def test_the_platforms_word_holds_everything() -> None:
    spent = budget()
    spent.hold(30.0)
    assert spent.wait(10.0) == 20.0
    assert spent.wait(30.0) == 0.0


def test_the_last_fifth_of_the_quota_is_left_to_the_producers() -> None:
    spent = budget()
    spent.quota(limit=1500, remaining=301, resets_at=60.0)
    assert spent.wait(0.0) == 0.0
    spent.quota(limit=1500, remaining=299, resets_at=60.0)
    assert spent.wait(0.0) == 60.0


@given(st.floats(1, 1e7))
def test_a_clock_that_is_set_back_makes_nobody_wait_longer(back: float) -> None:
    spent = budget()
    for _ in range(4):
        spent.spend(1e8)
    spent.hold(1e8 + 30)
    now = 1e8 - back
    assert abs(spent.wait(now) - 30) < 0.01
    assert abs(spent.wait(now + 20) - 10) < 0.01
    assert spent.wait(now + 31) == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_however_the_clock_jumps_a_request_may_be_made_within_a_second(jumps: list[float]) -> None:
    spent, now = budget(), 0.0
    for jump in jumps:
        now += jump
        if spent.wait(now) == 0:
            spent.spend(now)
        assert spent.wait(now) <= 1.0 + 1e-6


def test_the_room_is_what_the_bucket_has_and_what_drips_in_meanwhile() -> None:
    spent = budget()
    assert spent.room(0.0, within=5.0) == 8
    spent.hold(3.0)
    assert (spent.room(0.0, within=5.0), spent.room(0.0, within=2.0)) == (5, 0)

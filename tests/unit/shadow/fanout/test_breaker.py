"""The circuit breaker of one platform."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadow.fanout.breaker import Breaker, Circuit


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(threshold=3, shortest=1.0, longest=8.0)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(threshold=3)
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.circuit(0) is Circuit.CLOSED
    breaker.failed(0)
    assert breaker.circuit(0) is Circuit.OPEN


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(threshold=2)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(0)
    assert breaker.circuit(0) is Circuit.CLOSED


def test_while_open_nothing_may_be_sent_and_it_says_for_how_long() -> None:
    assert opened(at=10.0).wait(10.25) == 0.75


def test_then_one_delivery_is_let_through_as_a_trial() -> None:
    breaker = opened()
    assert breaker.circuit(1.0) is Circuit.HALF_OPEN
    assert breaker.wait(1.0) == 0
    breaker.begin(1.0)
    assert breaker.wait(1.0) > 0


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.begin(1.0)
    breaker.succeeded()
    assert breaker.circuit(1.0) is Circuit.CLOSED
    assert breaker.wait(1.0) == 0


def test_each_trial_that_fails_doubles_the_time_up_to_the_longest() -> None:
    breaker = opened()
    now, waits = 0.0, []
    for _ in range(6):
        waits.append(breaker.wait(now))
        now += breaker.wait(now)
        breaker.begin(now)
        breaker.failed(now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_failures_of_deliveries_that_were_under_way_do_not_prolong_it() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.failed(0.5)
    assert breaker.wait(0.5) == 0.5


def test_a_trial_that_says_nothing_is_followed_by_another() -> None:
    breaker = opened()
    breaker.begin(1.0)
    breaker.release()
    assert breaker.circuit(1.0) is Circuit.HALF_OPEN
    assert breaker.wait(1.0) == 0


@given(st.lists(st.sampled_from(["failed", "succeeded", "begin", "release"]), max_size=60))
def test_it_never_stays_shut_out_for_ever(script: list[str]) -> None:
    breaker, now = Breaker(), 0.0
    for step in script:
        now += 1.0
        match step:
            case "failed":
                breaker.failed(now)
            case "succeeded":
                breaker.succeeded()
            case "begin":
                breaker.begin(now)
            case "release":
                breaker.release()
    breaker.release()
    assert breaker.wait(now + breaker.longest) == 0

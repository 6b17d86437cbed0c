"""The token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.trigger_dev.ratelimit import API_LIMIT, RateLimit, RateLimiter

START = 1_000_000.0


def test_the_default_is_the_services() -> None:
    assert RateLimit(burst=750, refill=250, interval=10.0) == API_LIMIT


def test_a_bucket_refills_by_whole_intervals_from_its_first_request() -> None:
    limiter, limit = RateLimiter(), RateLimit(burst=3, refill=2, interval=10.0)
    grants = [limiter.take("k", limit, at=START + second) for second in (0, 1, 2, 9.9, 10, 11, 12, 40)]
    assert [grant.allowed for grant in grants] == [True, True, True, False, True, True, False, True]
    assert [grant.remaining for grant in grants] == [2, 1, 0, -1, 1, 0, -1, 2]
    assert grants[0].reset_ms == int((START + 10) * 1000)
    assert grants[4].reset_ms == int((START + 20) * 1000)
    assert grants[3].headers()["x-ratelimit-remaining"] == "0"


def test_buckets_do_not_share() -> None:
    limiter, limit = RateLimiter(), RateLimit(burst=1, refill=1, interval=10.0)
    assert limiter.take("a", limit, at=START).allowed
    assert limiter.take("b", limit, at=START).allowed
    assert not limiter.take("a", limit, at=START).allowed


def test_many_tokens_are_taken_all_or_none() -> None:
    limiter, limit = RateLimiter(), RateLimit(burst=5, refill=5, interval=10.0)
    assert limiter.take("k", limit, 4, at=START).remaining == 1
    assert not limiter.take("k", limit, 2, at=START).allowed
    assert limiter.take("k", limit, 1, at=START).allowed


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.floats(0, 5, allow_nan=False), max_size=60),
)
def test_never_more_than_burst_and_refills_are_granted(burst: int, refill: int, gaps: list[float]) -> None:
    limiter, limit = RateLimiter(), RateLimit(burst, refill, 10.0)
    moment, granted = START, 0
    for gap in gaps:
        moment += gap
        granted += limiter.take("k", limit, at=moment).allowed
    assert granted <= burst + refill * int((moment - START) // 10.0 + 1)

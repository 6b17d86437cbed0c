"""How long a platform asks us to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadow.platforms.throttle import Quota, quota, retry_after

NOW = datetime(2026, 11, 24, 1, 20, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Tue, 24 Nov 2026 01:21:00 GMT"}, 15),
        ({"retry-after": "Tue, 24 Nov 2026 01:20:00 GMT"}, 0),  # past: now
        # transcript e429-trigger.txt: no Retry-After, the reset in epoch milliseconds
        ({"x-ratelimit-limit": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795483255148"}, 10.148),
        # creating batches: the reset in epoch seconds
        ({"x-ratelimit-limit": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795483255"}, 10),
        # both: Retry-After is the plainer word
        (
            {
                "retry-after": "2",
                "x-ratelimit-limit": "3",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1795483255",
            },
            2,
        ),
        ({"retry-after": "999999999"}, 3600),  # somebody's clock is wrong
    ],
)
def test_the_wait_is_read_from_whichever_header_tells_it(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "soon"},
        {"x-ratelimit-limit": "750", "x-ratelimit-remaining": "749", "x-ratelimit-reset": "1795483255148"},
        {"x-ratelimit-limit": "x", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795483255148"},
    ],
)
def test_an_answer_that_asks_for_nothing_gives_no_wait(headers: dict[str, str]) -> None:
    assert retry_after(headers, NOW) is None


def test_the_quota_is_read_from_every_answer() -> None:
    headers = {"x-ratelimit-limit": "750", "x-ratelimit-remaining": "741", "x-ratelimit-reset": "1795482142816"}
    assert quota(headers) == Quota(750, 741, datetime(2026, 11, 24, 1, 2, 22, 816000, tzinfo=UTC))

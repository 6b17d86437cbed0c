"""What may be spent at a target: real calls wait their turn, reads without authority come after them."""

from __future__ import annotations

import pytest

from shadow.catalogue.outside import Target
from shadow.egress.quota import Quota


def quota(**settings: object) -> Quota:
    return Quota.of(Target.model_validate({"url": "https://x.example", **settings}), 0.0)


def test_without_a_quota_nothing_waits() -> None:
    assert [quota().real(0.0, 30.0) for _ in range(1000)] == [0.0] * 1000


def test_real_calls_beyond_the_burst_wait_one_after_the_other() -> None:
    target = quota(quota={"requests_per_minute": 60, "burst": 2})
    assert [target.real(0.0, 30.0) for _ in range(5)] == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert target.real(10.0, 30.0) == 0.0


def test_a_real_call_waits_at_most_its_timeout_and_is_made_then() -> None:
    target = quota(quota={"requests_per_minute": 60, "burst": 1})
    waits = [target.real(0.0, 3.0) for _ in range(100)]
    assert max(waits) == 3.0
    # what did not wait its whole turn leaves no debt without end
    assert target.real(10.0, 3.0) == 0.0


def test_reads_without_authority_have_a_budget_of_their_own() -> None:
    target = quota(reads_quota={"requests_per_minute": 60, "burst": 2})
    assert [target.shadow_read(0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert target.shadow_read(1.0) == 0.0


def test_they_leave_a_reserve_of_the_targets_quota_to_real_calls() -> None:
    target = quota(
        quota={"requests_per_minute": 60, "burst": 10}, reads_quota={"requests_per_minute": 6000, "burst": 100}
    )
    made = [target.shadow_read(0.0) for _ in range(20)].count(0.0)
    assert made == 8
    assert [target.real(0.0, 30.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert target.shadow_read(0.0) > 0


@pytest.mark.parametrize("burst", [1, 2])
def test_a_small_quota_lets_reads_through_too(burst: int) -> None:
    target = quota(quota={"requests_per_minute": 60, "burst": burst})
    assert target.shadow_read(0.0) == 0.0

"""Which runs are read with the requests that are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shadow.model.ids import new_id
from shadow.outcomes.outcome import Status
from shadow.outcomes.reader import Awaited
from shadow.outcomes.unread import PATIENCE, Listed, portioned

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def listed(
    name: str = "run_x",
    *,
    status: Status = Status.COMPLETED,
    ended: timedelta = SECOND,
    began: timedelta | None = None,
    is_compared: bool = True,
    deadline: timedelta = timedelta(hours=1),
) -> Listed:
    """A run that ended so long ago."""
    start = NOW - (ended if began is None else began)
    awaited = Awaited(new_id(), "sync", name, 0, "o-1", "order/created", None, start, start)
    return Listed(name, awaited, {"id": name}, status, NOW - ended, is_compared, deadline)


def names(runs: object) -> list[str]:
    assert isinstance(runs, list)
    return [run.name for run in runs]


def test_failures_are_read_first_then_what_is_compared_and_the_oldest_of_these() -> None:
    runs = [
        listed("ignored", is_compared=False, ended=9 * SECOND),
        listed("young", ended=SECOND),
        listed("old", ended=5 * SECOND),
        listed("failed", status=Status.FAILED),
    ]
    assert names(portioned(runs, 4, NOW, crowded=False).read) == ["failed", "old", "young", "ignored"]


def test_what_there_is_no_request_for_waits() -> None:
    decided = portioned([listed("a", ended=2 * SECOND), listed("b")], 1, NOW, crowded=False)
    assert (names(decided.read), names(decided.told), decided.waiting) == (["a"], [], 1)


def test_a_run_that_has_waited_long_enough_is_told_without_what_it_returned() -> None:
    decided = portioned([listed("a", ended=PATIENCE)], 0, NOW, crowded=False)
    assert (names(decided.told), decided.waiting) == (["a"], 0)


def test_it_waits_less_while_more_is_due_than_is_looked_at() -> None:
    run = listed(ended=timedelta(minutes=1))
    assert portioned([run], 0, NOW, crowded=False).waiting == 1
    assert portioned([run], 0, NOW, crowded=True).waiting == 0


def test_it_does_not_wait_until_its_pair_lacks_it() -> None:
    run = listed(ended=SECOND, began=timedelta(minutes=8), deadline=timedelta(minutes=10))
    assert names(portioned([run], 0, NOW, crowded=False).told) == ["run_x"]


def test_what_is_not_compared_needs_no_request_where_there_is_none() -> None:
    assert names(portioned([listed(is_compared=False)], 0, NOW, crowded=False).told) == ["run_x"]


def test_why_a_run_failed_is_asked_before_its_pair_lacks_it_though_no_request_is_left() -> None:
    late = listed("late", status=Status.FAILED, began=timedelta(minutes=8), deadline=timedelta(minutes=10))
    young = listed("young", status=Status.FAILED, began=timedelta(minutes=7), deadline=timedelta(minutes=10))
    decided = portioned([late, young], 0, NOW, crowded=False)
    assert (names(decided.read), names(decided.told), decided.waiting) == (["late"], [], 1)


@given(
    st.lists(st.builds(listed, status=st.sampled_from(Status), is_compared=st.booleans()), max_size=30),
    st.integers(0, 40),
    st.booleans(),
)
def test_every_run_is_read_told_or_waits_and_a_failure_is_never_told_unread(
    runs: list[Listed], room: int, crowded: bool
) -> None:
    decided = portioned(runs, room, NOW, crowded=crowded)
    assert len(decided.read) + len(decided.told) + decided.waiting == len(runs)
    assert len(decided.read) == min(room, len(runs))
    assert all(run.status is Status.COMPLETED for run in decided.told)

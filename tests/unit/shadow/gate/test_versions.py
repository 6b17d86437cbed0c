"""When what is seen of the versions of a side begins a new epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shadow.gate.versions import GONE, Seen, change_of, is_another, present_version

T0 = datetime(2026, 5, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def test_a_version_that_is_new_begins_one() -> None:
    seen = [Seen("v2", at(30), at(31)), Seen("v1", at(-60), at(30.5))]
    change = change_of("v1", T0, seen)
    assert change is not None
    assert (change.version, change.says) == ("v2", "was seen in version v2, after v1")


def test_two_versions_in_parallel_begin_one_epoch_between_them() -> None:
    """While a deploy rolls, workers of both are at work."""
    began = at(30)
    for minute in range(31, 40):
        seen = [Seen("v1", at(-60), at(minute)), Seen("v2", at(30), at(minute - 0.5))]
        assert change_of("v2", began, seen) is None


def test_a_known_version_is_back_once_the_other_is_gone() -> None:
    gone = at(60)
    seen = [Seen("v1", at(-60), gone + GONE), Seen("v2", at(30), gone)]
    assert change_of("v2", at(30), seen) is None
    seen[0] = Seen("v1", at(-60), gone + GONE + timedelta(seconds=1))
    change = change_of("v2", at(30), seen)
    assert change is not None
    assert change.version == "v1"
    assert change.says == "is back in version v1: v2 was not seen for 10 minutes"


def test_of_several_new_ones_the_newest_counts() -> None:
    change = change_of("v1", T0, [Seen("v2", at(1), at(9)), Seen("v3", at(2), at(3)), Seen("v1", at(-1), at(1))])
    assert change is not None
    assert change.version == "v3"


def test_nothing_new_is_no_change() -> None:
    assert change_of("v1", T0, [Seen("v1", at(1), at(2))]) is None
    assert change_of("v1", T0, []) is None
    assert change_of(None, T0, []) is None


def test_the_first_version_that_is_told_is_one_too() -> None:
    change = change_of(None, T0, [Seen("v1", at(-5), at(1))])
    assert change is not None
    assert change.version == "v1"


def test_what_the_platform_counts_and_what_the_worker_tells_are_never_compared() -> None:
    """A worker of Trigger.dev has both versions, all the time."""
    platform, worker = Seen("20260501.1", T0, at(50)), Seen("3f2c9", at(1), at(50))
    assert present_version([worker, platform]) == "20260501.1"
    assert change_of("20260501.1", T0, [worker, platform]) is None
    change = change_of("20260501.1", T0, [Seen("20260501.2", at(40), at(41)), worker, platform])
    assert change is not None
    assert change.version == "20260501.2"
    assert not is_another("3f2c9", "20260501.1")
    assert is_another("20260501.2", "20260501.1")


def test_a_run_that_waited_long_is_of_an_old_version_and_begins_none() -> None:
    seen = [Seen("20260430.12", at(5), at(5)), Seen("20260501.9", at(-5), at(4))]
    assert change_of("20260501.9", T0, seen) is None
    newer = Seen("20260501.10", at(6), at(6))
    change = change_of("20260501.9", T0, [newer, *seen])
    assert change is not None
    assert change.version == "20260501.10"


def test_what_ci_tells_and_what_the_platform_counts_soon_after_is_one_deploy() -> None:
    seen = [Seen("20260501.2", at(3), at(3)), Seen("3f2c9", T0, T0)]
    assert change_of("3f2c9", T0, seen) is None
    later = Seen("20260501.3", at(11), at(11))
    change = change_of("3f2c9", T0, [later, *seen])
    assert change is not None
    assert change.version == "20260501.3"


def test_an_unknown_version_is_not_known_to_be_another() -> None:
    assert not is_another(None, "v1")
    assert not is_another("v1", None)
    assert not is_another("v1", "v1")
    assert is_another("v1", "v2")

"""Who has authority, and who gets the event, in each phase and for each key of a ramp."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.model import Side
from shadow.cutover.decision import Decision, Phase, Ramp, bucket, decide, stored

KEYS = st.text(max_size=40)
LISTS = st.frozensets(KEYS, max_size=4)
SHARES = st.integers(0, 100)
DECISIONS = st.builds(
    lambda phase, candidate, reverse: decide("route", phase, candidate=candidate, reverse=reverse),
    st.sampled_from(Phase),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("phase", "candidate", "reverse", "legacys", "candidates", "sides"),
    [
        (Phase.LEGACY, False, False, "real", "none", ["legacy"]),  # nothing has begun
        (Phase.SHADOW, False, False, "real", "none", ["legacy", "candidate"]),  # both run, only legacy is believed
        (Phase.SHADOW, True, True, "real", "none", ["legacy", "candidate"]),  # a key decides in a ramp only
        (Phase.RAMP, False, False, "real", "none", ["legacy", "candidate"]),  # a key that is not taken: as in shadow
        (Phase.RAMP, True, False, "none", "real", ["candidate"]),  # a key that is: legacy gets nothing
        (Phase.RAMP, True, True, "none", "real", ["legacy", "candidate"]),  # or runs without authority
        (Phase.RAMP, False, True, "real", "none", ["legacy", "candidate"]),
        (Phase.LIVE, False, False, "none", "real", ["candidate"]),  # switched
        (Phase.LIVE, False, True, "none", "real", ["legacy", "candidate"]),  # with a reverse shadow
        (Phase.RETIRED, False, False, "none", "real", ["candidate"]),  # done
        (Phase.RETIRED, True, True, "none", "real", ["candidate"]),  # legacy is gone
    ],
)
def test_a_phase_decides(
    phase: Phase, candidate: bool, reverse: bool, legacys: str, candidates: str, sides: list[str]
) -> None:
    decision = decide("route", phase, candidate=candidate, reverse=reverse)
    assert (decision.of(Side.LEGACY), decision.of(Side.CANDIDATE)) == (legacys, candidates)
    assert [side.value for side in decision.sides] == sides


@given(DECISIONS)
def test_exactly_one_side_has_authority_whatever_is_decided(decision: Decision) -> None:
    assert sorted([decision.of(Side.LEGACY), decision.of(Side.CANDIDATE)]) == ["none", "real"]
    assert decision.authority in decision.sides


@given(DECISIONS)
def test_a_decision_is_read_back_as_it_was(decision: Decision) -> None:
    assert stored(decision.route, decision.phase.value, decision.decided) == decision


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.RAMP}))
def test_what_the_phase_alone_says_is_not_stored_beside_it(phase: Phase) -> None:
    assert decide("route", phase).decided is None


def test_an_event_of_a_ramp_without_its_decision_is_an_error() -> None:
    with pytest.raises(ValueError, match="ramp"):
        stored("route", "ramp", None)


@given(DECISIONS)
def test_no_side_has_all_of_a_route_that_ramps(decision: Decision) -> None:
    wholes = [side for side in Side if decision.whole(side)]
    assert wholes == ([] if decision.phase is Phase.RAMP else [decision.authority])


@given(KEYS, SHARES, SHARES, LISTS, LISTS)
def test_raising_the_share_never_takes_a_key_back(
    key: str, one: int, other: int, allow: frozenset[str], deny: frozenset[str]
) -> None:
    low, high = sorted((one, other))
    assert Ramp(low, allow, deny).takes(key) <= Ramp(high, allow, deny).takes(key)


@given(KEYS, SHARES, LISTS, LISTS)
def test_lists_come_before_the_share_and_deny_before_allow(
    key: str, share: int, allow: frozenset[str], deny: frozenset[str]
) -> None:
    assert not Ramp(share, allow | {key}, deny | {key}).takes(key)
    assert Ramp(share, allow | {key}, deny - {key}).takes(key)


@given(KEYS)
def test_every_key_is_taken_at_some_whole_percentage(key: str) -> None:
    assert [Ramp(share).takes(key) for share in (0, bucket(key), bucket(key) + 1, 100)] == [False, False, True, True]


@pytest.mark.parametrize(("share", "taken"), [(0, False), (1, False), (99, False), (100, True)])
def test_what_has_no_key_moves_all_at_once(share: int, taken: bool) -> None:
    assert Ramp(share, frozenset({"acme"})).takes(None) is taken


@pytest.mark.parametrize(("key", "lies"), [("acme", 72), ("globex", 99), ("", 52), ("Größe", 62), ("tenant-42", 0)])
def test_a_key_lies_where_it_has_always_lain(key: str, lies: int) -> None:
    assert bucket(key) == lies


def test_another_process_with_another_hash_seed_agrees() -> None:
    code = "from shadow.cutover.decision import bucket; print([bucket(f'tenant-{n}') for n in range(50)])"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."}, capture_output=True, check=True
    )
    assert told.stdout.decode().strip() == str([bucket(f"tenant-{number}") for number in range(50)])


def test_a_share_is_about_that_share_of_keys() -> None:
    taken = sum(Ramp(10).takes(f"tenant-{number}") for number in range(20_000))
    assert 0.08 < taken / 20_000 < 0.12

"""Which moves are steps forward, which lead back, and which can only be forced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.cutover.decision import Phase, Ramp
from shadow.cutover.moves import MoveRefused, Stand
from shadow.steering.transitions import Wanted, begins_contained, leads_back, why_not_next

LEGACY, SHADOW, RAMP, LIVE, RETIRED = Phase
KEYS = ("acme", "globex", "initech", "umbrella")
RAMPS = st.builds(Ramp, st.integers(0, 100), st.frozensets(st.sampled_from(KEYS)), st.frozensets(st.sampled_from(KEYS)))


def ramp(share: int, allow: str = "", deny: str = "") -> Stand:
    return Stand(RAMP, Ramp(share, frozenset(allow.split()), frozenset(deny.split())))


@pytest.mark.parametrize(
    ("current", "wanted", "is_next"),
    [
        (LEGACY, SHADOW, True),
        (LEGACY, RAMP, False),  # nothing is known of the candidate yet
        (LEGACY, LIVE, False),
        (SHADOW, RAMP, True),
        (SHADOW, LIVE, True),  # all at once
        (SHADOW, RETIRED, False),
        (RAMP, RAMP, True),  # another share
        (RAMP, LIVE, True),
        (RAMP, RETIRED, False),
        (LIVE, RETIRED, True),
    ],
)
def test_what_is_not_the_next_phase_is_reached_by_force_only(current: Phase, wanted: Phase, is_next: bool) -> None:
    assert (why_not_next(current, wanted) == "") is is_next


@pytest.mark.parametrize(
    ("current", "wanted", "back"),
    [
        *[(Stand(one), Stand(LEGACY), True) for one in (SHADOW, LIVE, RETIRED)],
        (ramp(50), Stand(LEGACY), True),
        (ramp(50), Stand(SHADOW), True),
        (Stand(LIVE), ramp(10), True),
        (Stand(RETIRED), Stand(LIVE), True),
        (ramp(50), ramp(10), True),  # fewer keys
        (ramp(10), ramp(50), False),  # more
        (ramp(10, "acme"), ramp(10), True),  # one key given back
        (ramp(10), ramp(10, "acme"), False),  # one taken
        (ramp(10), ramp(10, "", "acme"), True),  # one given back
        (ramp(10, "", "acme"), ramp(10), False),  # one taken
        (ramp(50), ramp(10, "acme"), False),  # most given back, and yet one may be taken
        (ramp(100), Stand(LIVE), False),
        (Stand(SHADOW), ramp(0), False),
        (Stand(LIVE), Stand(LIVE, reverse=True), False),  # legacy begins to run without authority
        (Stand(LIVE, reverse=True), Stand(LIVE), True),
    ],
)
def test_back_is_what_takes_no_key_from_legacy(current: Stand, wanted: Stand, back: bool) -> None:
    assert leads_back(current, wanted) is back


@given(RAMPS, RAMPS, st.sampled_from([*KEYS, "another", None]))
def test_no_way_back_takes_a_key_from_legacy(one: Ramp, other: Ramp, key: str | None) -> None:
    if leads_back(Stand(RAMP, one), Stand(RAMP, other)):
        assert other.takes(key) <= one.takes(key)


@pytest.mark.parametrize(
    ("current", "wanted", "begins"),
    [
        (LEGACY, SHADOW, True),
        (LIVE, SHADOW, True),  # it had authority, and has none from then on
        (RETIRED, RAMP, True),
        (SHADOW, RAMP, False),
        (RAMP, SHADOW, False),
        (SHADOW, LEGACY, False),
        (LEGACY, LIVE, False),  # it never runs without authority
    ],
)
def test_containment_is_asked_for_where_the_candidate_begins_to_run_without_authority(
    current: Phase, wanted: Phase, begins: bool
) -> None:
    assert begins_contained(current, wanted) is begins


@pytest.mark.parametrize(
    ("asked", "current", "stand"),
    [
        (Wanted(RAMP, 10), Stand(SHADOW), ramp(10)),
        (Wanted(RAMP, 20), ramp(10, "acme", "globex"), ramp(20, "acme", "globex")),  # lists stay as they were
        (Wanted(RAMP, allow=["acme"]), ramp(10, "globex"), ramp(10, "acme")),  # so does the share
        (Wanted(RAMP, deny=[]), ramp(10, "", "globex"), ramp(10)),
        (Wanted(RAMP, 5), Stand(LIVE), ramp(5)),
        (Wanted(LIVE), ramp(10, "acme"), Stand(LIVE)),
    ],
)
def test_what_is_not_said_of_a_ramp_stays(asked: Wanted, current: Stand, stand: Stand) -> None:
    assert asked.stand(current, reverse=False) == stand


@pytest.mark.parametrize(
    ("asked", "current", "says"),
    [
        (Wanted(RAMP), Stand(SHADOW), "a ramp needs a share"),
        (Wanted(RAMP, 101), Stand(SHADOW), "from 0 to 100, not 101"),
        (Wanted(RAMP, -1), Stand(SHADOW), "from 0 to 100"),
        (Wanted(RAMP, 1, ["acme"], ["acme"]), Stand(SHADOW), "allowed and denied at once: acme"),
        (Wanted(LIVE, 50), ramp(50), "are of ramp; in live all keys are treated alike"),
        (Wanted(SHADOW, deny=["acme"]), ramp(50), "are of ramp"),
    ],
)
def test_a_share_or_list_that_makes_no_sense_is_refused(asked: Wanted, current: Stand, says: str) -> None:
    with pytest.raises(MoveRefused, match=says):
        asked.stand(current, reverse=False)


@pytest.mark.parametrize(
    ("asked", "current", "reverse"),
    [
        (Wanted(SHADOW), Stand(LEGACY), False),  # legacy has the authority
        (Wanted(RAMP, 10), Stand(SHADOW), True),
        (Wanted(LIVE), ramp(10), True),
        (Wanted(RETIRED), Stand(LIVE, reverse=True), False),  # legacy is gone
        (Wanted(RAMP, 5), Stand(LIVE), False),  # the way back begins nothing
        (Wanted(RAMP, 5), Stand(LIVE, reverse=True), True),
    ],
)
def test_legacy_runs_without_authority_where_it_is_declared_and_the_way_leads_there(
    asked: Wanted, current: Stand, reverse: bool
) -> None:
    assert asked.stand(current, reverse=True).reverse is reverse
    assert asked.stand(current, reverse=False).reverse is False


@pytest.mark.parametrize(
    ("stand", "says"),
    [
        (Stand(LIVE), "live"),
        (Stand(LIVE, reverse=True), "live with a reverse shadow"),
        (ramp(10), "ramp 10 %"),
        (ramp(10, "a b", "c"), "ramp 10 %, 2 allowed, 1 denied"),
    ],
)
def test_a_stand_reads_as_a_phrase(stand: Stand, says: str) -> None:
    assert str(stand) == says


def test_every_phase_can_be_left_backwards_for_every_earlier_one() -> None:
    stands: list[Any] = [Stand(LEGACY), Stand(SHADOW), ramp(10), Stand(LIVE), Stand(RETIRED)]
    for place, current in enumerate(stands):
        assert all(leads_back(current, earlier) for earlier in stands[:place])
        assert not any(leads_back(current, later) for later in stands[place + 1 :])

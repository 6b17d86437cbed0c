"""Whose a tick is follows from its nominal time and the moves, never from when anybody asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.ticks.whose import Moved, Stand, decided, stand_at

T = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEAD = timedelta(seconds=2)
PHASES = [Stand(Phase.LEGACY), Stand(Phase.SHADOW), Stand(Phase.RAMP, 50), Stand(Phase.RAMP, 100), Stand(Phase.LIVE)]


def moved(to: Stand, at: datetime, source: Stand = PHASES[1]) -> Moved:
    return Moved(at - LEAD, at, source, to)


def test_a_route_that_never_moved_is_legacys() -> None:
    decision = decided("pay", {"pay": []}, T)
    assert (decision.phase, decision.authority, decision.sides) == (Phase.LEGACY, Side.LEGACY, (Side.LEGACY,))


def test_the_tick_of_the_very_second_of_the_switch_is_the_candidates() -> None:
    switch = [moved(Stand(Phase.LIVE), T)]
    before, at = decided("pay", {"pay": switch}, T - SECOND / 1000), decided("pay", {"pay": switch}, T)
    assert (before.authority, before.sides) == (Side.LEGACY, tuple(Side))
    assert (at.authority, at.sides) == (Side.CANDIDATE, (Side.CANDIDATE,))


def test_a_tick_stays_the_candidates_after_the_way_back() -> None:
    moves = [moved(Stand(Phase.LIVE), T), moved(Stand(Phase.SHADOW), T + 60 * SECOND, Stand(Phase.LIVE))]
    whose = [decided("pay", {"pay": moves}, T + seconds * SECOND).authority for seconds in (-1, 0, 59, 60)]
    assert whose == [Side.LEGACY, Side.CANDIDATE, Side.CANDIDATE, Side.LEGACY]


def test_a_ramp_leaves_ticks_with_legacy_until_it_is_for_all() -> None:
    moves = [moved(Stand(Phase.RAMP, 50), T), moved(Stand(Phase.RAMP, 100), T + 9 * SECOND, Stand(Phase.RAMP, 50))]
    half, whole = decided("pay", {"pay": moves}, T), decided("pay", {"pay": moves}, T + 9 * SECOND)
    assert (half.authority, half.sides) == (Side.LEGACY, tuple(Side))
    assert (whole.authority, whole.sides) == (Side.CANDIDATE, (Side.CANDIDATE,))


def test_a_move_that_was_overtaken_before_it_took_effect_never_held() -> None:
    live = Moved(T, T + 2 * SECOND, Stand(Phase.SHADOW), Stand(Phase.LIVE))
    back = Moved(T + SECOND, T + 3 * SECOND, Stand(Phase.SHADOW), Stand(Phase.SHADOW))
    assert stand_at([live, back], T + 2.5 * SECOND) == Stand(Phase.SHADOW)


def test_of_tasks_that_stand_differently_the_nearest_to_legacy_counts() -> None:
    tasks = {"pay": [moved(Stand(Phase.LIVE), T)], "note": [moved(Stand(Phase.SHADOW), T, Stand(Phase.LEGACY))]}
    assert decided("note+pay", tasks, T).phase is Phase.SHADOW


@given(
    steps=st.lists(st.tuples(st.integers(3, 1000), st.sampled_from(PHASES)), max_size=6),
    nominal=st.integers(-100, 4000),
    later=st.integers(3, 1000),
    to=st.sampled_from(PHASES),
)
def test_no_later_move_changes_whose_a_past_tick_is(
    steps: list[tuple[int, Stand]], nominal: int, later: int, to: Stand
) -> None:
    """With each move decided a lead before it takes effect, and after the one before it did."""
    moves: list[Moved] = []
    at, stand = T, Stand(Phase.LEGACY)
    for seconds, following in steps:
        at += seconds * SECOND
        moves.append(moved(following, at, stand))
        stand = following
    tick = min(T + nominal * SECOND, at + later * SECOND - LEAD)
    one_more = [*moves, moved(to, at + later * SECOND, stand)]
    assert decided("pay", {"pay": moves}, tick) == decided("pay", {"pay": one_more}, tick)


@given(steps=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(PHASES)), max_size=6), nominal=st.integers(-9, 60))
def test_exactly_one_side_has_every_tick(steps: list[tuple[int, Stand]], nominal: int) -> None:
    moves: list[Moved] = []
    at = T
    for seconds, to in steps:
        at += seconds * SECOND
        moves.append(moved(to, at))
    decision = decided("pay", {"pay": moves}, T + nominal * SECOND)
    assert decision.authority in decision.sides
    assert Side.CANDIDATE not in decision.sides or decision.phase is not Phase.LEGACY

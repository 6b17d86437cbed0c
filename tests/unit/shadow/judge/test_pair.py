"""A pair's life: which step follows from what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.model import Side
from shadow.judge.pair import PairKnown, PairState, Step, next_state, settled

T0 = datetime(2026, 5, 1, tzinfo=UTC)
SETTLE = timedelta(seconds=5)
DEADLINE = T0 + timedelta(minutes=15)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def known(legacy: float | None = None, candidate: float | None = None, effect: float | None = None) -> PairKnown:
    return PairKnown(
        legacy_finished_at=None if legacy is None else at(legacy),
        candidate_finished_at=None if candidate is None else at(candidate),
        deadline_at=DEADLINE,
        settle=SETTLE,
        last_effect_at=None if effect is None else at(effect),
    )


@pytest.mark.parametrize(
    ("facts", "now", "step"),
    [
        (known(), at(1), Step(PairState.OPEN, DEADLINE)),  # probes are nobody's business before
        (known(legacy=3, candidate=8), at(9), Step(PairState.SETTLING, at(13))),
        (known(legacy=3, candidate=8), at(13), Step(PairState.PROBING, at(133))),
        (known(legacy=3, candidate=8), at(132), Step(PairState.PROBING, at(133))),
        (known(legacy=3, candidate=8), at(133), Step(PairState.READY, None)),  # nobody reads them
        (known(legacy=3), DEADLINE, Step(PairState.READY, None, (Side.CANDIDATE,))),  # a side is missing
    ],
)
def test_probes_that_are_due_are_waited_for_once_all_has_settled(facts: PairKnown, now: datetime, step: Step) -> None:
    assert next_state(replace(facts, probes_due=True), now) == step


@pytest.mark.parametrize(
    ("facts", "now", "step"),
    [
        # nothing has ended: nothing to do before the deadline
        (known(), at(1), Step(PairState.OPEN, DEADLINE)),
        # an effect alone ends nothing
        (known(effect=1), at(2), Step(PairState.OPEN, DEADLINE)),
        (known(legacy=3), at(4), Step(PairState.WAITING, DEADLINE)),
        (known(candidate=3), at(4), Step(PairState.WAITING, DEADLINE)),
        # both ended: settle counts from the later one
        (known(legacy=3, candidate=8), at(9), Step(PairState.SETTLING, at(13))),
        # ... and from the last effect, if that came later still
        (known(legacy=3, candidate=8, effect=10), at(11), Step(PairState.SETTLING, at(15))),
        # an effect received before the runs ended moves nothing
        (known(legacy=3, candidate=8, effect=2), at(9), Step(PairState.SETTLING, at(13))),
        (known(legacy=3, candidate=8), at(13), Step(PairState.READY, None)),
        # the deadline does not cut the settling short, nor does settling wait for the deadline
        (known(legacy=898, candidate=899), at(901), Step(PairState.SETTLING, at(904))),
        # the deadline passed with one side unfinished: that side is missing
        (known(legacy=3), DEADLINE, Step(PairState.READY, None, (Side.CANDIDATE,))),
        (known(candidate=3), DEADLINE, Step(PairState.READY, None, (Side.LEGACY,))),
        (known(), DEADLINE, Step(PairState.READY, None, (Side.LEGACY, Side.CANDIDATE))),
        # the missing run arrived late: compared after all
        (known(legacy=3, candidate=1000), at(1001), Step(PairState.SETTLING, at(1005))),
        (known(legacy=3, candidate=1000), at(1005), Step(PairState.READY, None)),
        # a judged pair to which a late effect came settles anew
        (known(legacy=3, candidate=8, effect=60), at(61), Step(PairState.SETTLING, at(65))),
    ],
)
def test_the_step_follows_from_the_facts(facts: PairKnown, now: datetime, step: Step) -> None:
    assert next_state(facts, now) == step


def test_an_unfinished_pair_has_no_time_at_which_it_settles() -> None:
    with pytest.raises(ValueError, match="both its runs"):
        settled(known(legacy=1))


seconds = st.floats(min_value=0, max_value=2000)
facts = st.builds(known, st.none() | seconds, st.none() | seconds, st.none() | seconds)


@given(facts, seconds)
def test_a_pair_is_never_stuck(facts: PairKnown, now: float) -> None:
    step = next_state(facts, at(now))
    if step.judge:
        assert step.due_at is None
    else:
        assert step.due_at is not None
        assert step.due_at > at(now)


@given(facts, seconds)
def test_waking_when_told_reaches_a_judgement(facts: PairKnown, now: float) -> None:
    moment = at(now)
    for _ in range(3):
        step = next_state(facts, moment)
        if step.judge:
            return
        assert step.due_at is not None
        moment = step.due_at
    raise AssertionError(f"still not judged at {moment}")


_ORDER = list(PairState)


@given(facts, seconds, seconds)
def test_time_alone_never_moves_a_pair_back(facts: PairKnown, one: float, other: float) -> None:
    earlier, later = sorted((one, other))
    before, after = next_state(facts, at(earlier)), next_state(facts, at(later))
    assert _ORDER.index(after.state) >= _ORDER.index(before.state)


@given(facts, seconds)
def test_two_finished_runs_are_never_judged_before_they_settled(facts: PairKnown, now: float) -> None:
    step = next_state(facts, at(now))
    if step.judge and not step.missing:
        assert at(now) >= settled(facts)


@given(facts, seconds)
def test_a_side_is_missing_only_when_it_has_not_ended_by_the_deadline(facts: PairKnown, now: float) -> None:
    step = next_state(facts, at(now))
    if step.missing:
        assert at(now) >= facts.deadline_at
    assert (Side.LEGACY in step.missing) <= (facts.legacy_finished_at is None)
    assert (Side.CANDIDATE in step.missing) <= (facts.candidate_finished_at is None)

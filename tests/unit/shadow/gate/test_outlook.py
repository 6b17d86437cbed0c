"""When a gate opens by itself, or why it never does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shadow.gate.conditions import judged
from shadow.gate.known import Ended, OpenSignature, TaskKnown
from shadow.gate.outlook import Outlook, outlook
from shadow.gate.report import Counted
from tests.unit.shadow.gate.knowing import NOON, epoch, known, statistic


def expected(of: TaskKnown) -> Outlook:
    return outlook(of, judged(of))


def test_an_open_gate_needs_no_date() -> None:
    assert expected(known()) == Outlook(None, "it is open")


def test_a_gate_opens_when_its_pairs_have_come() -> None:
    told = statistic(96)
    found = expected(known(epoch=epoch(statistic=told, live=Counted(match=96)), pairs_a_day=40.0))
    assert told.pairs_needed == 226
    assert found.opens_at == NOON + timedelta(days=226 / 40)
    assert found.says == "on 2026-05-10 at 40 pairs a day, all of them clean: until then statistic"


def test_the_last_of_several_conditions_decides() -> None:
    found = expected(known({"soak": "30d"}, epoch=epoch(statistic=statistic(96)), pairs_a_day=40.0))
    assert found.opens_at == NOON - timedelta(days=3) + timedelta(days=30)


def test_pairs_without_failure_are_waited_for() -> None:
    few = Ended(neither_failed=60, timed=60, newest_at=NOON)
    assert expected(known(epoch=epoch(ended=few), pairs_a_day=10.0)).opens_at == NOON + timedelta(days=12.1)


def test_what_somebody_must_see_to_has_no_date() -> None:
    found = expected(known(critical=[OpenSignature("s1", "differs")], uncontained="nothing is on record"))
    assert found == Outlook(None, "never, until somebody sees to critical_signatures, containment")


def test_without_pairs_it_never_opens_and_two_people_may_help() -> None:
    found = expected(known(epoch=epoch(statistic=statistic(3), live=Counted(match=3)), pairs_a_day=0.0))
    assert found.opens_at is None
    assert found.says.startswith("never with 0 pairs a day: statistic would need more")
    assert found.says.endswith("two people may sign off instead")


def test_what_would_take_a_century_is_never() -> None:
    found = expected(known(epoch=epoch(statistic=statistic(3)), pairs_a_day=0.001))
    assert found.opens_at is None


@pytest.mark.parametrize(("incomparable", "after"), [(40, 60), (99, 296)])
def test_incomparable_pairs_are_outnumbered(incomparable: int, after: int) -> None:
    found = expected(known(epoch=epoch(live=Counted(match=100, not_comparable=incomparable)), pairs_a_day=1.0))
    assert found.opens_at is not None
    assert (found.opens_at - NOON) / timedelta(days=1) == pytest.approx(after)

"""What was seen of a task, and whether it goes back for it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from shadow.catalogue.cutover_settings import Reason
from shadow.catalogue.resolved import ResolvedCutover
from shadow.cutover.decision import Phase
from shadow.steering.evidence import Critical, Dead, Leak, Runs, Seen, Why, back_to, sentence, why_back

ONE = UUID("0199a9f0-0000-7000-8000-000000000001")
TWO = UUID("0199a9f0-0000-7000-8000-000000000002")
ALL: tuple[Reason, ...] = ("critical", "leak", "failures", "dead_letters")
DEFAULT = ResolvedCutover(None, False, ALL, failures=0.2, failures_runs=10, dead_letters=1)
CRITICAL = Critical(ONE, "s1-0f", "the amount is 12.00 on legacy\nand 1200.00 on the candidate", 3)
LEAK = Leak(ONE, "POST /v1/transfers at pay was forwarded for a run without authority", 1)
DEAD = Dead(TWO, "404: no such function", 2)


def reasons(seen: Seen, settings: ResolvedCutover = DEFAULT) -> list[str]:
    return [why.reason for why in why_back(seen, settings)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen("pay"), []),
        (Seen("pay", critical=CRITICAL), ["critical"]),
        (Seen("pay", leak=LEAK), ["leak"]),
        (Seen("pay", runs=Runs(9, 9)), []),  # too few to tell
        (Seen("pay", runs=Runs(10, 2)), []),  # as many as may fail
        (Seen("pay", runs=Runs(10, 3)), ["failures"]),
        (Seen("pay", runs=Runs(200, 40)), []),
        (Seen("pay", runs=Runs(200, 41)), ["failures"]),
        (Seen("pay", runs=Runs(0, 0, overdue=9)), []),
        (Seen("pay", runs=Runs(0, 0, overdue=10)), ["failures"]),  # its worker is gone
        (Seen("pay", runs=Runs(30, 4, overdue=3)), ["failures"]),
        # legacy's fail as well: a third by nature
        (Seen("pay", runs=Runs(30, 16), legacy=Runs(90, 30)), []),
        (Seen("pay", runs=Runs(30, 17), legacy=Runs(90, 30)), ["failures"]),
        (Seen("pay", runs=Runs(30, 7), legacy=Runs(9, 9)), ["failures"]),  # of too few to tell
        (Seen("pay", dead=DEAD), ["dead_letters"]),
        (Seen("pay", CRITICAL, LEAK, Runs(10, 10), dead=DEAD), ["leak", "critical", "failures", "dead_letters"]),
    ],
)
def test_what_is_seen_is_held_against_the_defaults(seen: Seen, expected: list[str]) -> None:
    assert reasons(seen) == expected


@pytest.mark.parametrize("only", ALL)
def test_a_task_goes_back_for_what_its_catalogue_says_only(only: Reason) -> None:
    seen = Seen("pay", CRITICAL, LEAK, Runs(10, 10), dead=DEAD)
    assert reasons(seen, replace(DEFAULT, back_on=(only,))) == [only]
    assert reasons(seen, replace(DEFAULT, back_on=())) == []


def test_the_figures_of_the_catalogue_count() -> None:
    assert reasons(Seen("pay", dead=DEAD), replace(DEFAULT, dead_letters=3)) == []
    assert reasons(Seen("pay", runs=Runs(30, 29)), replace(DEFAULT, failures_runs=31)) == []
    assert reasons(Seen("pay", runs=Runs(30, 30)), replace(DEFAULT, failures=1.0)) == []


def test_the_reason_is_one_sentence_with_ids_and_figures() -> None:
    whys = why_back(Seen("pay", critical=CRITICAL, runs=Runs(40, 25, 0, (TWO, ONE)), dead=DEAD), DEFAULT)
    assert sentence(whys) == (
        "by itself: pay has 3 pairs with a critical difference (pair 0199a9f0-0000-7000-8000-000000000001, signature"
        " s1-0f: the amount is 12.00 on legacy and 1200.00 on the candidate), and 25 failed runs of the candidate's"
        " last 40 with authority, more than 20% (run 0199a9f0-0000-7000-8000-000000000002), and 2 events that the"
        " candidate's platform would not take (event 0199a9f0-0000-7000-8000-000000000002: 404: no such function)"
    )
    assert [why.facts["reason"] for why in whys] == ["critical", "failures", "dead_letters"]
    assert whys[0].facts["pair"] == str(ONE)


def test_a_route_of_several_tasks_says_which_has_what() -> None:
    one, other = Seen("pay", leak=LEAK), Seen("credit", dead=replace(DEAD, dispatches=1, error=None))
    said = sentence([*why_back(one, DEFAULT), *why_back(other, DEFAULT)])
    assert said.startswith("by itself: pay has 1 leak (incident 0199a9f0")
    assert said.endswith("; credit has 1 event that the candidate's platform would not take (event " + f"{TWO})")


def test_what_is_quoted_stays_short_and_on_one_line() -> None:
    (why,) = why_back(Seen("pay", critical=replace(CRITICAL, sentence="a\n" * 900)), DEFAULT)
    assert "\n" not in why.says
    assert len(why.says) < 500


def why(reason: Reason) -> Why:
    return Why(reason, "pay", "it", {})


@pytest.mark.parametrize(
    ("phase", "reason", "contained", "to"),
    [
        (Phase.RAMP, "critical", True, Phase.SHADOW),
        (Phase.RAMP, "critical", False, Phase.SHADOW),  # some of its keys run without authority there already
        (Phase.LIVE, "failures", True, Phase.SHADOW),
        (Phase.LIVE, "failures", False, Phase.LEGACY),  # nobody has shown that it can't reach the world
        (Phase.RAMP, "leak", True, Phase.LEGACY),  # it did reach it
        (Phase.LIVE, "leak", True, Phase.LEGACY),
    ],
)
def test_back_is_where_the_candidate_can_do_no_harm(phase: Phase, reason: Reason, contained: bool, to: Phase) -> None:
    assert back_to(phase, [why("dead_letters"), why(reason)], contained=contained) is to

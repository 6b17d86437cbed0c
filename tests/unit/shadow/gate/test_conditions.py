"""Each condition: what meets it, what does not, and what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.gate import conditions
from shadow.gate.conditions import judged
from shadow.gate.known import Ended, OpenSignature, TaskKnown, Uncompared
from shadow.gate.report import ConditionName, Counted, State
from tests.unit.shadow.gate.knowing import NOON, OPENED, epoch, known, sign_off, statistic

MET, UNMET, SHOWN, NONE = State.MET, State.UNMET, State.INFORMATIONAL, State.NOT_APPLICABLE
FEW: dict[str, Any] = {"pairs_a_day": 0.2, "epoch": epoch(statistic=statistic(3), live=Counted(match=3))}
TWO = (sign_off("token:ann", 1), sign_off("token:bob", 2))
SHAPE = Uncompared("effect", "http stripe POST /v1/refunds", NOON - timedelta(days=9))


def counted(**counts: int) -> dict[str, Any]:
    return {"epoch": epoch(live=Counted(**counts))}


def ended(**counts: Any) -> dict[str, Any]:
    return {"epoch": epoch(ended=Ended(**{"newest_at": NOON, **counts}))}


TABLE: list[tuple[str, ConditionName, TaskKnown, State, str]] = [
    ("shown", ConditionName.STATISTIC, known(), MET, "fewer than 1 % of pairs differ: shown after 335 pairs"),
    (
        "too few pairs yet",
        ConditionName.STATISTIC,
        known(epoch=epoch(statistic=statistic(96), live=Counted(match=96))),
        UNMET,
        "0 of 96 pairs differ, so at most",
    ),
    (
        "nothing yet",
        ConditionName.STATISTIC,
        known(epoch=epoch(statistic=statistic(0), live=Counted())),
        UNMET,
        "nothing was compared yet",
    ),
    ("no epoch", ConditionName.STATISTIC, known(epoch=None), UNMET, "its epoch has not begun"),
    ("few pairs, nobody signed", ConditionName.STATISTIC, known(**FEW), UNMET, "two people may"),
    (
        "few pairs, one signed",
        ConditionName.STATISTIC,
        known(**FEW, sign_offs=TWO[:1]),
        UNMET,
        "a sign-off: token:ann did, and one other must",
    ),
    (
        "few pairs, the same one signed twice",
        ConditionName.STATISTIC,
        known(**FEW, sign_offs=(TWO[0], sign_off("token:ann", 2))),
        UNMET,
        "one other must",
    ),
    ("few pairs, two signed", ConditionName.STATISTIC, known(**FEW, sign_offs=TWO), MET, "token:ann and token:bob"),
    (
        "many pairs, two signed",
        ConditionName.STATISTIC,
        known(**{**FEW, "pairs_a_day": 40.0}, sign_offs=TWO),
        UNMET,
        "is not shown",
    ),
    ("nothing shows it", ConditionName.REGRESSION, known(), MET, "nothing shows that more than 1 %"),
    (
        "regressed",
        ConditionName.REGRESSION,
        known(epoch=epoch(statistic=replace(OPENED, regressed_at=NOON, log_e_above=3.2))),
        UNMET,
        "more than 1 % of pairs are shown to differ",
    ),
    ("a single one", ConditionName.NOT_COMPARABLE, known(**counted(not_comparable=1)), MET, "1 of 1 pair"),
    ("within", ConditionName.NOT_COMPARABLE, known(**counted(match=80, not_comparable=20)), MET, "20 %, and 20 %"),
    ("too many", ConditionName.NOT_COMPARABLE, known(**counted(match=79, not_comparable=21)), UNMET, "21 of 100"),
    (
        "a single one, though none may be",
        ConditionName.NOT_COMPARABLE,
        known({"not_comparable": 0}, **counted(match=9, not_comparable=1)),
        MET,
        "1 of 10",
    ),
    (
        "replayed ones count too",
        ConditionName.NOT_COMPARABLE,
        known(epoch=epoch(live=Counted(match=10), replayed=Counted(not_comparable=5))),
        UNMET,
        "5 of 15",
    ),
    ("none open", ConditionName.CRITICAL, known(), MET, "no critical difference"),
    (
        "open",
        ConditionName.CRITICAL,
        known(critical=[OpenSignature("s1-ab", "candidate pays twice")]),
        UNMET,
        "1 critical signature open, to be mended or allowed: candidate pays twice (s1-ab)",
    ),
    (
        "many open",
        ConditionName.CRITICAL,
        known(critical=[OpenSignature(f"s1-{n}", "differs") for n in range(5)]),
        UNMET,
        "and 2 more",
    ),
    ("a witness saw none", ConditionName.LEAKS, known(), MET, "a witness outside the gateway saw none"),
    ("one", ConditionName.LEAKS, known(leaks=1, declared=True), UNMET, "1 leak of this version"),
    ("unknown", ConditionName.LEAKS, known(leaks_proven=False), UNMET, "unknown"),
    ("unknown, declared", ConditionName.LEAKS, known(leaks_proven=False, declared=True), MET, "a declaration"),
    (
        "unknown, declared, refused",
        ConditionName.LEAKS,
        known({"unknown_leaks": "refuse"}, leaks_proven=False, declared=True),
        UNMET,
        "`unknown_leaks` refuses",
    ),
    ("contained", ConditionName.CONTAINMENT, known(), MET, "proven for version c4"),
    (
        "not contained",
        ConditionName.CONTAINMENT,
        known(uncontained="nothing is on record"),
        UNMET,
        "not contained: nothing is on record; `shadow contain order-sync` proves it",
    ),
    ("fresh", ConditionName.FRESHNESS, known(), MET, "5 minutes old, and 2 days may be"),
    (
        "stale",
        ConditionName.FRESHNESS,
        known(**ended(newest_at=NOON - timedelta(days=2, seconds=1))),
        UNMET,
        "2 days old",
    ),
    ("no pair", ConditionName.FRESHNESS, known(**ended(newest_at=None)), UNMET, "no pair was compared"),
    ("signed off", ConditionName.FRESHNESS, known(**FEW, sign_offs=TWO), NONE, "of any age"),
    ("long enough", ConditionName.SOAK, known(), MET, "lasted 3 days of 1 day"),
    (
        "too short",
        ConditionName.SOAK,
        known(epoch=epoch(started_at=NOON - timedelta(hours=9))),
        UNMET,
        "9 hours of 1 day",
    ),
    ("no clock", ConditionName.TICKS, known(), NONE, "no clock"),
    ("enough ticks", ConditionName.TICKS, known(cron=True, epoch=epoch(ticks=7)), MET, "7 of 7 ticks"),
    ("too few ticks", ConditionName.TICKS, known(cron=True, epoch=epoch(ticks=6)), UNMET, "6 of 7 ticks"),
    ("all compared", ConditionName.COVERAGE, known(), MET, "all 4 shapes"),
    (
        "one was not",
        ConditionName.COVERAGE,
        known(uncompared=[SHAPE]),
        UNMET,
        "1 shape of 4 that legacy showed in the last 30 days not compared in this epoch: effect http stripe POST",
    ),
    ("ended alike", ConditionName.FAILURES, known(), MET, "within legacy's + 2 %"),
    (
        "both fail often",
        ConditionName.FAILURES,
        known(**ended(neither_failed=200, both_failed=200)),
        MET,
        "200 failed on the candidate (50 %) and 200 on legacy",
    ),
    (
        "too few to tell",
        ConditionName.FAILURES,
        known(**ended(neither_failed=60)),
        UNMET,
        "121 more pairs without failure would",
    ),
    (
        "few, but signed off",
        ConditionName.FAILURES,
        known(pairs_a_day=0.1, sign_offs=TWO, **ended(neither_failed=6)),
        MET,
        "within",
    ),
    (
        "signed off, but worse",
        ConditionName.FAILURES,
        known(pairs_a_day=0.1, sign_offs=TWO, **ended(neither_failed=2, candidate_failed=8)),
        UNMET,
        "more than legacy's + 2 % is shown",
    ),
    (
        "worse",
        ConditionName.FAILURES,
        known(**ended(neither_failed=360, candidate_failed=40)),
        UNMET,
        "more than legacy's + 2 % is shown",
    ),
    (
        "worse, for show",
        ConditionName.FAILURES,
        known({"failures": {"ratio": 1, "slack": 0.02, "blocks": False}}, **ended(candidate_failed=40)),
        SHOWN,
        "more than",
    ),
    (
        "without slack nothing shows it, so nothing must speak against it",
        ConditionName.FAILURES,
        known({"failures": {"ratio": 1, "slack": 0}}, **ended(neither_failed=5)),
        MET,
        "within",
    ),
    ("for show by default", ConditionName.LATENCY, known(), SHOWN, "more than 2 times legacy's time + 1 s in 0"),
    (
        "within the bound",
        ConditionName.LATENCY,
        known({"latency": {"ratio": 2}}, **ended(timed=400, slower=120, log_ratio=40.0)),
        MET,
        "in 120 (30 %, and half may); its mean is 1.11 times legacy's",
    ),
    (
        "slower",
        ConditionName.LATENCY,
        known({"latency": {"ratio": 2}}, **ended(timed=400, slower=260)),
        UNMET,
        "that half are within it is not shown",
    ),
    ("untimed", ConditionName.LATENCY, known({"latency": {"ratio": 2}}, **ended()), UNMET, "no runs were timed"),
    ("none expired", ConditionName.ALLOWANCES, known(), MET, "no allowance"),
    (
        "expired",
        ConditionName.ALLOWANCES,
        known(expired={"s1-ab": NOON - timedelta(days=1)}),
        UNMET,
        "1 allowance expired while what it covered is still there: s1-ab on 2026-05-03",
    ),
]


@pytest.mark.parametrize(
    ("name", "of", "state", "says"),
    [pytest.param(name, of, state, says, id=f"{name.value}: {label}") for label, name, of, state, says in TABLE],
)
def test_a_condition(name: ConditionName, of: TaskKnown, state: State, says: str) -> None:
    (found,) = [condition for condition in judged(of) if condition.name is name]
    assert found.state is state, found.says
    assert says in found.says


def test_every_condition_is_judged_once_in_the_order_in_which_they_are_shown() -> None:
    assert [condition.name for condition in judged(known())] == list(ConditionName)


def test_a_task_that_nobody_has_seen_anything_of_is_not_open() -> None:
    nothing = TaskKnown("order-sync", None, known().settings, NOON)
    shut = {condition.name for condition in judged(nothing) if condition.state is UNMET}
    assert {ConditionName.STATISTIC, ConditionName.FRESHNESS, ConditionName.SOAK, ConditionName.LEAKS} <= shut


counts = st.integers(0, 3000)


def states(of: TaskKnown) -> dict[ConditionName, State]:
    return {condition.name: condition.state for condition in judged(of)}


@given(counts, counts, counts, counts, st.integers(1, 50), st.sampled_from([0.0, 0.01, 0.05]))
def test_more_failures_of_the_candidate_never_meet_the_condition(
    neither: int, candidate: int, legacy: int, both: int, more: int, slack: float
) -> None:
    settings = {"failures": {"ratio": 1.5, "slack": slack}}
    before = Ended(neither + more, candidate, legacy, both, newest_at=NOON)
    worse = replace(before, neither_failed=neither, candidate_failed=candidate + more)
    if states(known(settings, epoch=epoch(ended=before)))[ConditionName.FAILURES] is UNMET:
        assert states(known(settings, epoch=epoch(ended=worse)))[ConditionName.FAILURES] is UNMET


@given(counts, st.data())
def test_more_slow_pairs_never_meet_the_condition(timed: int, data: st.DataObject) -> None:
    settings = {"latency": {"ratio": 2.0}}
    slower = data.draw(st.integers(0, timed))
    worse = data.draw(st.integers(slower, timed))
    before = known(settings, epoch=epoch(ended=Ended(timed=timed, slower=slower)))
    after = known(settings, epoch=epoch(ended=Ended(timed=timed, slower=worse)))
    if states(before)[ConditionName.LATENCY] is UNMET:
        assert states(after)[ConditionName.LATENCY] is UNMET


@given(counts, counts, st.integers(0, 100), st.floats(0, 1))
def test_another_incomparable_pair_never_meets_the_condition(
    compared: int, found: int, more: int, budget: float
) -> None:
    def state(number: int) -> State:
        return conditions.not_comparable(
            known({"not_comparable": budget}, **counted(match=compared, not_comparable=number))
        ).state

    if state(found) is UNMET:
        assert state(found + more) is UNMET


WORSE: list[dict[str, Any]] = [
    {"critical": [OpenSignature("s1-ab", "differs")]},
    {"leaks": 2},
    {"leaks_proven": False},
    {"uncontained": "nothing is on record"},
    {"uncompared": [SHAPE]},
    {"expired": {"s1-ab": NOON}},
    {"epoch": None},
    {"epoch": epoch(started_at=NOON)},
    {"epoch": epoch(statistic=replace(OPENED, regressed_at=NOON))},
    {"epoch": epoch(statistic=statistic(400, 4))},
    {"cron": True},
]


@given(st.lists(st.sampled_from(WORSE), max_size=4), st.sampled_from(WORSE), st.booleans())
def test_something_worse_never_opens_a_gate(already: list[dict[str, Any]], more: dict[str, Any], signed: bool) -> None:
    changes: dict[str, Any] = {"sign_offs": TWO, "pairs_a_day": 0.1} if signed else {}
    for change in already:
        changes |= change
    after = states(known(**changes, **{key: value for key, value in more.items() if key not in changes}))
    if UNMET in states(known(**changes)).values():
        assert UNMET in after.values()
    if not signed:
        assert UNMET in after.values()

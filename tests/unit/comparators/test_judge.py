"""The judge's verdicts, and the shortcut that most pairs take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import comparators.diff
from comparators import (
    JSON,
    Case,
    Difference,
    Effect,
    EffectPattern,
    Ledger,
    OrderRule,
    Outcome,
    Rules,
    Severity,
    Verdict,
    judge,
    register,
    unregister,
)
from tests.unit.comparators.ledgers import (
    candidate_payout,
    completed,
    effect,
    judged,
    kinds,
    order_ledger,
    payout_ledger,
    with_data,
    with_effects,
    with_outcome,
    without,
)


@pytest.mark.parametrize(
    ("legacy", "candidate", "reason", "verdict", "explained"),
    [
        (order_ledger(), order_ledger(), None, Verdict.match, None),
        # a twin that never came
        (order_ledger(), None, None, Verdict.missing_candidate, "the candidate's run never came"),
        (None, order_ledger(), None, Verdict.missing_legacy, "the legacy run never came"),
        (None, None, None, Verdict.not_comparable, "neither run is known"),
        # silence is not success
        (order_ledger(), order_ledger(), "stale_world", Verdict.not_comparable, "stale_world"),
        # a verdict is never downgraded: mismatch > missing > not_comparable > match
        (order_ledger(), None, "stale_world", Verdict.missing_candidate, "stale_world"),
        (order_ledger(), without(order_ledger(), 1), "stale_world", Verdict.mismatch, "stale_world"),
        (None, None, "stale_world", Verdict.not_comparable, "stale_world"),
    ],
)
def test_the_verdict(
    legacy: Ledger | None, candidate: Ledger | None, reason: str | None, verdict: Verdict, explained: str | None
) -> None:
    judgement = judge(legacy, candidate, Rules(), reason=reason)
    assert judgement.verdict is verdict
    assert judgement.reason == explained
    assert bool(judgement.differences) is (verdict is Verdict.mismatch)


@pytest.mark.parametrize(
    ("status", "effects", "verdict"),
    [
        *((status, (), Verdict.not_comparable) for status in ("cancelled", "timed_out", "expired", "crashed")),
        # that they did something alike is worth something
        ("timed_out", order_ledger().effects, Verdict.match),
        # their own code ended them
        ("completed", (), Verdict.match),
        ("failed", (), Verdict.match),
    ],
)
def test_two_runs_that_never_got_to_work_are_no_match(
    status: str, effects: tuple[Effect, ...], verdict: Verdict
) -> None:
    ledger = Ledger(Outcome(status), effects)
    judgement = judged(ledger, ledger)
    assert judgement.verdict is verdict
    said = f"both runs were {status.replace('_', ' ')} before they did anything"
    assert judgement.reason == (said if verdict is Verdict.not_comparable else None)


class DiffCalled(AssertionError):
    """DeepDiff was called."""


def refuse_to_diff(*_: Any, **__: Any) -> None:
    raise DiffCalled


@pytest.mark.parametrize(
    "candidate",
    [
        # equal to the byte
        payout_ledger(),
        # in another order
        with_effects(payout_ledger(), *reversed(payout_ledger().effects)),
        # equal but for what was born in the run
        candidate_payout(),
        # without one effect: nothing is paired with it, so there is nothing to diff
        without(candidate_payout(), 1),
    ],
)
def test_deepdiff_is_not_called_for_what_is_equal(candidate: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparators.diff, "DeepDiff", refuse_to_diff)
    judged(payout_ledger(), candidate)


def test_deepdiff_is_called_for_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparators.diff, "DeepDiff", refuse_to_diff)
    with pytest.raises(DiffCalled):
        judged(payout_ledger(), with_data(candidate_payout(), 3, to="bob@x.test"))


def test_an_identical_pair_does_not_even_become_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Case:
        raise AssertionError("a case was made")

    monkeypatch.setattr(Case, "of", refuse)
    rules = Rules(before=(OrderRule(EffectPattern("http"), EffectPattern("sql")),))
    assert judged(order_ledger(), order_ledger(), rules).verdict is Verdict.match


def test_a_thousand_similar_effects_with_new_ids_and_one_change_are_judged_quickly() -> None:
    def ledger(stem: str, changed: int | None = None) -> Ledger:
        return Ledger(
            completed(),
            tuple(
                effect(
                    "sql",
                    "db",
                    "insert rows",
                    {"id": f"{stem}-{n:012x}", "sku": f"sku-{n}", "quantity": 7 if n == changed else 1},
                )
                for n in range(1000)
            ),
        )

    candidate = ledger("0190d5f6-aaaa-7bbb-8ccc", changed=500)
    candidate = replace(candidate, effects=tuple(reversed(candidate.effects)))
    started = time.process_time()
    judgement = judged(ledger("0190d5f2-7c1a-7d3e-9b5f"), candidate)
    # It takes about a quarter of a second; the margin is for a loaded machine.
    assert time.process_time() - started < 5
    assert [(d.kind, d.legacy, d.candidate) for d in judgement.differences] == [("effect.changed", 1, 7)]


def test_effects_that_only_name_each_other_are_paired_along_the_names() -> None:
    def chain(stem: str, turned: int) -> Ledger:
        names = [f"{stem}-{n * turned % 97:012x}" for n in range(60)]
        links = [
            effect("sql", "db", "insert nodes", {"id": name, "after_node": names[n - 1] if n else None})
            for n, name in enumerate(names)
        ]
        return Ledger(completed(), tuple(sorted(links, key=lambda link: str(link.data))))

    judgement = judged(chain("0190d5f2-7c1a-7d3e-9b5f", 5), chain("0190d5f6-aaaa-7bbb-8ccc", 7))
    assert judgement.verdict is Verdict.match


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        judge(Ledger(Outcome("completed", value)), Ledger(Outcome("completed", 1)), Rules())


def test_a_registered_comparator_takes_part() -> None:
    def compare_durations(case: Case) -> Iterator[Difference]:
        if case.legacy.duration_ms != case.candidate.duration_ms:
            yield case.difference(
                "latest",
                ("outcome", "duration_ms"),
                legacy=case.legacy.duration_ms,
                candidate=case.candidate.duration_ms,
                severity=Severity.minor,
                sentence="candidate took another time",
            )

    legacy = with_outcome(order_ledger(), duration_ms=1.0)
    candidate = with_data(with_outcome(order_ledger(), duration_ms=2.0), 1, note="x")
    register("latest", compare_durations)
    try:
        with pytest.raises(ValueError, match="already registered"):
            register("latest", compare_durations)
        assert kinds(judged(legacy, candidate)) == ["effect.changed", "latest"]
    finally:
        unregister("latest")
    assert kinds(judged(legacy, candidate)) == ["effect.changed"]


def test_a_reported_identity_pairs_with_effects_that_differ_in_everything_else() -> None:
    legacy = with_effects(order_ledger(), effect("email", "mail", "send", {"to": "a@x.test", "n": 1}, "1001"))
    candidate = with_effects(order_ledger(), effect("email", "mail", "send", {"to": "b@x.test", "n": 2}, "1001"))
    assert kinds(judged(legacy, candidate)) == ["effect.changed", "effect.changed"]


def test_effects_with_nothing_in_common_are_missing_and_extra() -> None:
    legacy = with_effects(order_ledger(), effect("email", "mail", "send", {"a": 1, "b": 1, "c": 1}, "1"))
    candidate = with_effects(order_ledger(), effect("email", "mail", "send", {"a": 2, "b": 2, "c": 2}, "2"))
    assert kinds(judged(legacy, candidate)) == ["effect.missing", "effect.extra"]


def test_an_effect_whose_identity_only_one_side_could_tell_is_still_paired() -> None:
    data: JSON = {"to": "a@x.test", "order": "1001"}
    legacy = with_effects(order_ledger(), effect("email", "mail", "send", data, "1001"))
    candidate = with_effects(order_ledger(), Effect("email", "mail", "send", None, data))
    assert judged(legacy, candidate).verdict is Verdict.match
    assert judged(candidate, legacy).verdict is Verdict.match

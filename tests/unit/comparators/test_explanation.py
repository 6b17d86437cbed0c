"""An explanation says what each stage of judging did with a pair."""

from __future__ import annotations

import json
from dataclasses import replace

from comparators import Effect, IgnoreRule, Judgement, Ledger, Rules, judge
from comparators.explanation import Explanation
from comparators.patch import patched
from tests.unit.comparators.ledgers import (
    CANDIDATE_START,
    candidate_payout,
    completed,
    effect,
    order_ledger,
    payout_ledger,
    with_data,
    with_effects,
    with_outcome,
    without,
)

IGNORES = Rules(ignore=(IgnoreRule("effect", "$.note", "set by hand"),))


def explained(legacy: Ledger, candidate: Ledger, rules: Rules | None = None, **more: object) -> Explanation:
    explanation = judge(legacy, candidate, rules or Rules(), task="t", explain=True, **more).explanation  # type: ignore[arg-type]
    assert explanation is not None
    return explanation


def test_explaining_changes_nothing() -> None:
    for candidate in (payout_ledger(), candidate_payout(), without(candidate_payout(), 3)):
        plain = judge(payout_ledger(), candidate, Rules(), task="t")
        assert judge(payout_ledger(), candidate, Rules(), task="t", explain=True) == plain
        assert plain.explanation is None


def test_there_is_nothing_to_explain_where_a_run_never_came() -> None:
    assert judge(payout_ledger(), None, Rules(), explain=True).explanation is None


def test_it_is_plain_json() -> None:
    wrong = with_data(candidate_payout(), 2, amount=1)
    said = explained(payout_ledger(), wrong).as_json()
    assert json.loads(json.dumps(said)) == said
    assert list(said) == [
        "identical",
        "normalised",
        "collapsed",
        "paired",
        "missing",
        "surplus",
        "unified",
        "kept",
        "moments",
        "hidden",
        "classified",
        "views",
        "verdict",
    ]


def test_it_says_that_both_say_the_same() -> None:
    explanation = explained(payout_ledger(), payout_ledger())
    assert explanation.identical
    assert {paired.equal for paired in explanation.paired} == {True}
    assert explanation.verdict == "match: nothing differs that counts"


def test_it_says_what_was_only_notation() -> None:
    call = effect("http", "crm", "POST /x", {"body": '{"a": 1}', "headers": {"Date": "now"}})
    (normalised,) = explained(
        Ledger(completed(), (call,)), Ledger(completed(), (replace(call, data={"body": {"a": 1}, "headers": {}}),))
    ).normalised
    assert normalised.effect.side == "legacy"
    assert normalised.recorded == call.data
    assert normalised.compared == {"body": {"a": 1}, "headers": {}}


def test_it_says_which_attempts_were_collapsed_and_why() -> None:
    paid = replace(effect("http", "pay", "POST /t", {"amount": 5}), idempotency_key="k")
    (collapsed,) = explained(
        Ledger(completed(), (paid, replace(paid, attempt=2))), Ledger(completed(), (paid,))
    ).collapsed
    assert (collapsed.effect.side, collapsed.effect.attempt, collapsed.instead.attempt) == ("legacy", 2, 1)
    assert collapsed.reason == "attempt 2 did it again under the idempotency key of attempt 1"


def test_it_says_how_each_pair_was_found_and_what_has_no_counterpart() -> None:
    def rows(*quantities: int) -> list[Effect]:
        return [effect("sql", "db", "insert rows", {"sku": f"s{n}", "quantity": q}) for n, q in enumerate(quantities)]

    legacy = with_effects(order_ledger(), *rows(1, 1, 1), effect("email", "mail", "send", {"to": "a@x.test"}, "1"))
    candidate = with_effects(order_ledger(), *rows(1, 7, 8), effect("event", "inngest", "a/b", {}))
    explanation = explained(legacy, candidate)
    assert [(p.legacy.position, p.candidate.position, p.found_by, p.equal) for p in explanation.paired] == [
        (0, 0, "content", True),
        (1, 1, "likeness", False),
        (2, 2, "likeness", False),
    ]
    assert [(e.side, e.kind) for e in explanation.missing] == [("legacy", "email")]
    assert [(e.side, e.kind) for e in explanation.surplus] == [("candidate", "event")]


def test_it_says_which_ids_were_unified_and_where_they_were_born() -> None:
    explanation = explained(payout_ledger(), candidate_payout())
    unified = {one.legacy: one for one in explanation.unified}
    row = unified["0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"]
    assert row.candidate == "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"
    assert row.where == "sql database/insert transactions $['id']"
    assert row.legacy_birth == "as the key of what was created in sql database/insert transactions at id"
    assert "not seen" in unified["tr_4f9a81c2d3e4b5a6"].legacy_birth
    assert [moment.because for moment in explanation.moments] == ["each follows the clock of its own run"]


def test_it_says_why_ids_that_differ_are_a_difference() -> None:
    event = {"ref": "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"}

    def ledger(ref: str) -> Ledger:
        return with_effects(order_ledger(), effect("sql", "db", "insert logs", {"ref": ref}))

    (kept,) = explained(ledger(event["ref"]), ledger("0190d5f6-aaaa-7bbb-8ccc-1234567890ab"), known=event).kept
    assert kept.reason == "legacy has it in the event"


def test_it_says_what_rules_hid() -> None:
    (hidden,) = explained(order_ledger(), with_data(order_ledger(), 1, note="x"), IGNORES).hidden
    assert hidden.place == "$['effects']['sql']['database']['upsert orders']['1001']['note']"
    assert (hidden.reason, hidden.legacy, hidden.candidate) == ("set by hand", "Grüße & <3", "x")
    # Of what is equal anyhow nothing is hidden.
    assert explained(order_ledger(), with_outcome(order_ledger(), output=1), IGNORES).hidden == ()


def test_it_says_why_a_difference_is_as_bad_as_it_is() -> None:
    wrong = with_data(without(candidate_payout(), 3), 2, amount=1)
    told = {one.kind: (one.severity, one.because) for one in explained(payout_ledger(), wrong).classified}
    assert told["effect.missing"] == ("critical", "the world lacks an effect")
    assert told["effect.changed"][1].startswith("it touches an amount")


def judged_views(legacy: Ledger, candidate: Ledger) -> tuple[Judgement, Explanation]:
    judgement = judge(legacy, candidate, Rules(), task="t", explain=True)
    assert judgement.explanation is not None
    return judgement, judgement.explanation


def test_a_view_shows_both_values_with_what_corresponds_made_equal() -> None:
    _, explanation = judged_views(payout_ledger(), with_data(candidate_payout(), 2, amount=125.49))
    (view,) = explanation.views
    assert isinstance(view.legacy, dict) and isinstance(view.candidate, dict)
    assert view.candidate == {**view.legacy, "amount": 125.49}
    assert view.text.splitlines() == [
        "  {",
        '-   "amount": 125.5',
        '+   "amount": 125.49',
        '    "created_at": "2026-03-02T10:00:01.2Z"',
        '    "id": "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"',
        "  ...",
    ]
    assert view.patch == [{"op": "replace", "path": "/amount", "value": 125.49}]
    # With the noise it is longer, and yields the very value.
    recorded = patched(view.legacy, view.recorded_patch)
    assert isinstance(recorded, dict)
    assert recorded["transfer_id"] == "tr_00b1d2c3e4f5a697"


def test_a_view_of_arrays_shows_the_item_that_is_lacking() -> None:
    legacy = with_outcome(order_ledger(start=CANDIDATE_START), output={"items": [{"n": n} for n in range(50)]})
    candidate = with_outcome(legacy, output={"items": [{"n": n} for n in range(50) if n != 20]})
    _, explanation = judged_views(legacy, candidate)
    (view,) = explanation.views
    assert view.patch == [{"op": "remove", "path": "/items/20"}]
    assert [line for line in view.text.splitlines() if line[0] == "-"] == ["-     {", '-       "n": 20', "-     }"]
    assert len(view.text.splitlines()) < 12


def test_every_difference_of_an_effect_lies_at_the_place_that_names_it() -> None:
    wrong = with_data(without(candidate_payout(), 3), 2, amount=1)
    wrong = with_effects(wrong, *wrong.effects, effect("http", "bank", "POST /v1/surplus", {"n": 1}))
    judgement = judge(payout_ledger(), wrong, Rules(), task="t", explain=True)
    explanation = judgement.explanation
    assert explanation is not None
    places = [both.place for both in explanation.paired if not both.equal]
    alone = [one.place for one in (*explanation.missing, *explanation.surplus)]
    assert places and alone
    for found in judgement.differences:
        if found.kind.startswith("effect."):
            assert found.path in alone or any(found.path.startswith(f"{place}[") for place in places)
    assert set(alone) <= {found.path for found in judgement.differences}
    assert len({*places, *alone}) == len(places) + len(alone)

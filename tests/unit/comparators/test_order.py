"""Order: where it matters, and where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from comparators import JSON, Effect, EffectPattern, Judgement, OrderRule, Rules, Severity
from comparators.ledger import Ledger
from tests.unit.comparators.ledgers import CANDIDATE_START, completed, iso, judged, kinds, with_effects

PAY_FIRST = Rules(before=(OrderRule(EffectPattern(target="bank"), EffectPattern(target="books"), "pay first"),))


def did(*words: str) -> Ledger:
    """A run that did these: "pay 1" at the bank, "book 1" in the books, each about that request."""
    effects = []
    for number, word in enumerate(words):
        what, _, identity = word.partition(" ")
        target = {"pay": "bank", "book": "books"}.get(what, "mail")
        effects.append(Effect("http", target, what, identity or None, {"n": identity}, at=float(number)))
    return Ledger(completed(), tuple(effects))


def compared(legacy: Sequence[str], candidate: Sequence[str], rules: Rules = PAY_FIRST) -> Judgement:
    return judged(did(*legacy), did(*candidate), rules)


def test_effects_are_independent_of_each_other_where_nothing_is_declared() -> None:
    assert not compared(["pay 1", "book 1", "mail 1"], ["mail 1", "book 1", "pay 1"], Rules()).differences


def test_a_declared_order_that_the_candidate_breaks_is_a_difference_of_its_own_kind() -> None:
    (difference,) = compared(["pay 1", "book 1", "mail 1"], ["mail 1", "book 1", "pay 1"]).differences
    assert (difference.kind, difference.severity) == ("effect.reordered", Severity.critical)
    assert difference.sentence == ("candidate did * books/* before * bank/*; legacy did them in the declared order")
    assert difference.legacy == ["http bank/pay", "http books/book"]
    assert difference.candidate == ["http books/book", "http bank/pay"]


def test_what_legacy_broke_is_told_but_is_nothing_bad() -> None:
    (difference,) = compared(["book 1", "pay 1"], ["pay 1", "book 1"]).differences
    assert (difference.kind, difference.severity) == ("effect.reordered", Severity.minor)
    assert difference.sentence.startswith("legacy did * books/* before * bank/*")


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        # one request after the other, side by side, or in another order: each is paid before it is booked
        (["pay 1", "book 1", "pay 2", "book 2"], ["pay 2", "book 2", "pay 1", "book 1"], []),
        (["pay 1", "book 1", "pay 2", "book 2"], ["pay 1", "pay 2", "book 2", "book 1"], []),
        (["pay 1", "book 1", "pay 2", "book 2"], ["pay 1", "book 1", "book 2", "pay 2"], ["effect.reordered"]),
        # both sides break it alike
        (["book 1", "pay 1"], ["book 1", "pay 1"], []),
        # without an identity in common it holds between all
        (["pay 1", "pay 2", "book 3"], ["pay 2", "pay 1", "book 3"], []),
        (["pay 1", "pay 2", "book 3"], ["pay 2", "book 3", "pay 1"], ["effect.reordered"]),
        # what is missing is missing and nothing more
        (["pay 1", "book 1"], ["book 1"], ["effect.missing"]),
    ],
)
def test_the_order_holds_between_effects_about_one_thing(
    legacy: list[str], candidate: list[str], expected: list[str]
) -> None:
    assert kinds(compared(legacy, candidate)) == expected


def test_of_two_effects_of_one_moment_nobody_says_which_came_first() -> None:
    at_once = did("book 1", "pay 1")
    at_once = with_effects(at_once, *(replace(effect, at=1.0) for effect in at_once.effects))
    assert not judged(did("pay 1", "book 1"), at_once, PAY_FIRST).differences


def test_a_learned_order_that_is_broken_is_a_minor_matter() -> None:
    rules = Rules(before=(replace(PAY_FIRST.before[0], learned=True),))
    (difference,) = compared(["pay 1", "book 1"], ["book 1", "pay 1"], rules).differences
    assert (difference.kind, difference.severity) == ("effect.reordered", Severity.minor)
    assert "in the order in which legacy always did them" in difference.sentence


def row(operation: str, identity: str | None = "7", **data: JSON) -> Effect:
    return Effect("sql", "shop", operation, identity, data)


def written(*effects: Effect) -> Ledger:
    return Ledger(completed(), effects)


OLDER, NEWER = row("upsert orders", total=1), row("upsert orders", total=2)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (OLDER, NEWER, Severity.critical),
        (row("upsert orders", note="a"), row("upsert orders", note="b"), Severity.major),
        (row("insert orders", note="a"), row("update orders", note="b"), Severity.major),
        (row("upsert orders", note="a"), row("delete orders"), Severity.major),
        # other columns, other rows, other tables; a clock and an id are each write's own
        (row("update orders", note="a"), row("update orders", title="b"), None),
        (row("update orders", note="a"), row("update orders", "8", note="b"), None),
        (row("update orders", note="a"), row("update order_notes", note="b"), None),
        (row("update orders", at=iso(CANDIDATE_START)), row("update orders", at=iso(CANDIDATE_START + 1)), None),
        (row("update orders", at=CANDIDATE_START), row("update orders", at=CANDIDATE_START + 1), None),
        (row("update orders", None, note="a"), row("update orders", None, note="b"), None),
        # two rows about one thing
        (row("insert lines", amount=1), row("insert lines", amount=2), None),
        (row("upsert lines", id="1", amount=1), row("upsert lines", id="2", amount=2), None),
    ],
)
def test_of_two_writes_of_one_row_the_last_stays(one: Effect, other: Effect, expected: Severity | None) -> None:
    found = judged(written(one, other), written(other, one)).differences
    assert [(d.kind, d.severity) for d in found] == ([] if expected is None else [("effect.reordered", expected)])


def test_what_stays_is_named() -> None:
    (difference,) = judged(written(OLDER, NEWER), written(NEWER, OLDER)).differences
    assert difference.sentence == (
        "candidate ran upsert orders in shop for 7 before another write of it that legacy did earlier: its total"
        " stays another"
    )
    assert difference.legacy == [["upsert orders", {"total": 1}], ["upsert orders", {"total": 2}]]


def test_writes_that_are_overwritten_anyway_may_come_in_any_order() -> None:
    last = row("upsert orders", total=3)
    assert not judged(written(OLDER, NEWER, last), written(NEWER, OLDER, last)).differences

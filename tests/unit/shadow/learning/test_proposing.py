"""Proposals: the narrowest rule that explains what drifts, and none for what looks like a fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import JSON, Effect, Ledger, Outcome, Rules, Verdict, judge
from comparators.diff import How
from shadow.judge.accepted import joined, rule_of
from shadow.learning.place import Place
from shadow.learning.proposing import Proposed, Refused, Seen, propose
from shadow.learning.refusal import Refusal

OUTPUT = Place("output", "*", "*", "*", '$["it"]')


def seen(
    values: Sequence[tuple[JSON, JSON]],
    *,
    place: Place = OUTPUT,
    how: str = How.changed,
    compared: int = 40,
    twice: bool = True,
) -> Seen:
    return Seen(place, compared, len(values), [(a, b, how) for a, b in values], twice)


def proposed(values: Sequence[tuple[JSON, JSON]], **options: Any) -> dict[str, Any]:
    """What is said of the value, without the place and the reason."""
    found = propose(seen(values, **options))
    assert isinstance(found, Proposed), found
    said = dict(found.settings)
    assert "40 pairs" in said.pop("reason")
    return {key: value for key, value in said.items() if key not in ("scope", "path", "kind", "target", "operation")}


def refused(values: Sequence[tuple[JSON, JSON]], **options: Any) -> Refusal:
    found = propose(seen(values, **options))
    assert isinstance(found, Refused), found
    assert found.because
    return found.refusal


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(100, 104), (210, 200), (300, 301)], {"type": "number", "relative": 0.071}),
        ([(1, 900), (44, 3), (7, 2000)], {"type": "presence"}),  # too wide for a tolerance
        ([("a  b", "a b"), ("c\n", "c"), ("d", " d")], {"type": "text"}),
        ([("Hello", "hello"), ("You", "YOU"), ("x y", "X  y")], {"type": "text", "case": "fold"}),
        (
            [
                ("2026-05-01T10:00:00Z", "2026-05-01T10:00:30Z"),
                ("2026-05-01T11:00:07Z", "2026-05-01T11:00:00Z"),
                ("2026-05-02T10:00:00Z", "2026-05-02T10:00:02Z"),
            ],
            {"type": "timestamp", "tolerance": 45.0},
        ),
        (
            [
                ("https://cdn.test/a.png?sig=1&w=3", "https://cdn.test/a.png?w=3&sig=2"),
                ("https://cdn.test/b.png?sig=4", "https://cdn.test/b.png?sig=5"),
                ("https://cdn.test/c.png?sig=6&exp=1", "https://cdn.test/c.png?sig=7&exp=2"),
            ],
            {"type": "url", "without": ["exp", "sig"]},
        ),
        ([("A-17", "A-18"), ("A-20", "A-19"), ("B-1", "B-22")], {"type": "id"}),
        ([("node3", "node4"), ("node4", "node3"), ("node3", "node1")], {"type": "pattern", "regex": "[0-9A-Za-z]{5}"}),
        ([("one two", "three four"), ("five six", "x y"), ("a b", "c d")], {"type": "presence"}),
        ([([1, 2], [2, 1]), ([3, 4, 4], [4, 3, 4]), ([5, 6], [6, 5])], {"type": "set"}),
        ([(True, False), (False, True), (True, False)], {"type": "presence"}),
        ([("12", 12), (4, "4"), ("1", 1)], {"type": "ignore"}),
    ],
    ids=lambda value: str(value.get("type")) if isinstance(value, dict) else None,
)
def test_the_narrowest_rule_that_explains_what_drifts(
    values: list[tuple[JSON, JSON]], expected: dict[str, Any]
) -> None:
    assert proposed(values) == expected


def test_a_value_that_one_run_lacks_can_only_be_left_out() -> None:
    assert proposed([(1, None), (None, 2), (3, None)], how=How.added) == {"type": "ignore"}


@pytest.mark.parametrize(
    ("values", "options", "refusal"),
    [
        ([(1, 2), (3, 4)], {}, Refusal.TOO_FEW),
        ([(1, 2), (3, 5), (9, 4)], {"compared": 9}, Refusal.TOO_FEW),
        ([({"a": 1}, {"a": 2})] * 3, {}, Refusal.WHOLE_VALUE),
        ([(1, 2), (3, 5), (9, 4)], {"place": Place("output", "*", "*", "*", "$")}, Refusal.WHOLE_VALUE),
        ([([1], [2]), ([3], [4, 5]), ([6], [7])], {}, Refusal.WHOLE_VALUE),
        # What nobody may hide, however it drifts.
        ([(10, 10.5), (20, 19), (30, 31)], {"place": Place("output", "*", "*", "*", '$["amount"]')}, Refusal.PROTECTED),
        (
            [("a@x.test", "b@x.test"), ("c@x.test", "d@x.test"), ("e@x.test", "f@x.test")],
            {"place": Place("effect", "email", "mail", "send", '$["to"][*]')},
            Refusal.PROTECTED,
        ),
    ],
)
def test_what_is_over_broad_is_refused(
    values: list[tuple[JSON, JSON]], options: dict[str, Any], refusal: Refusal
) -> None:
    assert refused(values, **options) is refusal


HOUR = [
    ("2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z"),
    ("2026-05-01T11:30:00Z", "2026-05-01T12:30:00.4Z"),
    ("2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"),
]


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ([(12, 1200), (5, 500), (7, 700)], Refusal.SYSTEMATIC),  # cents for units
        ([(12, 13), (5, 6), (7, 8)], Refusal.SYSTEMATIC),  # off by one
        (HOUR, Refusal.SYSTEMATIC),  # another time zone
        ([("12", 12), ("5", 5), ("7", 7)], Refusal.SYSTEMATIC),  # another type
        ([("a & b", "a &amp; b"), ("<c>", "&lt;c&gt;"), ("'d'", "&#x27;d&#x27;")], Refusal.SYSTEMATIC),
        ([("Ab", "AB"), ("cD", "CD"), ("ef", "EF")], Refusal.SYSTEMATIC),
        ([(1, None), (2, None), (3, None)], Refusal.ONE_SIDED),
        ([("a1", "x"), ("a2", "x"), ("a3", "x")], Refusal.ONE_SIDED),  # a constant where legacy computes
        ([("x", "a1"), ("x", "a2"), ("x", "a3")], Refusal.ONE_SIDED),
        ([(100, 104), (210, 215), (300, 301)], Refusal.SYSTEMATIC),  # always more, by some noise
        (
            [
                ("2026-05-01T10:00:00Z", "2026-05-01T10:05:00Z"),
                ("2026-05-01T11:00:00Z", "2026-05-01T11:05:07Z"),
                ("2026-05-02T10:00:00Z", "2026-05-02T10:04:50Z"),
            ],
            Refusal.SYSTEMATIC,  # always later, by some noise
        ),
        ([(100, 104), (104, 108), (108, 100)], Refusal.SYSTEMATIC),  # the next order's
        ([("gold", "silver"), ("silver", "iron"), ("iron", "gold")], Refusal.SYSTEMATIC),
        ([([1, 2], [2, 1]), ([3, 4, 5], [5, 4, 3]), ([6, 7], [7, 6])], Refusal.SYSTEMATIC),  # sorted the other way
        # A candidate that makes values up, or takes others', drifts as noise does.
        ([("A-17", "X-18"), ("A-20", "X-99"), ("B-1", "X-22")], Refusal.UNWITNESSED),
        ([("one two", "three four"), ("five six", "x y"), ("a b", "c d")], Refusal.UNWITNESSED),
        ([(1, 900), (44, 3), (7, 2000)], Refusal.UNWITNESSED),
        (
            [(f"https://x.test/?order={number}", f"https://x.test/?order={number * 7 + 9}") for number in range(1, 5)],
            Refusal.UNWITNESSED,
        ),
    ],
)
def test_what_looks_like_a_fault_is_no_noise_unless_legacy_does_it_to_itself(
    values: list[tuple[JSON, JSON]], refusal: Refusal
) -> None:
    assert refused(values, twice=False) is refusal
    assert isinstance(propose(seen(values, twice=True)), Proposed)


@pytest.mark.parametrize(
    ("live", "how", "refusal"),
    [
        ([("a1", "undefined"), ("a2", "undefined"), ("a3", "undefined")], How.changed, Refusal.ONE_SIDED),
        ([("a1", None), ("a2", None), ("a3", None)], How.dropped, Refusal.ONE_SIDED),
        ([("a1", "A1"), ("a2", "A2"), ("b3", "B3")], How.changed, Refusal.SYSTEMATIC),
    ],
)
def test_where_legacy_drifts_the_candidate_has_to_drift_too(
    live: list[tuple[JSON, JSON]], how: str, refusal: Refusal
) -> None:
    noise: list[tuple[JSON, JSON, str]] = [(f"x{number}", f"y{number}", How.changed) for number in range(5)]
    drifting = [(f"p{number}", f"q{number}", str(How.changed)) for number in range(5)]
    assert isinstance(propose(Seen(OUTPUT, 40, 5, noise, True, drifting)), Proposed)
    found = propose(Seen(OUTPUT, 40, 5, noise, True, [(a, b, how) for a, b in live]))
    assert isinstance(found, Refused), found
    assert found.refusal is refusal


@given(st.lists(st.tuples(st.text("abc0123 -", min_size=1), st.text("abc0123 -", min_size=1)), min_size=3, max_size=12))
def test_live_pairs_never_make_a_value_not_matter(values: list[tuple[JSON, JSON]]) -> None:
    found = propose(seen([(a, b) for a, b in values if a != b], twice=False))
    if isinstance(found, Proposed):
        rules = joined(Rules(), [found.rule])
        assert judged(rules, "of one order", "of another") is Verdict.mismatch


def test_a_member_that_only_one_side_has_is_a_fault() -> None:
    assert refused([(1, None), (2, None), (3, None)], how=How.dropped, twice=False) is Refusal.SYSTEMATIC


def judged(rules: Rules, legacy: JSON, candidate: JSON) -> Verdict:
    outcomes = [
        Outcome("completed", {"it": value, "more": {"amount": 5, "note": "n"}}) for value in (legacy, candidate)
    ]
    effect = Effect("http", "shop", "PUT /orders", "o", {"body": {"note": "same"}})
    mine, theirs = (Ledger(outcome, (effect,)) for outcome in outcomes)
    return judge(mine, theirs, rules).verdict


SCALARS = st.one_of(st.integers(1, 10_000), st.text("abcdefgh 0123", min_size=1, max_size=12), st.booleans())


@given(st.lists(st.tuples(SCALARS, SCALARS).filter(lambda pair: pair[0] != pair[1]), min_size=3, max_size=8))
def test_a_proposed_rule_hides_what_was_seen_and_nothing_beside_it(values: list[tuple[JSON, JSON]]) -> None:
    found = propose(seen(values))
    if isinstance(found, Refused):
        return
    rule = rule_of(found.settings)
    assert rule == found.rule
    assert rule.path == OUTPUT.path
    rules = joined(Rules(), [rule])
    for legacy, candidate in values:
        assert judged(rules, legacy, candidate) is Verdict.match, (rule, legacy, candidate)

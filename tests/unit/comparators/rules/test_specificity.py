"""At each place one rule holds: the most specific."""

from __future__ import annotations

from typing import Any

import pytest

from comparators import JSON, IgnoreRule, Rules, ValueRule
from comparators.rules import EmbeddedJsonRule, ExactRule, KeyedListRule, NumberRule, PresenceRule, TextRule
from tests.unit.comparators.rules.places import judged, same


def number(path: str = "$.score", absolute: float = 1, **effect: Any) -> ValueRule:
    return NumberRule("effect", path, absolute=absolute, **effect)


@pytest.mark.parametrize(
    ("closer", "wider"),
    [
        # first the effects: a target spelled out, or more of the effect said
        (number("$.*.score", target="stripe"), number("$.body.score", target="*")),
        (number(kind="http", target="stripe"), number(target="stripe")),
        (number(operation="POST /v1/transfers"), number(operation="POST *")),
        (number(operation="POST *"), number()),
        # then the path
        (number("$.body.score"), number("$.*.score")),
        (number("$.items[0].score"), number("$.items[*].score")),
        (number("$.items[*].score"), number("$..score")),
        (number("$.body.score"), number("$..body.score")),
        (number("$.score"), number("$['score', 'note']")),
    ],
)
def test_a_rule_that_says_more_is_more_specific(closer: ValueRule, wider: ValueRule) -> None:
    assert closer.specificity > wider.specificity


def test_the_most_specific_rule_wins_whatever_the_order_in_which_they_stand() -> None:
    wide, close = number("$..score", absolute=100), ExactRule("effect", "$.a.score")
    for rules in ((wide, close), (close, wide)):
        assert not same({"a": {"score": 1}}, {"a": {"score": 2}}, *rules)
        assert same({"b": {"score": 1}}, {"b": {"score": 2}}, *rules)


def test_of_equally_specific_rules_the_first_wins_but_ignore_always_does() -> None:
    strict, loose = ExactRule("effect", "$.a"), number("$.a")
    assert not same({"a": 1}, {"a": 2}, strict, loose)
    assert same({"a": 1}, {"a": 2}, loose, strict)
    assert same({"a": 1}, {"a": 9}, strict, IgnoreRule("effect", "$.a", "r"))


def test_a_rule_below_an_ignored_value_brings_its_own_place_back() -> None:
    rules = (IgnoreRule("effect", "$.meta", "r"), TextRule("effect", "$.meta.title"))
    assert same({"meta": {"title": "a b", "x": 1}}, {"meta": {"title": "a  b", "x": 2}}, *rules)
    assert not same({"meta": {"title": "a", "x": 1}}, {"meta": {"title": "b", "x": 2}}, *rules)


def test_a_rule_is_counted_by_what_it_says_not_by_why() -> None:
    assert PresenceRule("effect", "$.a", "one").id == PresenceRule("effect", "$.a", "another").id
    ids = {
        PresenceRule("effect", "$.a", "r").id,
        IgnoreRule("effect", "$.a", "r").id,
        PresenceRule("output", "$.a", "r").id,
        PresenceRule("effect", "$.b", "r").id,
        PresenceRule("effect", "$.a", "r", kind="sql").id,
        number(absolute=1).id,
        number(absolute=2).id,
    }
    assert len(ids) == 7
    # Part of what is stored: another way to make it would start every count anew.
    assert ExactRule("effect", "$.a").id == "r1-2fa058adc6bc796e"


def test_rules_speak_of_outputs_or_of_effects_of_a_pattern() -> None:
    rules = Rules(values=(number(target="stripe"), NumberRule("output", "$.score", absolute=1)))
    assert [rule.scope for rule in rules.of_output()] == ["output"]
    assert rules.of_effect("http", "stripe", "POST /v1/x") == (rules.values[0],)
    assert rules.of_effect("http", "slack", "POST /x") == ()


def test_what_rules_did_is_counted_in_values() -> None:
    rules = (
        number("$.items[*].score"),
        IgnoreRule("effect", "$.note", "r"),
        TextRule("effect", "$.title"),
        ExactRule("effect", "$.gone"),
    )
    judgement = judged(
        {"items": [{"score": 1}, {"score": 5}, {"score": 9}], "note": "a", "title": "same"},
        {"items": [{"score": 1}, {"score": 5.5}, {"score": 99}], "note": "b", "title": "same"},
        *rules,
    )
    uses = {use.rule: (use.selected, use.hid) for use in judgement.uses}
    assert uses == {rules[0].id: (3, 1), rules[1].id: (1, 1), rules[2].id: (1, 0)}


def test_what_two_equal_ledgers_hold_is_counted_too() -> None:
    rules = (number("$.items[*].score"), ExactRule("effect", "$.gone"))
    data: JSON = {"items": [{"score": 1}, {"score": 2}]}
    judgement = judged(data, data, *rules)
    assert [(use.rule, use.selected, use.hid) for use in judgement.uses] == [(rules[0].id, 2, 0)]


def test_an_ignored_value_whose_ids_correspond_hides_nothing() -> None:
    rule = IgnoreRule("effect", "$.job", "r")
    legacy, candidate = "0190d5f2-7c1a-7d3e-9b5f-000000000001", "0190d5f6-aaaa-7bbb-8ccc-000000000009"
    uses = judged({"job": legacy, "n": 1}, {"job": candidate, "n": 2}, rule).uses
    assert [(use.selected, use.hid) for use in uses] == [(1, 0)]


def test_what_is_hidden_within_items_that_moved_and_texts_that_were_read_is_counted_where_it_is() -> None:
    rules = (
        EmbeddedJsonRule("effect", "$.doc"),
        KeyedListRule("effect", "$.doc.lines", by=("$.sku",)),
        number("$.doc.lines[*].score"),
    )
    legacy = '{"lines": [{"sku": "A", "score": 1}, {"sku": "B", "score": 5}]}'
    candidate = '{"lines": [{"sku": "B", "score": 5}, {"sku": "A", "score": 1.5}]}'
    uses = {use.rule: (use.selected, use.hid) for use in judged({"doc": legacy}, {"doc": candidate}, *rules).uses}
    assert uses == {rules[0].id: (1, 1), rules[1].id: (1, 1), rules[2].id: (2, 1)}

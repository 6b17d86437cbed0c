"""What a catalogue may tell the judge, and the table of it in the reference, which does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
import yaml

from comparators import JSON, VALUE_RULES, Rules
from comparators.rules import EffectPattern, NumberRule, OrderRule, TimestampRule
from shadow.catalogue import CatalogueError, parse
from shadow.judge.rulebook import Rulebook
from tests.unit.comparators.rules.places import same
from tests.unit.shadow.catalogue.generated import ENVIRON, small

PAGE = (Path(__file__).parents[4] / "docs/reference/catalogue.md").read_text()
ROWS = re.findall(r"^\| `([a-z]+)` \| `(\{type: .*?\})` \| `(.*?)` and `(.*?)` \| `(.*?)` and `(.*?)` \|$", PAGE, re.M)
EVENT = "event: payout/approved"


def rules(written: str) -> Rules:
    """The rules of a task whose catalogue says that of `rules`."""
    catalogue = parse(small((EVENT, f"{EVENT}\n    rules: {written}")), "c.yaml", ENVIRON)
    return Rulebook(catalogue).rules("pay")


def refused(written: str) -> str:
    with pytest.raises(CatalogueError) as raised:
        rules(written)
    assert len(raised.value.problems) == 1
    return str(raised.value)


@pytest.mark.parametrize(("rule_type", "entry", "one", "alike", "other", "unlike"), ROWS)
def test_every_example_of_the_reference_does_what_it_says(
    rule_type: str, entry: str, one: str, alike: str, other: str, unlike: str
) -> None:
    (rule,) = rules(f"{{values: [{entry}]}}").values
    assert rule.type == rule_type == yaml.safe_load(entry)["type"]

    def document(text: str) -> JSON:
        return {rule.path.removeprefix("$.").removesuffix("[*]"): orjson.loads(text)}

    assert same(document(one), document(alike), rule)
    assert not same(document(other), document(unlike), rule)


def test_every_type_has_an_example_in_the_reference() -> None:
    assert {row[0] for row in ROWS} == VALUE_RULES.keys() - {"ignore"}


def test_rules_come_to_the_judge_as_they_are_written() -> None:
    made = rules(
        "{values: [{type: timestamp, scope: output, path: $.at, tolerance: 2m, target: x}], attempts: true,"
        " before: [{first: {kind: http}, then: {kind: sql, operation: insert *}, reason: pay first}]}"
    )
    assert made == Rules(
        values=(TimestampRule("output", "$.at", target="x", tolerance=120.0),),
        before=(OrderRule(EffectPattern("http"), EffectPattern("sql", "*", "insert *"), "pay first"),),
        attempts=True,
    )


def test_a_rule_of_a_category_is_inherited() -> None:
    more = "defaults: {rules: {values: [{type: number, scope: output, path: $.n, absolute: 1}]}}\n"
    catalogue = parse(small(more=more), "c.yaml", ENVIRON)
    assert Rulebook(catalogue).rules("pay").values == (NumberRule("output", "$.n", absolute=1),)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "{ignore: [{scope: effect, path: $.amount, reason: r}]}",
            "c.yaml:37: tasks.pay.rules.ignore[0].path: found '$.amount' of the type ignore, which touches amounts,"
            " currency, recipients, tenants or accounts: these cannot be ignored, expected another path; for these the"
            " types exact, money, set, list and json are allowed",
        ),
        (
            "{values: [{type: id, scope: effect, path: $.tenantId}]}",
            "c.yaml:37: tasks.pay.rules.values[0].path: found '$.tenantId' of the type id, which touches amounts,"
            " currency, recipients, tenants or accounts: these cannot be taken for a generated id, expected another"
            " path; for these the types exact, money, set, list and json are allowed",
        ),
        (
            "{values: [{type: presence, scope: effect, path: $.*, reason: r}]}",
            "c.yaml:37: tasks.pay.rules.values[0].path: found '$.*', which selects everything, amounts, currency,"
            " recipients, tenants or accounts included, expected a path that names what is meant",
        ),
        (
            "{values: [{type: number, scope: effect, path: $.n, absolute: -1}]}",
            "c.yaml:37: tasks.pay.rules.values[0].absolute: found absolute -1.0 and relative 0.0, expected a tolerance:"
            " an absolute one above 0, or a relative one between 0 and 1",
        ),
        (
            "{values: [{type: numbr, scope: effect, path: $.n}]}",
            "c.yaml:37: tasks.pay.rules.values[0].type: found 'numbr', expected one of exact, id, json, list, money,"
            " number, pattern, presence, set, text, timestamp, url (did you mean 'number'?)",
        ),
        (
            "{values: [{scope: effect, path: $.n}]}",
            "c.yaml:37: tasks.pay.rules.values[0].type: found nothing, expected one of exact, number, money, timestamp,"
            " id, text, url, set, list, json, presence, pattern",
        ),
        (
            "{values: [{type: url, scope: effect, path: $.n, withot: [a]}]}",
            "c.yaml:37: tasks.pay.rules.values[0].withot: found the unknown key 'withot', expected one of kind,"
            " operation, path, reason, scope, target, type, without (did you mean 'without'?)",
        ),
        (
            "{values: [{type: pattern, scope: effect, path: $.n, regex: a+}]}",
            "c.yaml:37: tasks.pay.rules.values[0].reason: found nothing, expected this key",
        ),
        (
            "{values: [{type: pattern, scope: effect, path: $.n, regex: '(a+)+(?=b)', reason: x}]}",
            "c.yaml:37: tasks.pay.rules.values[0].regex: found '(a+)+(?=b)' (invalid perl operator: (?=), expected a"
            " regular expression (Python's) that no text can make slow: without lookaround, back references, atomic"
            " groups and possessive repetition, and with no more than 1000 repetitions",
        ),
        (
            "{values: [{type: timestamp, scope: effect, path: $.n, timezone: Mars}]}",
            "c.yaml:37: tasks.pay.rules.values[0].timezone: found 'Mars', expected a time zone such as Europe/Berlin",
        ),
        (
            "{values: [{type: set, scope: effect, path: n}]}",
            "c.yaml:37: tasks.pay.rules.values[0].path: found 'n' (it must begin with $), expected a JSONPath as in"
            " RFC 9535",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_what_was_found_and_what_is_allowed(written: str, expected: str) -> None:
    assert refused(written) == expected

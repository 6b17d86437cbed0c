"""Rules, and which of them are refused."""

from __future__ import annotations

import pytest

from comparators import EffectPattern, IdentityRule, IgnoreRule, RuleError, ValueRule
from comparators.rules import (
    EmbeddedJsonRule,
    ExactRule,
    KeyedListRule,
    MoneyRule,
    NumberRule,
    OpaqueIdRule,
    PatternRule,
    PresenceRule,
    SetRule,
    TextRule,
    TimestampRule,
    UrlRule,
)


@pytest.mark.parametrize(
    "path",
    [
        "$.amount",
        "$..total",
        "$.order.totalPrice",
        "$.lines[*].unit_price",
        "$.currency",
        "$.to",
        "$.to[*]",
        "$.to[*].name",
        "$.recipient.id",
        "$.cc",
        "$.email",
        "$['note', 'amount']",
        "$['amount', 'note']",
        "$.x['email', 'note']",
        "$.tenantId",
        "$.account",
        "$.destination",
        # Meta's hashed address
        "$.user_data.em",
    ],
)
def test_a_rule_for_amounts_currency_recipients_or_tenants_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be ignored"):
        IgnoreRule("effect", path, "noise")
    with pytest.raises(ValueError, match="cannot be given a tolerance"):
        NumberRule("output", path, "noise", absolute=1)
    with pytest.raises(ValueError, match="cannot be taken for a generated id"):
        OpaqueIdRule("output", path)
    with pytest.raises(ValueError, match="cannot be taken for a moment"):
        TimestampRule("output", path)
    with pytest.raises(ValueError, match="cannot be checked for presence only"):
        PresenceRule("output", path, "noise")
    with pytest.raises(ValueError, match="cannot be compared by a pattern only"):
        PatternRule("output", path, "noise", regex="a+")
    with pytest.raises(ValueError, match="cannot be compared loosely"):
        TextRule("output", path, case="fold")
    with pytest.raises(ValueError, match="cannot be compared without some of its parameters"):
        UrlRule("output", path, without=("x",))


@pytest.mark.parametrize(
    "rule",
    [
        ExactRule("effect", "$.total"),
        MoneyRule("effect", "$.total", currency="@.currency"),
        NumberRule("effect", "$.total", absolute=1e-6),
        SetRule("effect", "$.to"),
        KeyedListRule("effect", "$.accounts", by=("$.id",)),
        EmbeddedJsonRule("effect", "$.recipient"),
        TextRule("effect", "$.to"),
        UrlRule("effect", "$.destination"),
    ],
)
def test_a_rule_that_weakens_nothing_may_speak_of_amounts_and_recipients(rule: ValueRule) -> None:
    assert rule.weakens() is None
    assert rule.id.startswith("r1-")


def test_what_is_refused_says_what_is_allowed() -> None:
    with pytest.raises(RuleError) as raised:
        IgnoreRule("effect", "$.amount", "noise")
    assert raised.value.key == "path"
    assert "'$.amount'" in raised.value.found
    assert "exact, money, set, list and json" in raised.value.expected


@pytest.mark.parametrize("path", ["$", "$.*", "$..*", "$[0]", "$[*][*]", "$[?@.a == 1]"])
def test_a_rule_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="selects everything"):
        IgnoreRule("effect", path, "noise")


@pytest.mark.parametrize(
    "path", ["$.note", "$.email_id", "$..updatedAt", "$.tags[*]", "$.items[?@.amount > 5].note", "$.headers.*"]
)
def test_a_rule_for_anything_else_is_taken(path: str) -> None:
    assert IgnoreRule("effect", path, "noise").path == path


def test_a_rule_needs_a_reason_a_scope_and_a_path() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        IgnoreRule("effect", "$.note", " ")
    with pytest.raises(ValueError, match="expected the scope"):
        IgnoreRule("run", "$.note", "noise")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="expected a JSONPath"):
        IgnoreRule("effect", "note", "noise")


@pytest.mark.parametrize(("absolute", "relative"), [(0.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -0.1)])
def test_a_tolerance_has_to_tolerate_something_and_not_everything(absolute: float, relative: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        NumberRule("effect", "$.score", "noise", absolute=absolute, relative=relative)


def test_an_identity_rule_needs_valid_paths() -> None:
    with pytest.raises(ValueError, match="at least one"):
        IdentityRule("email")
    with pytest.raises(ValueError, match="expected a JSONPath"):
        IdentityRule("email", paths=("orderId",))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (EffectPattern(), True),
        (EffectPattern("http", "shopify", "GET *"), True),
        (EffectPattern(operation="get *"), False),
        (EffectPattern("sql"), False),
        (EffectPattern(target="shop"), False),
    ],
)
def test_a_pattern_selects_by_kind_target_and_operation(pattern: EffectPattern, expected: bool) -> None:
    assert pattern.selects("http", "shopify", "GET /orders/1.json") is expected

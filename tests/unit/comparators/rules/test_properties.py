"""What holds for rules of each type, whatever they are applied to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from comparators import Effect, Ledger, Rules, ValueRule, Verdict
from comparators.rules import (
    EmbeddedJsonRule,
    ExactRule,
    IgnoreRule,
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
from tests.unit.comparators.test_properties import judged, ledgers, rerun

FEWER = settings(max_examples=15, deadline=None)
"""Of each of thirteen types."""

PATHS = ["$.note", "$.jobId", "$..items", "$.items[*]", "$[0].note", "$..created_at", "$.items[?@.note].note"]
WIDENING: list[tuple[type[ValueRule], dict[str, Any]]] = [
    (IgnoreRule, {}),
    (NumberRule, {"absolute": 1.5}),
    (MoneyRule, {}),
    (OpaqueIdRule, {}),
    (TextRule, {"case": "fold"}),
    (UrlRule, {"without": ("utm_*",)}),
    (SetRule, {}),
    (KeyedListRule, {"by": ("$.note",)}),
    (PresenceRule, {}),
    (PatternRule, {"regex": "[a-z]*"}),
]
"""They make differences go away and nothing else."""
NARROWING: list[tuple[type[ValueRule], dict[str, Any]]] = [
    (ExactRule, {}),
    (TimestampRule, {"relative": False}),
    (EmbeddedJsonRule, {}),
]
"""They may also find what is not one without them."""

paths = st.sampled_from(PATHS)
scopes = st.sampled_from(["output", "effect"])


def test_every_type_says_which_it_is() -> None:
    assert not any(rule.may_narrow for rule, _ in WIDENING)
    assert all(rule.may_narrow for rule, _ in NARROWING)


@pytest.mark.parametrize(("rule", "fields"), WIDENING, ids=lambda value: getattr(value, "type", ""))
@FEWER
@given(one=ledgers, other=ledgers | st.none(), path=paths, scope=scopes)
def test_a_widening_rule_never_turns_a_match_into_a_mismatch(
    rule: type[ValueRule], fields: dict[str, Any], one: Ledger, other: Ledger | None, path: str, scope: str
) -> None:
    candidate = rerun(one) if other is None else other
    assume(judged(one, candidate).verdict is Verdict.match)
    made = rule(scope, path, "r", **fields)  # type: ignore[arg-type]  # drawn from the two there are
    assert judged(one, candidate, Rules(values=(made,))).verdict is Verdict.match


@pytest.mark.parametrize(("rule", "fields"), [*WIDENING, *NARROWING], ids=lambda value: getattr(value, "type", ""))
@FEWER
@given(one=ledgers, path=paths, scope=scopes)
def test_under_any_rule_a_ledger_matches_itself(
    rule: type[ValueRule], fields: dict[str, Any], one: Ledger, path: str, scope: str
) -> None:
    made = rule(scope, path, "r", **fields)  # type: ignore[arg-type]  # as above
    assert judged(one, one, Rules(values=(made,))).verdict is Verdict.match


@pytest.mark.parametrize(("rule", "fields"), [*WIDENING, *NARROWING], ids=lambda value: getattr(value, "type", ""))
@FEWER
@given(
    one=ledgers,
    name=st.sampled_from(["amount", "to", "tenantId"]),
    path=st.sampled_from(["$.note", "$..items", "$.note.items[*]", "$.note.*", "$..[0]['x', 'y']"]),
    embedded=st.booleans(),
)
def test_no_rule_hides_a_protected_value(
    rule: type[ValueRule], fields: dict[str, Any], one: Ledger, name: str, path: str, embedded: bool
) -> None:
    def with_effect(value: int) -> Ledger:
        data: Any = {"note": {"items": [{name: value}], "x": {name: value}}}
        return Ledger(one.outcome, (*one.effects, Effect("sql", "x", "write", "9", data)))

    try:
        made = rule("effect", path, "r", **fields)
    except ValueError:
        assume(False)
    judgement = judged(with_effect(1), with_effect(5), Rules(values=(made,)))
    found = {(d.legacy, d.candidate) for d in judgement.differences if name in d.path or d.path.endswith("['note']")}
    assert judgement.verdict is Verdict.mismatch
    assert found


@pytest.mark.parametrize(("rule", "fields"), [*WIDENING, *NARROWING], ids=lambda value: getattr(value, "type", ""))
@FEWER
@given(one=ledgers, other=ledgers, path=paths, scope=scopes)
def test_no_rule_changes_what_is_paired(
    rule: type[ValueRule], fields: dict[str, Any], one: Ledger, other: Ledger, path: str, scope: str
) -> None:
    made = rule(scope, path, "r", **fields)  # type: ignore[arg-type]  # as above
    unpaired = ("effect.missing", "effect.extra", "effect.duplicate")

    def of(rules: Rules) -> list[tuple[str, str]]:
        return [(d.kind, d.path) for d in judged(one, other, rules).differences if d.kind in unpaired]

    assert of(Rules(values=(made,))) == of(Rules())


@pytest.mark.parametrize(("rule", "fields"), [*WIDENING, *NARROWING], ids=lambda value: getattr(value, "type", ""))
@FEWER
@given(one=ledgers, other=ledgers, path=paths, scope=scopes)
def test_no_rule_depends_on_which_side_is_called_legacy(
    rule: type[ValueRule], fields: dict[str, Any], one: Ledger, other: Ledger, path: str, scope: str
) -> None:
    made = Rules(values=(rule(scope, path, "r", **fields),))  # type: ignore[arg-type]  # as above
    forth, back = judged(one, other, made), judged(other, one, made)
    assert forth.verdict is back.verdict
    assert len(forth.differences) == len(back.differences)


@settings(max_examples=100, deadline=None)
@given(
    one=ledgers,
    other=ledgers | st.none(),
    some=st.lists(st.tuples(st.sampled_from([*WIDENING, *NARROWING]), paths, scopes), max_size=3),
    ignored=st.lists(st.tuples(paths, scopes), min_size=1, max_size=2),
)
def test_beside_whatever_rules_an_ignore_rule_never_turns_a_match_into_a_mismatch(
    one: Ledger,
    other: Ledger | None,
    some: list[tuple[tuple[type[ValueRule], dict[str, Any]], str, str]],
    ignored: list[tuple[str, str]],
) -> None:
    candidate = rerun(one) if other is None else other
    values = tuple(rule(scope, path, "r", **fields) for (rule, fields), path, scope in some)  # type: ignore[arg-type]
    assume(judged(one, candidate, Rules(values=values)).verdict is Verdict.match)
    more = tuple(IgnoreRule(scope, path, "r") for path, scope in ignored)  # type: ignore[arg-type]  # as above
    assert judged(one, candidate, Rules(values=values, ignore=more)).verdict is Verdict.match

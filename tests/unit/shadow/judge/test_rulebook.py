"""What the catalogue says of a task becomes the comparators' rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from comparators import IdentityRule, IgnoreRule, RatioRule, Rules
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import IgnoreSetting, RuleSettings
from shadow.judge.rulebook import DEFAULT_SETTLE, Rulebook
from tests.integration.judge.world import catalogue


def with_rules(rules: RuleSettings) -> ResolvedCatalogue:
    known = catalogue()
    tasks = {"order-sync": replace(known.tasks["order-sync"], rules=rules)}
    return ResolvedCatalogue(known.catalogue, tasks, {}, {}, {})


def test_the_rules_of_a_task_are_those_of_its_entry() -> None:
    assert Rulebook(catalogue()).rules("order-sync") == Rules(
        identities=(IdentityRule(target="stripe", paths=("$.requestId",)),),
        ignore=(IgnoreRule("output", "$.tookMs", "how long it took"),),
    )


def test_a_task_that_compares_no_output_says_so() -> None:
    assert Rulebook(with_rules(RuleSettings(output=False))).rules("order-sync").output is False


def test_what_a_run_may_take_is_agreed_on_in_the_catalogues_units() -> None:
    told = RuleSettings.model_validate({"latency": {"ratio": 2, "slack": "500ms"}, "cost": {"ratio": 1.5, "slack": 2}})
    rules = Rulebook(with_rules(told)).rules("order-sync")
    assert (rules.latency, rules.cost) == (RatioRule(2.0, 0.5), RatioRule(1.5, 2.0))
    assert (Rules().latency, Rules().cost) == (None, None)


def test_a_task_that_the_catalogue_dropped_has_the_default_rules() -> None:
    rulebook = Rulebook(catalogue())
    assert rulebook.rules("gone") == Rules()
    assert rulebook.settle("gone") == DEFAULT_SETTLE
    assert rulebook.why_missing("gone") is None


def test_settling_is_the_tasks_own() -> None:
    assert Rulebook(catalogue()).settle("order-sync") == timedelta(seconds=5)


def test_rules_that_would_hide_money_are_refused_by_name_of_the_task() -> None:
    hiding = RuleSettings(ignore=(IgnoreSetting(scope="output", path="$.amount", reason="it drifts"),))
    with pytest.raises(ValueError, match=r"tasks\.order-sync\.rules: .*amounts"):
        Rulebook(with_rules(hiding))


def test_flow_control_is_named_when_a_candidates_run_may_have_been_dropped() -> None:
    rulebook = Rulebook(catalogue())
    assert rulebook.why_missing("order-sync") is None
    assert "(debounce)" in (rulebook.why_missing("digest") or "")

"""What makes a child the same one on both sides."""

from __future__ import annotations

from datetime import UTC, datetime

from shadow.catalogue import parse
from shadow.causes.children import Child, identity_of
from shadow.model.ids import new_id
from tests.unit.shadow.catalogues import TEXT

RULES = "\n    rules: {identities: [{kind: event, paths: [$.orderId, $.sequence]}]}\n"
NOW = datetime.now(UTC)
CATALOGUE = parse(TEXT.replace("legacy: {platform: trigger}\n", "legacy: {platform: trigger}" + RULES, 1), "c.yaml", {})


def test_the_parents_rules_say_what_identifies_its_children() -> None:
    mine = identity_of(CATALOGUE, "sync-order", "review/scheduled", {"orderId": 7, "sequence": 1, "note": "a"})
    theirs = identity_of(CATALOGUE, "sync-order", "review/scheduled", {"sequence": 1, "orderId": "7", "note": "b"})
    assert mine == theirs != ""
    assert mine != identity_of(CATALOGUE, "sync-order", "review/scheduled", {"orderId": 7, "sequence": 2})


def test_without_a_rule_or_its_values_only_the_place_does() -> None:
    assert identity_of(CATALOGUE, "pay", "review/scheduled", {"orderId": 7}) == ""
    assert identity_of(CATALOGUE, "sync-order", "review/scheduled", {"total": 7}) == ""
    assert identity_of(CATALOGUE, "gone", "review/scheduled", {"orderId": 7}) == ""


def test_a_pair_follows_from_the_parents_pair_the_task_and_the_child() -> None:
    parents = new_id()
    child = Child(parents, NOW, "7 / 1#1", paired=True)
    assert child.pair("a") == Child(parents, NOW, "7 / 1#1", paired=False).pair("a")
    others = {child.pair("b"), Child(parents, NOW, "7 / 1#2", paired=True).pair("a")}
    others.add(Child(new_id(), NOW, "7 / 1#1", paired=True).pair("a"))
    assert len(others | {child.pair("a")}) == 4

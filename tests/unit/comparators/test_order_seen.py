"""In which order a run did what it did."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparators import Effect, Ledger, Outcome
from comparators.order_seen import SHAPES, How, order_seen, shape_of


def run(*words: str, status: str = "completed") -> Ledger:
    """A run that did these, "a@2" at second 2."""
    effects = []
    for number, word in enumerate(words):
        name, _, at = word.partition("@")
        effects.append(Effect("http", "x", name, None, None, at=float(at or number)))
    return Ledger(Outcome(status), tuple(effects))


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (("a", "b"), How.before),
        (("b", "a"), How.after),
        (("a", "a", "b"), How.before),
        (("a", "b", "a"), How.mixed),
        # nobody can say which of them came first
        (("a@1", "b@1"), How.mixed),
        (("b@1", "a@1", "b@2"), How.mixed),
    ],
)
def test_one_shape_comes_before_another_with_all_its_effects_or_not_at_all(words: tuple[str, ...], how: How) -> None:
    (seen,) = order_seen(run(*words))
    assert (seen.one.operation, seen.other.operation, seen.how) == ("a", "b", how)


def test_every_two_shapes_are_looked_at_but_of_so_many_only() -> None:
    assert [(s.one.operation, s.other.operation) for s in order_seen(run("c", "a", "b"))] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert len(order_seen(run(*(f"op {n}" for n in range(40))))) == SHAPES * (SHAPES - 1) // 2


def test_a_run_that_failed_or_tried_again_says_nothing_and_neither_does_a_read() -> None:
    assert order_seen(run("a", "b", status="failed")) == ()
    tried = run("a", "b")
    assert order_seen(Ledger(tried.outcome, (*tried.effects, replace(tried.effects[0], attempt=2)))) == ()
    assert order_seen(Ledger(tried.outcome, (replace(tried.effects[0], reads=True), tried.effects[1]))) == ()


@pytest.mark.parametrize(
    ("operation", "pattern"),
    [
        ("PUT /orders/1001/lines/0190d5f2-7c1a-7d3e-9b5f-000000000001", "PUT /orders/*/lines/*"),
        ("GET /a[1]?b=*", "GET /a[[]1][?]b=[*]"),
    ],
)
def test_a_shape_is_a_pattern_that_selects_its_effects(operation: str, pattern: str) -> None:
    effect = Effect("http", "shop[1]", operation, None, None)
    shape = shape_of(effect)
    assert shape.operation == pattern
    assert shape.pattern.selects("http", "shop[1]", operation)
    assert not shape.pattern.selects("http", "shop1", operation)

"""Expressions behave like the part of CEL which they stand for."""

from __future__ import annotations

import pytest

from sandbox.inngest.expressions import compile_expression, holds, key_of

SCOPE = {
    "event": {"name": "shop/order", "data": {"id": "o1", "total": 120, "tags": ["vip", "new"], "paid": True}},
    "async": {"data": {"id": "o1", "total": 90}},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("event.data.id == async.data.id", True),
        ("event.data.total > 100 && async.data.total < 100", True),
        ("event.data.total < 100 || event.name == 'shop/order'", True),
        ("!(event.data.paid)", False),
        ("event.data.paid", True),
        ("'vip' in event.data.tags", True),
        ('event.data["id"] == "o1"', True),
        ("event.data.tags[1] == 'new'", True),
        ("size(event.data.tags) == 2", True),
        ("event.name.startsWith('shop/')", True),
        ("event.data.id.matches('^o[0-9]$')", True),
        ("event.data.total - async.data.total == 30", True),
        ("event.data.paid ? event.data.total >= 120 : false", True),
        ("event.data.missing == null", True),
        ("event.data.missing > 1", False),  # nothing is smaller or larger than null
        ("event.data.missing.deeper == 'x'", False),
        ("event.data.total.startsWith('1')", False),  # wrong type: an expression that fails does not hold
        ("event.data.total", False),  # only true is true
        (None, True),
    ],
)
def test_an_expression_holds_or_not(expression: str | None, expected: bool) -> None:
    assert holds(expression, SCOPE) is expected


def test_a_key_is_the_text_of_its_value() -> None:
    assert key_of("event.data.id + '-' + string(event.data.total)", SCOPE) == "o1-120"
    assert key_of(None, SCOPE) == ""


@pytest.mark.parametrize("expression", ["event.", "event.data.id ==", "a b", "nope(1)", "x.y(1)", "a ; b", "(a"])
def test_an_unreadable_expression_is_quoted_in_the_error(expression: str) -> None:
    with pytest.raises(ValueError, match="expression") as refused:
        compile_expression(expression)
    assert expression in str(refused.value)

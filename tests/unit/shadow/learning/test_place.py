"""Places: what a rule could speak of, for each kind of difference."""

from __future__ import annotations

import pytest

from comparators.path import compiled, normalised
from comparators.rules import EffectPattern
from shadow.learning.place import Place, place_of


@pytest.mark.parametrize(
    ("kind", "parts", "expected"),
    [
        ("output.changed", ("output", "took"), Place("output", "*", "*", "*", '$["took"]')),
        ("output.changed", ("output",), Place("output", "*", "*", "*", "$")),
        ("output.field_added", ("output", "lines", 3, "host"), Place("output", "*", "*", "*", '$["lines"][*]["host"]')),
        (  # members that are named by ids
            "output.changed",
            ("output", "by", "ord_7f3b2c9d4e5f6a7b8c9d", "n"),
            Place("output", "*", "*", "*", '$["by"][*]["n"]'),
        ),
        (  # an identity tells one case from another, and so do the ids in an operation
            "effect.changed",
            ("effects", "http", "shop", "PUT /orders/{id}/notes", "o-1", "body", "text"),
            Place("effect", "http", "shop", "PUT /orders/*/notes", '$["body"]["text"]'),
        ),
        (
            "effect.changed",
            ("effects", "http", "a[b]", "GET /x?q=*", 0, "effects", 'a"b'),
            Place("effect", "http", "a[[]b]", "GET /x[?]q=*", '$["effects"]["a\\"b"]'),
        ),
        (
            "effect.type_changed",
            ("effects", "sql", "db", "upsert", 1, "n"),
            Place("effect", "sql", "db", "upsert", '$["n"]'),
        ),
        ("effect.missing", ("effects", "http", "shop", "PUT /orders", "o-1"), None),
        ("effect.reordered", ("effects", "http", "shop", "PUT /orders"), None),
        ("effect.changed", ("effects", "http", "shop", "PUT /orders", 0, "operation"), None),
        ("outcome.status", ("outcome", "status"), None),
        ("attempts", ("outcome", "attempts"), None),
    ],
)
def test_a_difference_has_the_place_that_a_rule_can_name(
    kind: str, parts: tuple[str | int, ...], expected: Place | None
) -> None:
    assert place_of(kind, normalised(parts)) == expected


def test_its_path_and_pattern_select_where_it_was_found() -> None:
    found = place_of("effect.changed", "$['effects']['http']['a[b]']['GET /x?page=17'][0]['it\\'s'][0]")
    assert found is not None
    assert compiled(found.path).findall({"it's": ["here"]}) == ["here"]
    assert EffectPattern(found.kind, found.target, found.operation).selects("http", "a[b]", "GET /x?page=18")

"""What two children's events say, of which something may have been born in their parents."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.judge.known import inherited, known_to_both

MINE, THEIRS = "0b7f6f6e-3a52-4f0e-9c1d-5b2f6f0c9a11", "77aa1f0c-90e2-4f6c-8a41-0d4c0a7c1e55"


@pytest.mark.parametrize(
    ("legacy", "candidate", "known"),
    [
        ({"order": "1001"}, {"order": "1001"}, {"order": "1001"}),  # the same on both sides: known
        ({"order": "1001"}, {"order": "1002"}, {"order": ["1001", "1002"]}),  # a business key: known, never unified
        ({"job": MINE}, {"job": THEIRS}, {"job": None}),  # born in each parent: may differ in the children too
        ({"job": f"job {MINE}"}, {"job": f"work {THEIRS}"}, {"job": [f"job {MINE}", f"work {THEIRS}"]}),  # more differs
        ({"total": 1}, {"total": True}, {"total": [1, True]}),  # equal to Python alone
        ({"items": ["a", "b"]}, {"items": ["a"]}, {"items": ["a", ["b", None]]}),  # one more
        ({"a": {"b": "x"}}, {"a": "x"}, {"a": [{"b": "x"}, "x"]}),  # another shape
        ({"a": "x"}, {}, {"a": ["x", None]}),  # only one says it
    ],
)
def test_what_is_known(legacy: Any, candidate: Any, known: Any) -> None:
    assert known_to_both(legacy, candidate) == known


def test_ids_that_the_parents_made_are_inherited_one_to_one() -> None:
    one, other = "tr_4f9a81c2d3e4b5a6", "tr_00b1d2c3e4f5a697"
    third = "tr_7777d2c3e4f5aaaa"
    legacy: Any = {"transfer": one, "seen": ["2026-03-02T10:00:00Z", f"paid by {one}"], "order": "1001"}
    candidate: Any = {"transfer": other, "seen": ["2026-03-02T10:04:00Z", f"paid by {other}"], "order": "1002"}
    assert inherited(legacy, candidate) == {one: other}
    assert inherited(legacy, legacy) == {}
    # Two can't be one, nor one two: what comes first stands, and the rest is a difference.
    assert inherited({"a": one, "b": one}, {"a": other, "b": third}) == {one: other}
    assert inherited({"a": one, "b": third}, {"a": other, "b": other}) == {one: other}

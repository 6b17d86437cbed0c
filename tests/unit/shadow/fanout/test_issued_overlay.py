"""Operations of the SDK on a run's metadata."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.fanout.issued_overlay import applied


@pytest.mark.parametrize(
    ("operation", "after"),
    [
        ({"type": "set", "key": "b", "value": 2}, {"a": 1, "b": 2}),
        ({"type": "delete", "key": "a"}, {}),
        ({"type": "append", "key": "l", "value": "x"}, {"a": 1, "l": ["x"]}),
        ({"type": "append", "key": "a", "value": 2}, {"a": [1, 2]}),
        ({"type": "remove", "key": "a", "value": 1}, {"a": []}),
        ({"type": "increment", "key": "a", "value": 2}, {"a": 3}),
        ({"type": "increment", "key": "n", "value": 1.5}, {"a": 1, "n": 1.5}),
        ({"type": "update", "value": {"z": 0}}, {"z": 0}),
        ({"type": "increment", "key": "a", "value": "x"}, {"a": 1}),
        ({"type": "nobody-knows", "key": "a"}, {"a": 1}),
    ],
)
def test_an_operation_changes_what_it_says_and_nothing_else(operation: dict[str, Any], after: dict[str, Any]) -> None:
    before = {"a": 1}
    assert applied(before, operation) == after
    assert before == {"a": 1}

"""Which routes hang together through emissions that pass no door."""

from __future__ import annotations

import pytest

from shadow.cutover.joined import reached


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], {"a"}),
        ([("a", "a")], {"a"}),  # a task that starts itself
        ([("a", "b")], {"a", "b"}),
        ([("b", "a")], {"a", "b"}),  # whichever starts the other
        ([("a", "b"), ("c", "b")], {"a", "b", "c"}),  # two that start a third
        ([("a", "b"), ("b", "c"), ("x", "y")], {"a", "b", "c"}),
        ([("a", "b"), ("b", "a")], {"a", "b"}),  # a circle
    ],
)
def test_all_that_hangs_together_is_reached(steps: list[tuple[str, str]], found: set[str]) -> None:
    assert reached("a", steps) == found

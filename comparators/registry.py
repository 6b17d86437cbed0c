"""The registry of comparators: what is looked at when two ledgers are compared.

A comparator is a pure function from a case to the differences it finds. It sees values that are already
normalised, paired and unified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from comparators.case import Case
from comparators.effects import compare_effects
from comparators.order import compare_order
from comparators.outcome import compare_outcomes
from comparators.output import compare_outputs
from comparators.verdict import Difference

Comparator: TypeAlias = Callable[[Case], Iterator[Difference]]

_COMPARATORS: dict[str, Comparator] = {
    "outcome": compare_outcomes,
    "output": compare_outputs,
    "effects": compare_effects,
    "order": compare_order,
}


def comparators() -> tuple[Comparator, ...]:
    """All registered comparators, in the order of their registration."""
    return tuple(_COMPARATORS.values())


def register(name: str, comparator: Comparator) -> None:
    """Add a comparator under a name of its own.

    Raises ValueError when the name is taken.
    """
    if name in _COMPARATORS:
        raise ValueError(f"a comparator named {name!r} is already registered")
    _COMPARATORS[name] = comparator


def unregister(name: str) -> None:
    """Remove a comparator.

    Raises KeyError when there is none of that name.
    """
    del _COMPARATORS[name]

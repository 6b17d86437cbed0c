"""The registry of comparators: what is looked at when two ledgers are compared.

A comparator is a pure function from a case to the differences it finds. It sees values that are already
normalised, paired and unified. Other packages add theirs by entry points of the group `shadow.comparators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

from comparators.case import Case
from comparators.cost import compare_costs
from comparators.effects import compare_effects
from comparators.order import compare_order
from comparators.outcome import compare_outcomes
from comparators.output import compare_outputs
from comparators.plugins import COMPARATORS, plugins
from comparators.timing import compare_timing
from comparators.verdict import Difference

Comparator: TypeAlias = Callable[[Case], Iterator[Difference]]

_OWN: dict[str, Comparator] = {
    "outcome": compare_outcomes,
    "output": compare_outputs,
    "effects": compare_effects,
    "order": compare_order,
    "timing": compare_timing,
    "cost": compare_costs,
}
_registered: dict[str, Comparator] = {}


def comparators() -> tuple[Comparator, ...]:
    """All comparators: the product's own, those of other packages, then those registered by hand.

    Raises:
        PluginError: a package's can't be used; it names the package.
    """
    return (*_OWN.values(), *_of_packages().values(), *_registered.values())


def extended() -> bool:
    """Whether others have added comparators, which may look at what ours do not.

    Raises:
        PluginError: as `comparators` does.
    """
    return bool(_registered or _of_packages())


def register(name: str, comparator: Comparator) -> None:
    """Add a comparator under a name of its own.

    Raises ValueError when the name is taken.
    """
    if name in _OWN or name in _registered or name in _of_packages():
        raise ValueError(f"a comparator named {name!r} is already registered")
    _registered[name] = comparator


def unregister(name: str) -> None:
    """Remove a comparator that was registered by hand.

    Raises KeyError when there is none of that name.
    """
    del _registered[name]


@lru_cache(maxsize=1)
def _of_packages() -> dict[str, Comparator]:
    found: dict[str, Comparator] = {}
    for plugin in plugins(COMPARATORS):
        if plugin.name in _OWN or plugin.name in found:
            raise plugin.refused("is the name of a comparator already")
        found[plugin.name] = plugin.loaded
    return found

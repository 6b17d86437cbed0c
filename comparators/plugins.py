"""What other packages add to the judge: found by their entry points, loaded once, when it is first asked for.

A package that can't be loaded is an error that names it, each time: a comparator that is silently not there would make
matches of what it was installed to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

COMPARATORS = "shadow.comparators"
"""Group of functions from a case to the differences they find."""
KINDS = "shadow.kinds"
"""Group of functions from the data of an effect to its normal form, each under the name of its kind."""


class PluginError(RuntimeError):
    """A package adds to the judge what can't be used."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What one entry point leads to."""

    name: str
    package: str
    loaded: Any

    def refused(self, reason: str) -> PluginError:
        """The error that names the package."""
        return PluginError(f"package {self.package}: {self.name!r} {reason}")


@lru_cache(maxsize=8)
def plugins(group: str) -> tuple[Plugin, ...]:
    """What the installed packages offer under a group, in an order that does not depend on how they are found.

    Raises:
        PluginError: one can't be loaded, or is no function.
    """
    found = [_loaded(point) for point in entry_points(group=group)]
    return tuple(sorted(found, key=lambda plugin: (plugin.package, plugin.name)))


def _loaded(point: EntryPoint) -> Plugin:
    package = "of no name" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    try:
        plugin = Plugin(point.name, package, point.load())
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise Plugin(point.name, package, None).refused(f"({point.value}) can't be loaded: {problem}") from error
    if not callable(plugin.loaded):
        raise plugin.refused(f"({point.value}) is {type(plugin.loaded).__name__}, expected a function")
    return plugin

"""Tags that a platform keeps with a run, and with every run that is made from it."""

from __future__ import annotations

from collections.abc import Iterable

CONTAINED = "shadow:contained"
"""On runs that Shadow starts without authority, so that one made from it on a dashboard has none either."""


def is_contained(tags: object) -> bool:
    """Whether a platform's list of a run's tags says so."""
    return isinstance(tags, Iterable) and not isinstance(tags, str) and CONTAINED in tags

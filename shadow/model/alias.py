"""By what else a run is known than by its own id (`run_aliases`)."""

from __future__ import annotations


def key_alias(task: str, key: str) -> str:
    """The alias of a run whose platform has not named it: what it was asked for under.

    Args:
        task: the catalogue's id.
        key: the idempotency key, as the platform shows it when the run is read.
    """
    return f"key:{task}:{key}"

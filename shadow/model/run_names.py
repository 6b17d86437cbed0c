"""What a worker says of its run, against what is on record of one."""

from __future__ import annotations


def may_be(known: str | None, said: str | None) -> bool:
    """Whether a run found by its event and task is the one that a worker means.

    A run that has another name is another run of the same event (a rerun, a second delivery): whose authority it
    would have is not on record.

    Args:
        known: what its platform calls the run that was found, if that is known yet.
        said: what the worker says its platform calls its own, if it says so.
    """
    return known is None or said is None or known == said

"""How long until a run that has not ended is asked for again. Pure."""

from __future__ import annotations

from datetime import timedelta

_CAP = timedelta(seconds=60)
_OLD = 60
"""Beyond the cap, a run is asked for every sixtieth of its age: hours for one that has been waiting for days."""
GIVE_UP = timedelta(days=30)
"""A run older than this is not asked for any more; a pushed or reported outcome is still taken."""


def spacing(every: timedelta, polls: int, age: timedelta) -> timedelta | None:
    """The wait after that many polls: doubling up to a minute, and from then on growing with the run's age.

    Args:
        every: the platform's `poll_every`.
        polls: how often it was asked for already.
        age: since the run could have started.

    Returns:
        None when it is not worth asking again.
    """
    if age >= GIVE_UP:
        return None
    doubled = every.total_seconds() * 2.0 ** min(polls, 32)
    patient = min(doubled, max(_CAP.total_seconds(), every.total_seconds()))
    return timedelta(seconds=max(patient, age.total_seconds() / _OLD))

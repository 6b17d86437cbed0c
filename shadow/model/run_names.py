"""What a worker says of its run, against what is on record of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ulid import ULID

_LAG = timedelta(seconds=2)
"""How much later than its event a platform makes the run that the event starts; 0.6 seconds have been seen."""


def may_be(known: str | None, said: str | None) -> bool:
    """Whether a run found by its event and task is the one that a worker means.

    A run that has another name is another run of the same event (a rerun, a second delivery): whose authority it
    would have is not on record.

    Args:
        known: what its platform calls the run that was found, if that is known yet.
        said: what the worker says its platform calls its own, if it says so.
    """
    return known is None or said is None or known == said


def needs_proof(known: str | None, said: str | None, event: str | None) -> bool:
    """Whether a run that has no name yet may be told from another run of the same event by its platform alone.

    Inngest's ids say when they were made. A run that was made well after its event may be a rerun, which would have
    the first one's authority if nobody asked; or its event was sent late, or kept back (`debounce`).

    Args:
        event: the platform's id of the event that started it.
    """
    if known is not None or said is None or event is None:
        return False
    run_at, event_at = _made_at(said), _made_at(event)
    return run_at is not None and event_at is not None and run_at - event_at > _LAG


def _made_at(name: str) -> datetime | None:
    try:
        moment: datetime = ULID.from_str(name).datetime
    except ValueError:
        return None
    return moment.astimezone(UTC)

"""When a run did otherwise because of the gateway, and not because of the port. Pure.

Where nobody could say yet whose a call was, or the twin's calls lay in a spool when the run made its own, or the twin
had not made them yet, the run is refused or asked to come back until its attempts are over. What it then does
differently says nothing of the port. Nothing else is excused: a call that the twin never made stays an effect too many,
whether anybody knew whose it was or not, also of a run that was asked to come back for it and has all that the twin
got; and one whose answer was not kept stays refused.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol
from uuid import UUID

from shadow.effects import answered

TOLD_TO_WAIT = "told_to_wait"
UNANSWERED = "unanswered"
UNKNOWN = "unknown_run"
WAITED_FOR = "has no answer of the twin yet"
"""How the message ends with which a worker's client package ends an attempt that was asked to come back."""

_REAL, _FAILED = "real", "failed"
REFUSED, _FORWARDED = "refuse", "forward"
_NO_ANSWER = 403


class Ended(Protocol):
    """A run that has ended."""

    @property
    def authority(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def error_message(self) -> str | None: ...


class Called(Protocol):
    """A call that the gateway saw."""

    @property
    def id(self) -> UUID: ...
    @property
    def target(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def identity(self) -> str | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def disposition(self) -> str | None: ...
    @property
    def was_nobodys(self) -> bool:
        """Whether nobody could say whose it was when it was made."""
        ...


def unanswered(
    run: Ended, calls: Sequence[Called], twins: Sequence[Called], kept: Container[tuple[UUID, str]]
) -> str | None:
    """Why nothing follows from what the run did otherwise than its twin; None: it does.

    Args:
        calls: the run's, without those that were refused and that it made again, with an answer.
        twins: the twin's.
        kept: the bodies that there are, by owner and part.
    """
    own, made = {_what(call) for call in calls}, {_what(call) for call in twins}
    for call in calls:
        if call.disposition == REFUSED and call.was_nobodys and _what(call) in made:
            what = f"{call.operation} at {call.target}"
            return f"{UNKNOWN}: it was refused {what}, as nobody could say yet whose call it was"
    was_told = run.status == _FAILED and (run.error_message or "").endswith(WAITED_FOR)
    if run.authority == _REAL:  # it needs no answer of a twin's
        why = f"{TOLD_TO_WAIT}: nobody could say whose its calls were until its attempts were over"
        return why if was_told and not made <= own else None
    there = {_what(call) for call in twins if call.disposition == _FORWARDED and (call.id, answered.PART) in kept}
    if was_told and not there <= own:
        return f"{TOLD_TO_WAIT}: there was no answer of its twin until its attempts were over"
    for call in calls:
        if call.disposition == REFUSED and call.status == _NO_ANSWER and _what(call) in there:
            return f"{UNANSWERED}: its twin's answer to {call.operation} at {call.target} was known too late"
    return None


def _what(call: Called) -> tuple[str, str, str | None]:
    """What tells whether two calls ask for the same."""
    return call.target, call.operation, call.identity

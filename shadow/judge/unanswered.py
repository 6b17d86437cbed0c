"""When a run did otherwise because of the gateway, and not because of the port. Pure.

Where nobody could say yet whose a call was, or the twin's calls lay in a spool when the run made its own, or the twin
had not made them yet, the run is refused or asked to come back until its attempts are over. What it then does
differently says nothing of the port. Nothing else is excused: a call that the twin never made stays an effect too many,
also of a run that was asked to come back for it and has all that the twin got; and one whose answer was not kept stays
refused.
"""

from __future__ import annotations

from collections.abc import Container, Sequence, Set
from typing import Protocol
from uuid import UUID

from shadow.effects import answered

TOLD_TO_WAIT = "told_to_wait"
UNANSWERED = "unanswered"
UNKNOWN = "unknown_run"
WAITED_FOR = "has no answer of the twin yet"
"""How the message ends with which a worker's client package ends an attempt that was asked to come back."""

_REAL, _FAILED = "real", "failed"
_REFUSED, _FORWARDED = "refuse", "forward"
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
    def attempt(self) -> int: ...
    @property
    def was_nobodys(self) -> bool:
        """Whether nobody could say whose it was when it was made."""
        ...


def unanswered(
    run: Ended, calls: Sequence[Called], twins: Sequence[Called], kept: Container[tuple[UUID, str]]
) -> str | None:
    """Why nothing follows from what the run did otherwise than its twin; None: it does.

    Args:
        calls: the run's.
        twins: the twin's.
        kept: the bodies that there are, by owner and part.
    """
    again = made_again(calls)
    counted = [call for call in calls if call.id not in again]
    for call in counted:
        if call.disposition == _REFUSED and call.was_nobodys:
            what = f"{call.operation} at {call.target}"
            return f"{UNKNOWN}: it was refused {what}, as nobody could say yet whose call it was"
    was_told = run.status == _FAILED and (run.error_message or "").endswith(WAITED_FOR)
    if run.authority == _REAL:  # it needs no answer of a twin's
        why = f"{TOLD_TO_WAIT}: nobody could say whose its calls were until its attempts were over"
        return why if was_told else None
    there = {_what(call) for call in twins if call.disposition == _FORWARDED and (call.id, answered.PART) in kept}
    if was_told and not there <= {_what(call) for call in counted}:
        return f"{TOLD_TO_WAIT}: there was no answer of its twin until its attempts were over"
    for call in counted:
        if call.disposition == _REFUSED and call.status == _NO_ANSWER and _what(call) in there:
            return f"{UNANSWERED}: its twin's answer to {call.operation} at {call.target} was known too late"
    return None


def made_again(calls: Sequence[Called]) -> Set[UUID]:
    """Those that the gateway refused and answered when a later attempt made them again: they reached nobody, and are
    told of by the later one."""
    refused = [call for call in calls if call.disposition == _REFUSED]
    if not refused:
        return frozenset()
    last: dict[tuple[str, str, str | None], int] = {}
    for call in calls:
        if call.disposition is not None and call.disposition != _REFUSED:
            last[_what(call)] = max(call.attempt, last.get(_what(call), 0))
    return {call.id for call in refused if call.attempt < last.get(_what(call), 0)}


def _what(call: Called) -> tuple[str, str, str | None]:
    """What tells whether two calls ask for the same."""
    return call.target, call.operation, call.identity

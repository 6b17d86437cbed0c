"""When a gateway was not there, so that runs that were under way did otherwise for want of it. Pure.

A gateway that was cut off (killed, crashed, frozen) took the calls with it that it had, and refused those that were led
to its address until another took its place. One that left in order had answered all of its calls: where others went on
nothing was missed. Where none was there, no call could be made.

What is known comes late: that one was cut off is only known by its silence. Until then it may be so or not, and a
judgement that depends on it waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shadow.model.attendance import SILENT_SECONDS

GATEWAY_AWAY = "gateway_away"
SILENT = timedelta(seconds=SILENT_SECONDS)
LONGEST = timedelta(minutes=1)
"""After one of several was cut off: by then no balancer leads a call there any more, whether another took its place or
not. It is more than a client's patience, and an excuse must not go on."""
LONGEST_WITHOUT = timedelta(hours=1)
"""Where none is there. Longer ago it was no outage: somebody did away with the gateway, or a clock was set."""
SLACK = timedelta(seconds=1)
"""Between the clocks of platforms and of the database, and between the moment when a gateway said that it is there and
the one when it listens."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run that has ended, from when to when."""

    whose: str
    """The side that it ran on."""
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """A gateway, from when to when it was there."""

    since: datetime
    seen_at: datetime
    """When it last said that it was there."""
    closed_at: datetime | None = None
    """From then on it took no new calls."""
    left_at: datetime | None = None
    """When it had answered all of them; None: it is there, or was cut off."""

    @property
    def open_until(self) -> datetime:
        """Until when it is known to have taken calls."""
        return self.seen_at if self.closed_at is None else self.closed_at


@dataclass(frozen=True, slots=True)
class Absence:
    """A time when a gateway was not there, or may not have been."""

    since: datetime
    until: datetime
    none_there: bool
    """Whether no other was."""
    is_sure: bool = True

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()

    def touches(self, run: UnderWay) -> bool:
        return self.since <= run.until + SLACK and self.until >= run.since - SLACK


@dataclass(frozen=True, slots=True)
class Missed:
    """A run that went on while a gateway was not there."""

    run: UnderWay
    absence: Absence

    @property
    def weight(self) -> tuple[bool, bool, float]:
        return self.absence.is_sure, self.absence.none_there, self.absence.seconds

    @property
    def why(self) -> str:
        """What is said of its pair."""
        what = "no gateway was there" if self.absence.none_there else "a gateway was cut off and not there"
        return f"{GATEWAY_AWAY}: {what} for {self.absence.seconds:.1f} s while the {self.run.whose}'s run was under way"


def absences(stays: Iterable[Stay], now: datetime, *, heard: bool = True) -> list[Absence]:
    """When one of these gateways was not there, or none of them, or that may have been so, until now.

    Args:
        stays: all that there were about the time in question.
        heard: whether one that is there could have said so of late; not just after the database was away.
    """
    ordered = sorted(stays, key=lambda stay: stay.since)
    found = [*_cut_off(ordered, now, heard=heard), *_without(ordered, now, heard=heard)]
    return [absence for absence in found if absence.until > absence.since]


def missed(found: Iterable[Absence], runs: Sequence[UnderWay]) -> Missed | None:
    """Which of these runs was under way during one of these absences, and during the worst of them. One that is not
    sure counts where there is no other."""
    those = (Missed(run, absence) for absence in found for run in runs if absence.touches(run))
    return max(those, key=lambda one: one.weight, default=None)


def _cut_off(stays: Sequence[Stay], now: datetime, *, heard: bool) -> Iterator[Absence]:
    """From when each that did not leave was last seen until another took its place."""
    begun = [stay.since for stay in stays]
    for stay in stays:
        if stay.left_at is None:
            after = bisect_right(begun, stay.seen_at)
            until = min(now, stay.seen_at + LONGEST, *begun[after : after + 1])
            yield Absence(stay.seen_at, until, none_there=False, is_sure=_is_gone(stay, now, heard=heard))


def _without(stays: Sequence[Stay], now: datetime, *, heard: bool) -> Iterator[Absence]:
    """The times when none was there, from the first on."""
    last: Stay | None = None
    for since, stay in (*((stay.since, stay) for stay in stays), (now, None)):
        if last is not None and since > last.open_until:
            until = min(since, now, last.open_until + LONGEST_WITHOUT)
            is_sure = last.closed_at is not None or _is_gone(last, now, heard=heard)
            yield Absence(last.open_until, until, none_there=True, is_sure=is_sure)
        if stay is not None and (last is None or stay.open_until > last.open_until):
            last = stay


def _is_gone(stay: Stay, now: datetime, *, heard: bool) -> bool:
    return stay.left_at is not None or (heard and now - stay.seen_at > SILENT)

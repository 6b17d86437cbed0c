"""Moments, days and delays."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import ClassVar

from benchmarks.faults.fault import ANY, CHANGED, Expected, Fault, Spoiling
from benchmarks.faults.script import Emission
from benchmarks.faults.symbols import CLOCK, FRESH, INSTANT, SEPARATOR, SYMBOL, clock, instant

_DUE = ("scheduledFor",)


def _moved(symbol: str, seconds: float) -> str:
    """A moment's symbol, moved."""
    found = SYMBOL.fullmatch(symbol)
    assert found is not None
    arguments = found[2].split(SEPARATOR)
    if found[1] == INSTANT:
        return instant(datetime.fromisoformat(arguments[0]) + timedelta(seconds=seconds))
    return clock(arguments[0], plus=float(arguments[1]) + seconds)


class _Due(Fault):
    def event(self, it: Spoiling) -> Emission | None:
        return it.pick(event for event in it.script.events() if event.due is not None)


class WrongDelay(_Due):
    """Hours for days, or a day more or less."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = self.event(it)
        if event is None or event.due is None:
            return None
        event.due = _moved(event.due, it.rng.choice((-86400.0, 86400.0, -5 * 86400.0 * 23 / 24, 7 * 86400.0)))
        return Expected(ANY if len(it.script.events()) > 1 else CHANGED, it.take(event), _DUE)


class DelayDropped(_Due):
    """What should happen later happens at once."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = self.event(it)
        if event is None:
            return None
        event.due = None
        return Expected(ANY if len(it.script.events()) > 1 else CHANGED, it.take(event), _DUE)


class DelayInLocalTime(_Due):
    """Local time taken for UTC: hours early or late, or half an hour."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = self.event(it)
        if event is None or event.due is None:
            return None
        event.due = _moved(event.due, 3600 * it.rng.choice((1, 2, -5, -8, 5.5, 0.5, -3.5)))
        return Expected(ANY if len(it.script.events()) > 1 else CHANGED, it.take(event), _DUE)


class DelayFromDataInsteadOfNow(_Due):
    """A week after the order instead of after the first mail."""

    tasks = ("send-review-email",)

    def spoil(self, it: Spoiling) -> Expected | None:
        event = self.event(it)
        if event is None:
            return None
        event.due = instant(datetime.fromisoformat("2027-02-01T09:00:00+00:00"))
        return Expected(ANY if len(it.script.events()) > 1 else CHANGED, it.take(event), _DUE)


class DayShifted(Fault):
    """Yesterday in local time: the day before or after."""

    tasks = ("aggregate-daily-metrics", "process-attribution")

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows() if "day" in row.values)
        if row is None:
            return None
        row.values["day"] = (date.fromisoformat(row.values["day"]) + timedelta(days=it.rng.choice((1, -1)))).isoformat()
        return Expected(CHANGED, it.take(row), ("day",))


class _InLocalTime(Fault):
    symbol: ClassVar[str]
    """What kind of moment is hours off."""

    def spoil(self, it: Spoiling) -> Expected | None:
        among = [
            (row, name)
            for row in it.free(it.script.rows())
            for name, value in row.values.items()
            if isinstance(value, str) and (found := SYMBOL.fullmatch(value)) is not None and found[1] == self.symbol
        ]
        if not among:
            return None
        row, name = it.rng.choice(among)
        row.values[name] = _moved(row.values[name], 3600 * it.rng.choice((1, 2, -5, -8, 5.5)))
        return Expected(CHANGED, it.take(row), (name,))


class InstantInLocalTime(_InLocalTime):
    """A moment from the data, hours off."""

    symbol = INSTANT


class NowInLocalTime(_InLocalTime):
    """The run's own clock, in local time but said to be UTC."""

    symbol = CLOCK


class NowForAMomentOfTheData(Fault):
    """When it was written instead of when it happened."""

    tasks = ("sync-shopify-order", "process-attribution")

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(row for row in it.script.rows("orders") if FRESH not in row.values["created_at"])
        if row is not None:
            row.values["created_at"] = clock()
            return Expected(CHANGED, it.take(row), ("created_at",))
        call = it.pick(it.script.calls("meta"))
        if call is None or not isinstance(call.body["data"][0]["event_time"], int):
            return None
        call.body["data"][0]["event_time"] = clock("seconds")
        return Expected(CHANGED, it.take(call), ("event_time",))


class NowForTheMomentOfAFreshOrder(Fault):
    """The same, where the order came in seconds ago: the moment is as good as now, and still the data's."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows("orders"))
        if row is None:
            return None
        found = SYMBOL.fullmatch(row.values["created_at"])
        if found is None or found[1] != FRESH:
            return None
        row.values["created_at"] = clock()
        return Expected(CHANGED, it.take(row), ("created_at",))


class SecondsForMilliseconds(Fault):
    """A Unix time in another unit."""

    tasks = ("process-attribution", "process-creator-application")

    def spoil(self, it: Spoiling) -> Expected | None:
        call = it.pick(it.script.calls("meta"))
        if call is None:
            return None
        event = call.body["data"][0]
        event["event_time"] = (
            clock("milliseconds") if isinstance(event["event_time"], str) else event["event_time"] * 1000
        )
        return Expected(CHANGED, it.take(call), ("event_time",))


class MomentWithoutTime(Fault):
    """Only the day is left of a moment."""

    tasks = ("sync-shopify-order",)

    def spoil(self, it: Spoiling) -> Expected | None:
        row = it.pick(it.script.rows("orders"))
        if row is None:
            return None
        found = SYMBOL.fullmatch(row.values["created_at"])
        if found is None or found[1] != INSTANT:
            return None
        row.values["created_at"] = found[2][:10]
        return Expected(CHANGED, it.take(row), ("created_at",))

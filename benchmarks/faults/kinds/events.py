"""Emitted events: their names and what they carry."""

from __future__ import annotations

from benchmarks.faults.fault import ANY, CHANGED, MISSING, Expected, Fault, Spoiling
from benchmarks.faults.script import Emission
from benchmarks.faults.symbols import born


def _kinds(it: Spoiling) -> tuple[str, ...]:
    """Of several events about one order it may be said that one is missing and another too many."""
    return ANY if len(it.script.events()) > 1 else CHANGED


class EventRenamed(Fault):
    """Nobody listens to that name."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(it.script.events())
        if event is None:
            return None
        again = event.again()
        assert isinstance(again, Emission)
        again.name = it.rng.choice((event.name.replace("/", "."), f"{event.name}.v2", event.name.upper()))
        numbers = it.take(event)
        it.replace(event, again)
        return Expected(ANY, (*numbers, *it.take(again)))


class EventFieldRenamed(Fault):
    """Schema drift: the listener finds nothing where it looks."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(it.script.events())
        if event is None:
            return None
        old, new = it.rng.choice((("sequence", "seq"), ("tenantId", "tenant_id"), ("tenantId", "tenant")))
        if old not in event.data:
            return None
        event.data[new] = event.data.pop(old)
        return Expected(_kinds(it), it.take(event), (old, new))


class EventFieldDropped(Fault):
    """A member that the listener needs."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(it.script.events())
        if event is None:
            return None
        name = it.rng.choice([name for name in event.data if name != "orderId"])
        del event.data[name]
        return Expected(_kinds(it), it.take(event), (name,))


class EventIdentityDropped(Fault):
    """An event that does not say whose it is."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(event for event in it.script.events() if "orderId" in event.data)
        if event is None:
            return None
        del event.data["orderId"]
        return Expected(ANY, it.take(event), ("orderId",))


class EventFieldAdded(Fault):
    """A member that legacy does not send."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(it.script.events())
        if event is None:
            return None
        event.data["version"] = it.rng.choice((2, None, "2026-01"))
        return Expected(_kinds(it), it.take(event), ("version",))


class EventFieldRetyped(Fault):
    """Text for a number."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(event for event in it.script.events() if "sequence" in event.data)
        if event is None:
            return None
        event.data["sequence"] = str(event.data["sequence"])
        return Expected(_kinds(it), it.take(event), ("sequence",))


class WrongSequence(Fault):
    """The step after the next, or the same again for ever."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(event for event in it.script.events() if isinstance(event.data.get("sequence"), int))
        if event is None:
            return None
        event.data["sequence"] += it.rng.choice((1, -1))
        return Expected(_kinds(it), it.take(event), ("sequence",))


class EventForAnotherOrder(Fault):
    """The right event about the wrong order."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(event for event in it.script.events() if "orderId" in event.data)
        if event is None:
            return None
        again = event.again()
        assert isinstance(again, Emission)
        again.data["orderId"] = it.rng.choice((f"{event.data['orderId']}1", born("another-order")))
        numbers = it.take(event)
        it.replace(event, again)
        return Expected((*ANY, *MISSING), (*numbers, *it.take(again)))


class EventForAnotherTenant(Fault):
    """The right order of the wrong tenant."""

    def spoil(self, it: Spoiling) -> Expected | None:
        event = it.pick(event for event in it.script.events() if "tenantId" in event.data)
        if event is None:
            return None
        event.data["tenantId"] = "tenant-99"
        return Expected(_kinds(it), it.take(event), ("tenantId",))

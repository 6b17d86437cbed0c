"""Which authority an event and its runs have, and which sides get it: a pure function of where it comes from.

A producer's event is routed by its route's phase. An event that a run emitted has a parent, and DESIGN promise 11
holds: a child of a run without authority has none, always; a child of a run with authority is routed anew by its own
task's phase, and goes to the other side if that one is authoritative for it. It is never mirrored: where the parent has
a twin, the twin emits it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision, Phase


class Purpose(StrEnum):
    """What an event is for. Only a live one can give authority."""

    LIVE = "live"
    REPLAY = "replay"
    """A recorded event, run again on the candidate."""
    CANARY = "canary"
    """Of a containment proof."""
    LEGACY_TWICE = "legacy_twice"
    """Legacy against legacy, to learn what its noise is."""


class ParentAuthority(StrEnum):
    """What is known of the run that emitted an event."""

    REAL = "real"
    NONE = "none"
    UNKNOWN = "unknown"
    """A worker's key brought the event, and nobody knows which run it is of."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Where an event comes from."""

    origin: Origin
    parent: ParentAuthority | None = None
    """None for what has no parent: a producer's event, or a repeated one."""
    purpose: Purpose = Purpose.LIVE
    """Of a child: its parent's."""
    asked: tuple[Side, ...] = ()
    """Of a repeated event: the sides that shall run it."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What follows for the event."""

    authority: Side | None
    """The side whose runs may reach the world; None: nobody's."""
    sides: tuple[Side, ...]
    """That get it."""
    bridged: bool = False
    """A run of one side emitted it, and only the other side gets it."""


NOBODY = Lineage(None, ())


def lineage_of(cause: Cause, decision: Decision | None) -> Lineage:
    """The authority of an event's runs, and who gets it.

    Args:
        decision: what governs a producer's event of the same route now; None when it feeds no task.
    """
    if cause.origin is Origin.PRODUCER:
        if cause.purpose is not Purpose.LIVE:
            return Lineage(None, cause.asked)
        return Lineage(decision.authority, decision.sides) if decision else NOBODY
    own = Side(cause.origin.value)
    if decision is None:
        return Lineage(None, (own,))
    if cause.purpose is Purpose.LIVE and cause.parent is not ParentAuthority.NONE:
        if cause.parent is ParentAuthority.REAL and decision.authority is not own:
            return Lineage(decision.authority, (decision.authority,), bridged=True)
        if decision.authority is own and (cause.parent is ParentAuthority.REAL or decision.phase is not Phase.RAMP):
            return Lineage(own, (own,))
    return Lineage(None, (own,) if _takes(own, decision) else ())


def _takes(side: Side, decision: Decision) -> bool:
    """Whether that side runs events of the route without authority: not before it has come, nor when it has gone.

    A candidate function whose containment nobody has shown must not run at all, whoever asks.
    """
    return not (side is Side.CANDIDATE and decision.phase is Phase.LEGACY) and not (
        side is Side.LEGACY and decision.phase is Phase.RETIRED
    )


def has_twin(cause: Cause, decision: Decision | None) -> bool:
    """Whether the twin of the parent emits a twin of this child, on the other side: whether it has a pair.

    Only of a child whose parent has a pair. Of the two parents of a live event exactly one has authority, and of a
    repeated event neither.
    """
    if cause.origin is Origin.PRODUCER or cause.parent in (None, ParentAuthority.UNKNOWN):
        return False
    own = Side(cause.origin.value)
    other = Side.CANDIDATE if own is Side.LEGACY else Side.LEGACY
    theirs = ParentAuthority.REAL
    if cause.parent is ParentAuthority.REAL or cause.purpose is not Purpose.LIVE:
        theirs = ParentAuthority.NONE
    twin = Cause(Origin(other.value), theirs, cause.purpose)
    return lineage_of(cause, decision).sides == (own,) and lineage_of(twin, decision).sides == (other,)


def waits_for_its_twin(cause: Cause, decision: Decision | None) -> bool:
    """Whether a child is to start after its twin where its task says so: it has no authority, and its twin has."""
    return cause.purpose is Purpose.LIVE and cause.parent is ParentAuthority.NONE and has_twin(cause, decision)


def resent(*, by_person: bool, delivered: bool) -> bool:
    """Whether a dead letter that is sent again keeps the authority that its event was accepted with.

    Otherwise it has none on either side: what was delivered before may have done its work.
    """
    return by_person and not delivered

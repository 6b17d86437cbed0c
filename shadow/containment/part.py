"""One part of a proof: what it showed, and what to do where it showed nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PartName(StrEnum):
    """The parts, in the order in which they are shown."""

    GUARD = "guard"
    """The client package denies every host but the gateway, and no secret of the worker's is a real one."""
    DATABASES = "databases"
    """The candidate's role has no write privilege on the authoritative tables."""
    CANARY = "canary"
    """A repeated event whose writes were all answered by stubs or recorded answers."""
    WITNESS = "witness"
    """Somebody outside the gateway, who saw nothing of it."""


class PartState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nobody could tell. It proves nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one part showed."""

    state: PartState
    says: tuple[str, ...]
    """What was found, a sentence each."""
    todo: tuple[str, ...] = ()
    """What to do about it."""
    warnings: tuple[str, ...] = ()
    """What does not fail it and should be known all the same."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it was concluded from, as JSON."""

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "says": list(self.says),
            "todo": list(self.todo),
            "warnings": list(self.warnings),
            "facts": dict(self.facts),
        }


def passed(*says: str, warnings: Sequence[str] = (), **facts: Any) -> Part:
    return Part(PartState.PASSED, says, warnings=tuple(warnings), facts=facts)


def failed(*says: str, todo: Sequence[str] = (), warnings: Sequence[str] = (), **facts: Any) -> Part:
    return Part(PartState.FAILED, says, tuple(todo), tuple(warnings), facts)


def unknown(*says: str, todo: Sequence[str] = (), warnings: Sequence[str] = (), **facts: Any) -> Part:
    return Part(PartState.UNKNOWN, says, tuple(todo), tuple(warnings), facts)

"""Books: every call that the targets received, in the order of arrival."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the target saw it. `status` is what it answered; `at` is ISO 8601 in UTC."""

    target: str
    method: str
    path: str
    body: Any
    status: int
    authorized: bool = True
    """Whether it carried the target's credential. One that did not was refused, and did nothing."""
    idempotency_key: str | None = None
    replayed: bool = False
    """Answered from an earlier call with the same idempotency key: nothing happened a second time."""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def took_effect(self) -> bool:
        """Whether this call changed the world: a write that was accepted, and not a repetition."""
        return self.authorized and self.method != "GET" and self.status < 400 and not self.replayed


class Books:
    """All calls."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def enter(self, call: Call) -> None:
        """Write down one more call."""
        self._calls.append(call)

    def calls(self, target: str | None = None) -> list[Call]:
        """The calls to one target, or to all of them."""
        return [call for call in self._calls if target in (None, call.target)]

    def effects(self, target: str | None = None) -> list[Call]:
        """The calls that changed the world."""
        return [call for call in self.calls(target) if call.took_effect]

    def as_json(self) -> list[dict[str, Any]]:
        """The books as JSON values."""
        return [asdict(call) for call in self._calls]

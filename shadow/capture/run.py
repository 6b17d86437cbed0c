"""The run at hand: whatever happens in its context is its doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from shadow.capture.errors import RetryLater


def _retry_later(message: str, after: float) -> Exception:
    return RetryLater(message, after)


@dataclass(eq=False)
class Run:
    """One attempt at a run, as its platform names it."""

    run: str
    """The platform's id."""
    task: str
    """The catalogue's id, or what the platform calls the task or function."""
    attempt: int = 1
    event: str | None = None
    """The id of the event that started it, as the platform gave it."""
    retry: Callable[[str, float], Exception] = _retry_later
    """Makes the error by which its platform tries again after so many seconds."""
    effects: list[dict[str, Any]] = field(default_factory=list)
    """What it did that nobody else can see: reported before the step or attempt ends."""

    def marks(self) -> dict[str, Any]:
        """What says whose something is: the same words as in reports."""
        marks: dict[str, Any] = {"run": self.run, "task": self.task, "attempt": self.attempt}
        if self.event is not None:
            marks["event"] = self.event
        return marks


_CURRENT: ContextVar[Run | None] = ContextVar("shadow_run", default=None)


def current_run() -> Run | None:
    """The run at hand; None outside of runs."""
    return _CURRENT.get()


def enter(run: Run) -> Token[Run | None]:
    """Make a run the one at hand, for this task or thread."""
    return _CURRENT.set(run)


def leave(token: Token[Run | None]) -> None:
    """The run at hand is the one before again."""
    _CURRENT.reset(token)


@contextmanager
def at_hand(run: Run) -> Iterator[Run]:
    """Make a run the one at hand within the block."""
    token = enter(run)
    try:
        yield run
    finally:
        leave(token)

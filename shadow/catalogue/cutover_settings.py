"""How a task is moved over: the `cutover` of a task, a category or `defaults`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shadow.catalogue.values import Expression, Strict

Reason = Literal["critical", "leak", "failures", "dead_letters"]


class CutoverSettings(Strict):
    """What a ramp sticks to, what legacy does after it, and what moves a task back. Each key by itself is inherited."""

    entity: Expression | None = None
    """Into the event's data: what a ramp sticks to where the event has no tenant. With neither the task can only move
    from 0 to 100 %."""
    reverse: bool = False
    """Whether legacy runs without authority where the candidate has it (a reverse shadow), so that pairs go on.
    Legacy's workers must then reach targets through the gateway alone."""
    back_on: tuple[Reason, ...] = ("critical", "leak", "failures", "dead_letters")
    """What moves the route back to shadow by itself, once it is in ramp or live."""
    failures: float = Field(0.2, gt=0, le=1)
    """`failures`: the share of the candidate's runs since the move that may fail beyond legacy's own share."""
    failures_runs: int = Field(10, ge=1)
    """`failures`: of how many runs at least."""
    dead_letters: int = Field(1, ge=1)
    """`dead_letters`: how many."""

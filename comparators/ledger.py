"""The ledger of a run: how it ended and, in order, what it did to the outside world."""

from __future__ import annotations

from dataclasses import dataclass

from comparators.canonical import JSON

COMPLETED = "completed"
"""The one status of a run that did its work; all others are ways not to."""
FAILED = "failed"
"""Its own code gave up."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing a run did to the outside world."""

    kind: str
    """What sort of effect: "http", "email", "sql", "state", "event", ... (free text)."""
    target: str
    """The outside system: "shopify", "mail", "database", ..."""
    operation: str
    """What was done there: "POST /v1/transfers", "send", "upsert orders", an event's name, ..."""
    identity: str | None
    """Business identity as reported; None: derived by the task's identity rules, else by content."""
    data: JSON
    attempt: int = 1
    """The attempt of the run (legacy) or of the step (candidate) that performed it, from 1."""
    idempotency_key: str | None = None
    """The provider's idempotency key that the call carried."""
    reads: bool = False
    """Whether it is known to have changed nothing."""
    at: float | None = None
    """Seconds since the run's start, informational: never compared."""
    answer: JSON = None
    """What the target answered. Never compared, but ids in it were born there (a write) or are known from then on (a
    read). None: not seen; an answer without a body is `{}`."""
    refused: bool = False
    """Whether the gateway refused it: it reached nobody."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    status: str
    """completed, failed, cancelled, timed_out, expired or crashed."""
    output: JSON = None
    error_name: str | None = None
    error_message: str | None = None
    attempts: int = 1
    duration_ms: float | None = None
    started_at: float | None = None
    """Seconds since the epoch. Without it no timestamp can be told to follow the run's own clock."""
    finished_at: float | None = None
    """Seconds since the epoch; when absent, `started_at` plus `duration_ms`."""
    cost_cents: float | None = None
    """What the run cost, as its platform says."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The outcome of one run and its effects in the order in which they happened."""

    outcome: Outcome
    effects: tuple[Effect, ...] = ()

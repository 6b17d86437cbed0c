"""One run that a call to Trigger.dev asks for, from what the call says of itself to what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.front.workers import Worker, told_by
from shadow.catalogue import ResolvedTask
from shadow.catalogue.model import Origin, Side
from shadow.causes.batches import issued_run
from shadow.causes.parents import Told
from shadow.intake.arrival import Arrival, Receipt
from shadow.intake.trigger_arrival import WireKey
from shadow.intake.trigger_calls import TriggerCall


@dataclass(frozen=True, slots=True)
class TriggerTold:
    """What a request to Trigger.dev says of the run that makes it."""

    run: Told
    inside: bool
    """Whether it is made inside a task at all."""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> TriggerTold:
        return cls(told_by(headers), headers.get("x-trigger-worker") == "true")


Wanted = tuple[ResolvedTask, TriggerCall, WireKey]
"""A run that is asked for."""

ReadAnswer = Callable[[Any, Sequence["Intent"]], Sequence["Taken | None"]]
"""Reads from an accepting answer's JSON (None: it is none) what became of each intent; None where it does not say."""


class NotServed(Exception):
    """Legacy has no authority over the task, and the call cannot be handed to the candidate in its stead.

    The message is what the client is told.
    """

    @classmethod
    def withheld(cls, task: str) -> NotServed:
        return cls(
            f"Task {task} has been switched to the candidate; a run without authority starts none of it any more"
        )

    @classmethod
    def awaited(cls, task: str) -> NotServed:
        return cls(
            f"Task {task} has been switched to the candidate, and a run that waits for its result (triggerAndWait, "
            "batchTriggerAndWait) would wait for ever: Trigger.dev resumes it for runs of its own alone. Trigger it "
            "without waiting, or move both tasks together"
        )

    @classmethod
    def announced_before(cls, task: str) -> NotServed:
        return cls(
            f"Task {task} has been switched to the candidate since Trigger.dev was told of this batch, which now waits "
            "for all of its items: start the batch again"
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """One run that a call asks for, stored."""

    task: ResolvedTask
    call: TriggerCall
    key: WireKey
    arrival: Arrival
    receipt: Receipt
    worker: Worker | None = None
    """The run that makes the call; None for a producer's."""
    authority: Side | None = None
    """The side whose run it is, by what was decided when it was first accepted."""

    @property
    def is_issued(self) -> bool:
        """Whether the candidate runs it, so that its run has an id of ours and there is nothing to forward."""
        return self.authority is Side.CANDIDATE

    @property
    def run(self) -> str:
        """Its id, where it is issued."""
        return issued_run(self.receipt.event_id)

    @property
    def is_cached(self) -> bool:
        """Whether the producer's key stood for it before. A request that comes again is none the wiser (reference
        6.4)."""
        return self.receipt.duplicate and not self.key.ours

    @property
    def shown_keys(self) -> tuple[str, ...]:
        """The keys by which reading its run may show it.

        A user's own key says which run it is only outside of runs, where the SDK adds nothing to it (reference 6.1).
        """
        shown = self.call.shown_key
        if shown is None or self.arrival.origin is not Origin.PRODUCER:
            return (self.key.value,)
        return (self.key.value, shown)


@dataclass(frozen=True, slots=True)
class Beside:
    """What belongs to the same call as the intents that are forwarded, and is not forwarded with them."""

    issued: Sequence[Intent]
    """Committed to rest until the platform has taken the others."""
    joined: Callable[[Any], Any]
    """The platform's answer, as JSON, with them in it."""
    taken: Callable[[Any], Awaitable[None]]
    """Writes down what the platform's accepting answer made of the call."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the platform made of an intent."""

    run: str | None
    """None where its answer names no runs."""
    cached: bool = False

"""A pretend Trigger.dev: its REST API and its execution of tasks, faithful enough for the official SDKs."""

from __future__ import annotations

from sandbox.trigger_dev.ratelimit import RateLimit
from sandbox.trigger_dev.server import PretendTriggerDev, RunRecord
from sandbox.trigger_dev.tasks import AbortTaskRunError, Retry, TaskContext, TaskPayloadParsedError
from sandbox.trigger_dev.traps import Traps

__all__ = [
    "AbortTaskRunError",
    "PretendTriggerDev",
    "RateLimit",
    "Retry",
    "RunRecord",
    "TaskContext",
    "TaskPayloadParsedError",
    "Traps",
]

"""A pretend Inngest which the official SDKs accept: event API, run API, registration and step-by-step
execution.

In memory and asyncio only. It drives real `inngest` functions over HTTP, and carries the real server's
surprises as switches (`Traps`). What it leaves out of the real server is listed in
`sandbox.inngest.server`.
"""

from __future__ import annotations

from sandbox.inngest.events import Event
from sandbox.inngest.registry import Function
from sandbox.inngest.runs import RunRecord, RunStatus, StepRecord
from sandbox.inngest.server import PretendInngest
from sandbox.inngest.traps import Traps

__all__ = ["Event", "Function", "PretendInngest", "RunRecord", "RunStatus", "StepRecord", "Traps"]

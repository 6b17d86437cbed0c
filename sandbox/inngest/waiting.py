"""Steps that wait for something outside their run: an event, or the end of an invoked function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.inngest.durations import millis
from sandbox.inngest.events import FINISHED, METADATA_KEY, Event
from sandbox.inngest.expressions import holds
from sandbox.inngest.opcodes import Operation, step_error
from sandbox.inngest.registry import Function
from sandbox.inngest.runs import RunRecord
from sandbox.inngest.system_events import invocation


@dataclass(frozen=True, slots=True, eq=False)
class _Wait:
    expression: str | None
    trigger: Event
    found: asyncio.Future[Event]


class Waits:
    """Steps waiting for an event by name and expression. Each takes the first event that matches."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[_Wait]] = {}

    async def wait(self, name: str, expression: str | None, trigger: Event, seconds: float) -> Event | None:
        """The first matching event within `seconds`; None when there was none."""
        wait = _Wait(expression, trigger, asyncio.get_running_loop().create_future())
        self._by_name.setdefault(name, []).append(wait)
        try:
            async with asyncio.timeout(seconds):
                return await wait.found
        except TimeoutError:
            return None
        finally:
            self._by_name[name].remove(wait)

    def offer(self, event: Event) -> None:
        for wait in self._by_name.get(event.name, ()):
            scope = {"event": wait.trigger.sdk_form(), "async": event.sdk_form()}
            if not wait.found.done() and holds(wait.expression, scope):
                wait.found.set_result(event)


class Invocations:
    """Steps waiting for the end of a function they invoked, found by correlation id."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ends: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def invoke(
        self,
        run: RunRecord,
        function: Function,
        operation: Operation,
        seconds: float,
        emit: Callable[[Event], list[RunRecord]],
    ) -> dict[str, Any]:
        """Invoke a function and wait for its end; returns the memo, {"data": ...} or {"error": ...}."""
        correlation_id = f"{run.run_id}.{operation.id}"
        target = str(operation.opts.get("function_id") or "")
        now = self._clock()
        event = invocation(
            target,
            operation.opts.get("payload") or {},
            now,
            trace_id=run.trace_id,
            source=run,
            app_id=function.app_uuid,
            correlation_id=correlation_id,
            name=operation.display_name,
            expires_at=millis(now) + int(seconds * 1000),
        )
        self._ends[correlation_id] = asyncio.get_running_loop().create_future()
        try:
            if not emit(event):
                return _error(f"could not invoke {target!r}: there is no such function, or it dropped the run")
            async with asyncio.timeout(seconds):
                return _memo(await self._ends[correlation_id])
        except TimeoutError:
            return _error(f"timed out waiting for the invoked function {target!r}")
        finally:
            del self._ends[correlation_id]

    def offer(self, event: Event) -> None:
        if event.name != FINISHED or event.data is None:
            return
        end = self._ends.get(event.data.get("correlation_id", ""))
        if end is not None and not end.done():
            end.set_result(event.data)


def _memo(finished: dict[str, Any]) -> dict[str, Any]:
    status = finished[METADATA_KEY]["status"]
    if status == "Completed":
        return {"data": finished.get("result")}
    if status == "Failed":
        return {"error": step_error(finished["error"])}
    return _error("the invoked function was cancelled")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"name": "InngestInvokeError", "message": message}}

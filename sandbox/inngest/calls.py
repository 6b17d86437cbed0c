"""Calling an app: the request which the executor sends for a step or a function's body, and syncing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from sandbox.inngest.durations import millis
from sandbox.inngest.events import Event
from sandbox.inngest.identifiers import ACCOUNT_ID, new_span_id, new_ulid, queue_item_reference, run_trace_id
from sandbox.inngest.opcodes import UNREACHABLE, Answer, Failure, Reply, read_answer
from sandbox.inngest.registry import Function
from sandbox.inngest.runs import RunRecord
from sandbox.inngest.signing import canonical, signature

BODY_LIMIT = 4 * 1024 * 1024
"""Above this size the request says use_api, and the SDK fetches events and steps itself."""

ROOT_STEP = "step"
CLIENTS = 8
CALLS_EACH = 16
"""Calls that one client carries at once. A pool's work per call grows with the square of its connections."""
KEPT_SECONDS = 2.0
"""How long an idle connection is used again: well below the five seconds after which Node and uvicorn close theirs, or
a call would meet a connection that is just being closed, and count as a failed attempt."""


@dataclass(slots=True)
class Job:
    """One queue job: calls for one step (or the body), with the same id over its retries."""

    id: str
    target: str | None
    """Hash of the planned step to run; None for the function's body."""
    attempt: int = 0
    generation: int = 1


@dataclass(frozen=True, slots=True)
class CallState:
    """What one call tells the app of its run."""

    run: RunRecord
    function: Function
    events: list[Event]
    steps: dict[str, Any]
    stack: list[str]
    plan_only: bool
    request_version: int


class AppCaller:
    """Sends calls with keep-alive, at most `CLIENTS * CALLS_EACH` at once, as the real queue has its workers."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        signing_key: str | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._clock = clock
        self._signing_key = signing_key
        certificates = httpx.create_ssl_context(trust_env=False)
        self._clients = [
            httpx.AsyncClient(
                verify=certificates,
                follow_redirects=False,
                trust_env=False,
                transport=transport,
                timeout=httpx.Timeout(timeout, connect=10.0, pool=None),
                limits=httpx.Limits(
                    max_connections=CALLS_EACH, max_keepalive_connections=CALLS_EACH, keepalive_expiry=KEPT_SECONDS
                ),
            )
            for _ in range(CLIENTS)
        ]
        self._free: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        for client in self._clients * CALLS_EACH:
            self._free.put_nowait(client)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def call(self, state: CallState, job: Job) -> Reply:
        """Call the app once; never raises for what the app or the network does."""
        now = self._clock()
        request_id = new_ulid(millis(now))
        body = _body(state, job, request_id)
        url = _call_url(state.function.url, job.target or ROOT_STEP)
        try:
            headers = self._headers(state, job, request_id, body, now)
            client = await self._free.get()
            try:
                response = await client.post(url, content=body, headers=headers)
            finally:
                self._free.put_nowait(client)
        except httpx.HTTPError as error:
            reason = f"{UNREACHABLE}: {type(error).__name__}"
            return Reply(Failure({"name": "Error", "message": reason}, reason))
        return read_answer(Answer(response.status_code, response.content, dict(response.headers)), self._clock())

    def _headers(self, state: CallState, job: Job, request_id: str, body: bytes, now: datetime) -> dict[str, str]:
        run = state.run
        reference = f"00-{run_trace_id(run.run_id)}-{new_span_id()}-01"
        traceref = quote(orjson.dumps({"tp": reference, "ts": ""}).decode(), safe="")
        headers = {
            "user-agent": "Inngest",
            "account-id": ACCOUNT_ID,
            "content-type": "application/json",
            "accept-encoding": "gzip",
            "traceparent": f"00-{run.trace_id}-{new_span_id()}-01",
            "tracestate": (
                f"inngest@traceref={traceref},inngest@fn={state.function.uuid},inngest@app={state.function.app_uuid}"
            ),
            "x-inngest-generation-id": str(job.generation),
            "x-inngest-job-id": job.id,
            "x-inngest-req-version": str(state.request_version),
            "x-inngest-step-id": ROOT_STEP,
            "x-request-id": request_id,
            "x-run-id": run.run_id,
        }
        if self._signing_key:
            headers["x-inngest-signature"] = signature(body, self._signing_key, int(now.timestamp()))
        return headers

    async def sync(self, url: str, server_kind: str) -> httpx.Response:
        """Ask an app to register itself, as a deploy does. Raises httpx.HTTPError when it cannot be
        reached.
        """
        body = canonical({"url": url})
        headers = {"content-type": "application/json", "x-inngest-server-kind": server_kind}
        if self._signing_key:
            headers["x-inngest-signature"] = signature(body, self._signing_key, int(self._clock().timestamp()))
        return await self._clients[0].put(url, content=body, headers=headers)


@lru_cache(maxsize=4096)
def _call_url(function_url: str, step: str) -> httpx.URL:
    return httpx.URL(function_url).copy_merge_params({"stepId": step})


def _body(state: CallState, job: Job, request_id: str) -> bytes:
    content: dict[str, Any] = {
        "ctx": {
            "attempt": job.attempt,
            "disable_immediate_execution": state.plan_only,
            "env": "",
            "fn_id": state.function.uuid,
            "generation_id": job.generation,
            "job_id": job.id,
            "max_attempts": state.function.max_attempts,
            "qi_id": queue_item_reference(job.id),
            "request_id": request_id,
            "run_id": state.run.run_id,
            "stack": {"current": len(state.stack), "stack": state.stack},
            "step_id": ROOT_STEP,
            "use_api": False,
        },
        "defers": {},
        "event": state.events[0].sdk_form(),
        "events": [event.sdk_form() for event in state.events],
        "steps": state.steps,
        "use_api": False,
        "version": state.request_version,
    }
    body = canonical(content)
    if len(body) <= BODY_LIMIT:
        return body
    content["ctx"]["use_api"] = content["use_api"] = True
    content["events"], content["steps"] = [], {}
    return canonical(content)

"""Apps for the tests, answering without any SDK: scripted by the test, or by the recorded calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from sandbox.inngest import PretendInngest

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SDK_HEADERS = {"x-inngest-sdk": "inngest-py:v0.5.19", "x-inngest-req-version": "2"}
SERVE_URL = "http://localhost:3000/api/inngest"

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class ScriptedApp:
    """An app at localhost:3000 whose functions are callables from a request's body to (status, body,
    headers).
    """

    functions: dict[str, Callable[[dict[str, Any]], Answer]]
    requests: list[httpx.Request] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def bodies(self) -> list[dict[str, Any]]:
        """Bodies of all calls in their order."""
        return [orjson.loads(request.content) for request in self.requests]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.functions[request.url.params["fnId"]](orjson.loads(request.content))
        extra = answer[2] if len(answer) == 3 else {}
        return httpx.Response(answer[0], json=answer[1], headers={**SDK_HEADERS, **extra})


def registration(*functions: dict[str, Any], app: str = "commerce") -> dict[str, Any]:
    """A payload for /fn/register; functions name id (without app), triggers, retries and flow control."""
    configs = []
    for function in functions:
        slug = f"{app}-{function['id']}"
        step: dict[str, Any] = {
            "id": "step",
            "name": "step",
            "runtime": {"type": "http", "url": f"{SERVE_URL}?fnId={slug}&stepId=step"},
        }
        if "retries" in function:
            step["retries"] = {"attempts": function["retries"]}
        flow = {key: value for key, value in function.items() if key not in ("id", "retries")}
        configs.append({**flow, "id": slug, "name": function["id"], "steps": {"step": step}})
    return {
        "appname": app,
        "url": SERVE_URL,
        "sdk": "py:v0.5.19",
        "v": "0.1",
        "deployType": "ping",
        "framework": "fast_api",
        "functions": configs,
    }


@asynccontextmanager
async def started(
    app: ScriptedApp, *functions: dict[str, Any], **options: Any
) -> AsyncIterator[tuple[PretendInngest, httpx.AsyncClient]]:
    """A started server with the app's functions registered, and a client of its API."""
    options.setdefault("retry_delay", 0.0)
    inngest = PretendInngest(transport=app.transport(), **options)
    transport = httpx.ASGITransport(app=inngest.app)
    async with inngest, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
        if functions:
            reply = await client.post("/fn/register", json=registration(*functions), headers=bearer(options))
            assert reply.status_code == 200, reply.text
        yield inngest, client


def bearer(options: dict[str, Any]) -> dict[str, str]:
    key = options.get("signing_key")
    return {"authorization": f"Bearer {key}"} if key else {}


def on(event: str, **more: Any) -> list[dict[str, Any]]:
    return [{"event": event, **more}]


def ran(step_id: str, data: Any) -> dict[str, Any]:
    """The opcode of a step that was run."""
    return {
        "op": "StepRun",
        "id": step_id,
        "name": step_id,
        "displayName": step_id,
        "opts": None,
        "data": data,
    }


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of a transcript."""
    return [json.loads(line) for line in (TRANSCRIPTS / name).read_text().splitlines()]

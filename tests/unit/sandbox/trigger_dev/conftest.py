"""A platform with the tasks of the recordings, and clients for its two environments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from sandbox.trigger_dev import AbortTaskRunError, PretendTriggerDev, Retry, TaskContext

DEV_KEY = "tr_dev_aaaaaaaaaaaaaaaaaaaaaaaa"
PROD_KEY = "tr_prod_bbbbbbbbbbbbbbbbbbbbbbbb"
CURRENT = {"x-trigger-api-version": "2025-07-16"}
Clients = Callable[..., httpx.AsyncClient]


async def _hello(payload: Any, context: TaskContext) -> Any:
    name = (payload or {}).get("name", "world") if not isinstance(payload, str) else payload
    return {"greeting": f"hello {name}", "attempt": context.attempt, "runId": context.run_id}


async def _fails(payload: Any, context: TaskContext) -> Any:
    raise RuntimeError(f"boom on attempt {context.attempt}")


async def _flaky(payload: Any, context: TaskContext) -> Any:
    if context.attempt < 2:
        raise RuntimeError("flaky")
    return {"ok": True, "attempt": context.attempt}


async def _aborts(payload: Any, context: TaskContext) -> Any:
    raise AbortTaskRunError("no retry please")


async def _crashes(payload: Any, context: TaskContext) -> Any:
    raise SystemExit(1)


async def _slow(payload: Any, context: TaskContext) -> Any:
    await asyncio.sleep(payload.get("seconds", 60))
    return {"done": True}


async def _waits(payload: Any, context: TaskContext) -> Any:
    await context.wait(payload["seconds"])
    return {"waited": True}


async def _parent(payload: Any, context: TaskContext) -> Any:
    child = await context.trigger("hello", {"name": "child"}, idempotency_key=payload.get("key"))
    if context.attempt <= payload.get("failures", 0):
        raise RuntimeError("after the child")
    return {"child": child}


async def _big_output(payload: Any, context: TaskContext) -> Any:
    return {"data": "x" * payload["size"]}


def new_platform(**settings: Any) -> PretendTriggerDev:
    """A platform with the recordings' tasks in a development and a production environment."""
    pretend = PretendTriggerDev(secret_keys=[DEV_KEY, PROD_KEY], **settings)
    quick = Retry(max_attempts=3, min_delay=0.001)
    for task_id, handler in (
        ("hello", _hello),
        ("fails", _fails),
        ("flaky", _flaky),
        ("aborts", _aborts),
        ("crashes", _crashes),
        ("slow", _slow),
        ("waits", _waits),
        ("parent", _parent),
        ("big-output", _big_output),
    ):
        pretend.task(task_id, handler, retry=quick)
    pretend.task("times-out", _slow, retry=quick, max_duration=0.01)
    pretend.task("queued-one", _slow, retry=quick, concurrency=1)
    return pretend


@pytest.fixture
async def pretend() -> AsyncIterator[PretendTriggerDev]:
    """The platform of a test; its runs are abandoned afterwards."""
    platform = new_platform(realtime_hold_seconds=2.0)
    yield platform
    await platform.stop()


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    """Makes in-process clients of a platform, closed after the test."""
    made = []

    def make(platform: PretendTriggerDev, key: str | None = DEV_KEY, **headers: str) -> httpx.AsyncClient:
        bearer = {"authorization": f"Bearer {key}"} if key is not None else {}
        transport = httpx.ASGITransport(app=platform.app)
        client = httpx.AsyncClient(transport=transport, base_url="http://trigger.test", headers=bearer | headers)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def dev(pretend: PretendTriggerDev, clients: Clients) -> httpx.AsyncClient:
    """A client with the development key."""
    return clients(pretend)


@pytest.fixture
def prod(pretend: PretendTriggerDev, clients: Clients) -> httpx.AsyncClient:
    """A client with the production key."""
    return clients(pretend, PROD_KEY)


async def trigger(client: httpx.AsyncClient, task: str, payload: Any = None, **options: Any) -> str:
    """Trigger a task and return the run's id."""
    body = {"payload": {} if payload is None else payload, "options": options}
    answer = await client.post(f"/api/v1/tasks/{task}/trigger", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def retrieve(client: httpx.AsyncClient, run_id: str, **headers: str) -> dict[str, Any]:
    """A run as the API shows it."""
    answer = await client.get(f"/api/v3/runs/{run_id}", headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, two seconds at most."""
    for _ in range(400):
        if await condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("the condition did not come to hold")


async def until_status(client: httpx.AsyncClient, run_id: str, status: str) -> dict[str, Any]:
    """Wait until a run shows a status of the current vocabulary."""

    async def reached() -> bool:
        return bool((await retrieve(client, run_id, **CURRENT))["status"] == status)

    await until(reached)
    return await retrieve(client, run_id, **CURRENT)

"""The pretend Trigger.dev: put the parts together, serve them, and let tests look inside."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.trigger_dev import (
    auth_routes,
    batches,
    mutations,
    objects,
    queue_routes,
    reads,
    realtime,
    schedules,
    traces,
    trigger,
)
from sandbox.trigger_dev.batch_store import BatchStore
from sandbox.trigger_dev.durations import now
from sandbox.trigger_dev.environments import Environment, Environments
from sandbox.trigger_dev.errors import ApiError, reply
from sandbox.trigger_dev.executor import Executor
from sandbox.trigger_dev.gate import TRANSPORT, Gate
from sandbox.trigger_dev.options import TriggerRequest
from sandbox.trigger_dev.packets import SUPER_JSON, Packet, PacketStore, plain_value
from sandbox.trigger_dev.platform import Platform, bind
from sandbox.trigger_dev.queues import Turnstile
from sandbox.trigger_dev.ratelimit import API_LIMIT, BATCH_LIMIT, RateLimit, RateLimiter
from sandbox.trigger_dev.runs import Run, RunStore
from sandbox.trigger_dev.schedule_store import ScheduleStore
from sandbox.trigger_dev.tasks import DEFAULT_RETRY, Handler, Retry, TaskDefinition
from sandbox.trigger_dev.traps import Traps
from sandbox.trigger_dev.triggering import Triggering
from sandbox.trigger_dev.views import shown_error, shown_status

_TABLES = (
    batches.ROUTES,
    trigger.ROUTES,
    reads.ROUTES,
    mutations.ROUTES,
    traces.ROUTES,
    objects.ROUTES,
    schedules.ROUTES,
    queue_routes.ROUTES,
    auth_routes.ROUTES,
    realtime.ROUTES,
)


@dataclass(frozen=True)
class RunRecord:
    """A run as tests see it. `status` is in the current API vocabulary; payload and output are plain JSON."""

    id: str
    task: str
    environment: str
    status: str
    payload: Any
    output: Any
    error: dict[str, Any] | None
    attempts: int
    idempotency_key: str | None
    parent_id: str | None
    root_id: str | None
    batch_id: str | None
    tags: tuple[str, ...]
    is_test: bool
    created_at: datetime
    delay_until: datetime | None
    """When a delayed run is to start."""
    started_at: datetime | None
    finished_at: datetime | None


class _CuttableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which tells the app about its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves the signals to the process it lives in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PretendTriggerDev:
    """A stand-in for Trigger.dev that serves its REST API and executes Python callables as tasks.

    Use it as an async context manager to serve HTTP on a free port of 127.0.0.1, or call `app` in process and
    `stop()` afterwards. `traps` may be changed at any time.
    """

    def __init__(
        self,
        *,
        secret_keys: Sequence[str],
        traps: Traps | None = None,
        version: str = "20261124.1",
        rate_limit: RateLimit = API_LIMIT,
        batch_rate_limit: RateLimit = BATCH_LIMIT,
        concurrency: int = 100,
        latency: float = 0.0,
        realtime_hold_seconds: float = 20.0,
    ) -> None:
        """Set up an empty platform.

        `secret_keys` are environment keys (tr_dev_..., tr_prod_...), each root key an environment; `version`
        is the deployed version; `concurrency` bounds executing runs per environment; `latency` is the pause
        in seconds before a run is dequeued and before it starts; `realtime_hold_seconds` is how long a live
        poll is held. Raises ValueError for a key of another shape.
        """
        self.traps = traps if traps is not None else Traps()
        store, packets, turnstile = RunStore(), PacketStore(), Turnstile(concurrency)
        executor = Executor(store, packets, turnstile, version, latency)
        triggering = Triggering(store, packets, executor, version)
        executor.child_trigger = triggering.child_trigger
        self._platform = Platform(
            environments=Environments(secret_keys),
            version=version,
            traps=self.traps,
            rate_limit=rate_limit,
            batch_rate_limit=batch_rate_limit,
            realtime_hold_seconds=realtime_hold_seconds,
            runs=store,
            packets=packets,
            turnstile=turnstile,
            executor=executor,
            triggering=triggering,
            batches=BatchStore(store),
            schedules=ScheduleStore(),
            limiter=RateLimiter(),
        )
        routes = [route for table in _TABLES for route in bind(self._platform, table)]
        inner = Starlette(routes=routes, exception_handlers={ApiError: _answer_error, HTTPException: _answer_unrouted})
        inner.router.redirect_slashes = False
        self.app = Gate(self._platform, inner)
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    def task(
        self,
        task_id: str,
        handler: Handler,
        *,
        retry: Retry = DEFAULT_RETRY,
        concurrency: int | None = None,
        max_duration: float | None = None,
    ) -> None:
        """Deploy a task to every environment; runs that were waiting for it start.

        `handler(payload, context)` gets the decoded payload and returns JSON. `concurrency` bounds the task's
        own queue, `max_duration` one attempt in seconds.
        """
        for environment in self._platform.environments.all():
            self._platform.turnstile.declare(environment, f"task/{task_id}", concurrency)
        self._platform.executor.deploy(TaskDefinition(task_id, handler, retry, concurrency, max_duration))

    def queue(self, name: str, concurrency_limit: int | None = None) -> None:
        """Declare a custom queue in every environment; triggers that name another one wait for a deploy."""
        for environment in self._platform.environments.all():
            self._platform.turnstile.declare(environment, name, concurrency_limit)

    def schedule(self, task_id: str, cron: str, *, timezone: str = "UTC") -> list[str]:
        """Declare a schedule for a task in every environment; returns the schedules' ids.

        Schedules fire only through `fire`. Raises ValueError for a bad cron expression or time zone.
        """
        schedules = self._platform.schedules
        environments = self._platform.environments.all()
        return [schedules.make(env, task_id, cron, timezone, declared=True).id for env in environments]

    def fire(self, schedule_id: str, at: datetime | None = None) -> str:
        """Make the run of a schedule for the nominal time `at` (default: now); returns the run's id.

        Scheduled runs carry no idempotency key. Raises LookupError for an unknown schedule.
        """
        for environment in self._platform.environments.all():
            if (schedule := self._platform.schedules.find(environment, schedule_id)) is not None:
                nominal = at or now()
                payload = Packet(orjson.dumps(schedule.payload(nominal)).decode(), SUPER_JSON)
                request = TriggerRequest(payload=payload)
                run, _ = self._platform.triggering.trigger(environment, schedule.task, request, schedule_id=schedule.id)
                run.created_at = nominal  # as the real service has it, however late the run is made
                schedule.last_fired_at = nominal
                return run.id
        raise LookupError(f"no schedule {schedule_id!r}")

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        return [self._record(run) for run in self._platform.runs]

    def _record(self, run: Run) -> RunRecord:
        payload = self._platform.packets.load(run.environment, run.payload)
        output = self._platform.packets.load(run.environment, run.output)
        return RunRecord(
            id=run.id,
            task=run.task,
            environment=run.environment.slug,
            status=shown_status(run.status, current=True),
            payload=plain_value(payload),
            output=plain_value(output),
            error=shown_error(run.error),
            attempts=run.attempts,
            idempotency_key=run.idempotency_key,
            parent_id=run.parent_id,
            root_id=run.root_id,
            batch_id=run.batch_id,
            tags=run.tags,
            is_test=run.is_test,
            created_at=run.created_at,
            delay_until=run.delay_until,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )

    def environment(self, secret_key: str) -> Environment:
        """The environment a key opens. Raises LookupError for an unknown key."""
        environment = self._platform.environments.by_key(secret_key)
        if environment is None:
            raise LookupError("no environment has that key")
        return environment

    async def settled(self, timeout_seconds: float = 10.0) -> None:
        """Wait until no run is live; runs that wait for a deploy do not count. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while not self._platform.executor.idle:
                await self._platform.runs.next_change(0.05)

    @property
    def url(self) -> str:
        """Base address while the server runs. Raises RuntimeError otherwise."""
        if self._socket is None:
            raise RuntimeError("the pretend Trigger.dev is not serving; call start() first")
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve HTTP; port 0 takes a free one. Returns the base address."""
        self._socket = socket.create_server((host, port), backlog=2048)
        config = uvicorn.Config(
            self.app,
            http=_CuttableProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=65,
        )
        self._server = _EmbeddedServer(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.005)
        return self.url

    async def stop(self) -> None:
        """Abandon live runs and stop serving."""
        await self._platform.executor.stop()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            await self._serving
        if self._socket is not None:
            self._socket.close()
        self._server = self._serving = self._socket = None

    async def __aenter__(self) -> Self:
        """Start serving."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        await self.stop()


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return reply(error.body, error.status, error.headers)


async def _answer_unrouted(request: Request, error: Exception) -> Response:
    """Paths and methods without a route, as the web framework of the real service answers them."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and request.method == "GET":
        return Response(status_code=405)
    if error.status_code == 405:
        return reply({"message": "Unexpected Server Error"}, 405, {"x-remix-error": "yes"})
    return reply({"error": "Not Found"}, error.status_code, {})

"""The pretend Inngest as one object: an ASGI application, its background execution, and a view of what
happened.

Left out of the real server: batching, debounce, throttle, concurrency limits, singletons, priorities and
function timeouts (functions that ask for them run as if they had not), `step.fetch`, `step.ai`, signals,
deferred functions, realtime, Connect, API functions (sync mode), v2 beyond reading runs, and everything of
the dashboard. Rate limits count starts in a sliding window where the real server uses GCRA.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import httpx
import structlog

from sandbox.inngest.calls import AppCaller
from sandbox.inngest.event_api import EventApi
from sandbox.inngest.events import Event, EventStore
from sandbox.inngest.executor import Executor
from sandbox.inngest.registry import Function, Registry
from sandbox.inngest.rest import RunApi
from sandbox.inngest.rest_v2 import RunApiV2
from sandbox.inngest.routes import application
from sandbox.inngest.runs import RunRecord, RunStore
from sandbox.inngest.schedules import Schedule
from sandbox.inngest.scheduling import Scheduler
from sandbox.inngest.sdk_api import SdkApi
from sandbox.inngest.signing import hashed_key
from sandbox.inngest.system_events import timer
from sandbox.inngest.traps import Traps

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class PretendInngest:
    """A whole Inngest server in memory. It binds nothing: serve `.app` with uvicorn on the loop that
    started it.

    Starting and stopping are the application's lifespan; call `start` and `stop` (or use `async with`)
    where no lifespan runs. Apps register by themselves or through `sync`.
    """

    def __init__(
        self,
        *,
        event_keys: frozenset[str] | None = None,
        signing_key: str | None = None,
        traps: Traps | None = None,
        retry_delay: Callable[[int], float] | float = 0.05,
        time_scale: float = 1.0,
        fire_crons: bool = False,
        call_timeout: float = 7200.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """`event_keys`: those accepted, None for any. `signing_key`: plain hex; asked of API callers, signs
        calls.

        `retry_delay`: seconds before the next try, or a function of the 0-based attempt that failed.
        `time_scale`: factor on sleeps and waits, so that a function which sleeps for days can be watched.
        `call_timeout`: seconds an app may take to answer. `transport`: replaces the network towards apps.
        Raises ValueError for a signing key that is not
        hex.
        """
        if signing_key is not None:
            hashed_key(signing_key)
        self.traps = traps if traps is not None else Traps()
        self.server_kind = "cloud" if event_keys is not None or signing_key is not None else "dev"
        self._clock = clock
        self._fire_crons = fire_crons
        self._cron_task: asyncio.Task[None] | None = None
        self._started = False
        self._registry = Registry()
        self._events = EventStore()
        self._runs = RunStore()
        self._caller = AppCaller(clock, signing_key, call_timeout, transport)
        self._executor = Executor(
            clock=clock,
            caller=self._caller,
            retry_delay=retry_delay if callable(retry_delay) else lambda attempt: retry_delay,
            time_scale=time_scale,
            emit=self._accept,
        )
        self._scheduler = Scheduler(
            clock=clock,
            traps=self.traps,
            registry=self._registry,
            events=self._events,
            runs=self._runs,
            executor=self._executor,
        )
        self.app = application(
            event_api=EventApi(clock=clock, traps=self.traps, event_keys=event_keys, accept=self._accept),
            run_api=RunApi(
                clock=clock,
                traps=self.traps,
                registry=self._registry,
                events=self._events,
                runs=self._runs,
                executor=self._executor,
            ),
            run_api_v2=RunApiV2(
                clock=clock,
                traps=self.traps,
                registry=self._registry,
                runs=self._runs,
                rerun=self._scheduler.rerun,
            ),
            sdk_api=SdkApi(clock=clock, registry=self._registry, executor=self._executor, server_kind=self.server_kind),
            server_kind=self.server_kind,
            signing_key=signing_key,
            lifespan=self._lifespan,
        )

    # -- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to execute. Does nothing when started already."""
        if self._started:
            return
        self._started = True
        if self._fire_crons:
            self._cron_task = asyncio.create_task(self._fire_due_crons(self._clock()), name="inngest-crons")

    async def stop(self) -> None:
        """Drop what is running and close all connections. It cannot be started again."""
        if not self._started:
            return
        self._started = False
        if self._cron_task is not None:
            self._cron_task.cancel()
            await asyncio.gather(self._cron_task, return_exceptions=True)
        await self._executor.stop()
        await self._caller.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: object) -> AsyncIterator[None]:
        """Starts and stops with the ASGI server, unless the caller did so."""
        owned = not self._started
        await self.start()
        try:
            yield
        finally:
            if owned:
                await self.stop()

    async def settled(self, seconds: float) -> None:
        """Wait until no run is active. Raises TimeoutError after `seconds`, naming the runs that
        are left.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._executor.settled()
        except TimeoutError:
            left = [f"{run.function_id} {run.run_id}" for run in self._executor.active_runs()]
            raise TimeoutError(f"still active after {seconds} s: {', '.join(left[:5])}") from None

    # -- what happened ------------------------------------------------------------------------------

    def runs(self) -> list[RunRecord]:
        """All runs, in the order in which they were scheduled."""
        return list(self._runs)

    def events(self) -> list[Event]:
        """All events in the order of arrival, the server's own among them."""
        return list(self._events)

    def functions(self) -> list[Function]:
        """All registered functions."""
        return list(self._registry)

    # -- what an operator does ----------------------------------------------------------------------

    async def sync(self, url: str) -> None:
        """Have the app at a serve URL register its functions, as a deploy does.

        Raises RuntimeError with the app's answer when it did not; httpx.HTTPError when it cannot be reached.
        """
        response = await self._caller.sync(url, self.server_kind)
        if response.status_code != 200:
            raise RuntimeError(f"app at {url} did not sync: HTTP {response.status_code}: {response.text[:300]}")
        log.info("inngest.app.synced", url=url, functions=len(self.functions()))

    def tick(self, function_id: str, at: datetime) -> RunRecord | None:
        """Fire a function's cron as due at a time; None when that time has been fired already.

        Raises ValueError when there is no such function or it has no cron trigger.
        """
        function = self._registry.get(function_id)
        if function is None or not function.crons:
            raise ValueError(f"expected the id of a function with a cron trigger, found {function_id!r}")
        return self._fire(function, function.crons[0], at)

    def _fire(self, function: Function, cron: str, at: datetime) -> RunRecord | None:
        event = timer(cron, at, self._clock())
        self._events.add(event)
        started = self._scheduler.start(function, event)
        return started if isinstance(started, RunRecord) else None

    async def _fire_due_crons(self, since: datetime) -> None:
        minute = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
        while True:
            while (left := (minute - self._clock()).total_seconds()) > 0:  # noqa: ASYNC110  # the clock may be a test's
                await asyncio.sleep(left)
            for function in self.functions():
                for cron in function.crons:
                    if Schedule.parse(cron).is_due(minute):
                        self._fire(function, cron, minute)
            minute += timedelta(minutes=1)

    def _accept(self, event: Event) -> list[RunRecord]:
        if not self._started:
            raise RuntimeError("the pretend Inngest has not been started")
        return self._scheduler.accept(event)

"""The stage: everything that is pretended, in one process, on loopback ports.

Both platforms, each side's world with its targets, legacy's tasks deployed on Trigger.dev and the candidate's app
synced to Inngest. Only Shadow and the producers are missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
import inngest
import inngest.fast_api
import orjson
from fastapi import FastAPI, Request, Response

from sandbox.commerce import sdk
from sandbox.commerce.candidate import APP_ID, Worker, emission_reports, functions
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.faults import Faults
from sandbox.commerce.keys import Keys
from sandbox.commerce.legacy import TASKS
from sandbox.commerce.reporting import MOST_CONNECTIONS, Reporter
from sandbox.commerce.world import STUMBLES, World
from sandbox.inngest import PretendInngest
from sandbox.inngest.runs import RunRecord as InngestRun
from sandbox.serving import Served
from sandbox.trigger_dev.server import PretendTriggerDev
from sandbox.trigger_dev.server import RunRecord as TriggerRun

SERVE_PATH = "/api/inngest"


@dataclass(frozen=True)
class Ports:
    """Where to serve; 0 takes a free port."""

    trigger: int = 0
    inngest: int = 0
    app: int = 0


@dataclass(frozen=True)
class StageUrls:
    """Base addresses. `app` is the candidate's app, which also serves the targets, `/books` and `/sync`."""

    trigger: str
    inngest: str
    app: str


class Stage:
    """`async with Stage(front_url) as stage:` has everything running; see `stage.urls`."""

    def __init__(
        self,
        front_url: str,
        *,
        faults: Iterable[str] = (),
        dataset: Dataset | None = None,
        keys: Keys | None = None,
        ports: Ports | None = None,
        stumbles: float = STUMBLES,
    ) -> None:
        """`front_url`: where effects are reported; nothing needs to answer there yet.

        Raises ValueError for an unknown fault.
        """
        self.faults = Faults(faults)
        self.keys = keys if keys is not None else Keys()
        self.dataset = dataset if dataset is not None else Dataset.build()
        self._front_url = front_url
        self._ports = ports if ports is not None else Ports()
        self._stack = AsyncExitStack()
        self.worlds = {
            "legacy": World("legacy", self.dataset, stumbles=stumbles),
            "candidate": World("candidate", self.dataset, stumbles=stumbles),
        }
        self.trigger = PretendTriggerDev(secret_keys=self.keys.trigger_keys)
        self.inngest = PretendInngest(event_keys=self.keys.event_keys, signing_key=self.keys.signing_key)
        self._reporters: list[Reporter] = []
        self._urls: StageUrls | None = None

    @property
    def urls(self) -> StageUrls:
        """Where everything is. Raises RuntimeError while the stage is not up."""
        if self._urls is None:
            raise RuntimeError("the stage is not up; use it as an async context manager")
        return self._urls

    async def __aenter__(self) -> Self:
        """Start everything, deploy legacy's tasks and sync the candidate's app."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything; runs that are under way are dropped."""
        await self._stack.aclose()

    async def _start(self) -> None:
        for world in self.worlds.values():
            self._stack.callback(world.close)
        app = FastAPI(openapi_url=None)
        served_app = await self._stack.enter_async_context(Served(app, port=self._ports.app))
        served_inngest = Served(self.inngest.app, port=self._ports.inngest)
        await self._stack.enter_async_context(served_inngest)
        legacy_http = await self._targets_client(served_app.url, "legacy")
        candidate_http = await self._targets_client(served_app.url, "candidate")
        legacy_reports = await self._reporter(self.keys.report_legacy)
        candidate_reports = await self._reporter(self.keys.report_candidate)

        trigger_url = await self.trigger.start(port=self._ports.trigger)
        self._stack.push_async_callback(self.trigger.stop)
        for task in TASKS:
            handler = task.handler(self.worlds["legacy"], legacy_http, legacy_reports)
            self.trigger.task(task.id, handler, retry=task.retry)

        client = inngest.Inngest(
            app_id=APP_ID,
            api_base_url=served_inngest.url,
            event_api_base_url=served_inngest.url,
            event_key=self.keys.event_worker,
            signing_key=self.keys.signing_key,
            is_production=self.keys.signing_key is not None,
            middleware=[emission_reports(candidate_reports)],
            logger=sdk.quiet_logger(),
        )
        self._stack.push_async_callback(sdk.close, client)
        worker = Worker(client, self.worlds["candidate"], candidate_http, candidate_reports, self.faults)
        inngest.fast_api.serve(app, client, functions(worker), serve_path=SERVE_PATH)
        self._control(app)
        for side, world in self.worlds.items():
            app.mount(f"/targets/{side}", world.targets.app)
        await self.inngest.sync(f"{served_app.url}{SERVE_PATH}")
        self._urls = StageUrls(trigger=trigger_url, inngest=served_inngest.url, app=served_app.url)

    async def _targets_client(self, app_url: str, side: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=f"{app_url}/targets/{side}",
            timeout=httpx.Timeout(60.0, pool=None),
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
        )
        return await self._stack.enter_async_context(client)

    async def _reporter(self, key: str) -> Reporter:
        reporter = await self._stack.enter_async_context(Reporter(self._front_url, key))
        self._reporters.append(reporter)
        return reporter

    def _control(self, app: FastAPI) -> None:
        """`GET /books`, and `POST /sync {"url"}` which has another app registered at the pretend Inngest."""

        @app.get("/books")
        async def books() -> Response:
            return _json(self.books())

        @app.post("/sync")
        async def sync(request: Request) -> Response:
            body = orjson.loads(await request.body())
            if not isinstance(body, dict) or not isinstance(body.get("url"), str):
                return _json({"error": 'expected {"url": "http://.../"}'}, 400)
            try:
                await self.inngest.sync(body["url"])
            except (httpx.HTTPError, RuntimeError) as error:
                return _json({"error": f"{type(error).__name__}: {error}"}, 502)
            return _json({"functions": [function.id for function in self.inngest.functions()]})

    def books(self) -> dict[str, Any]:
        """What happened: calls at each world's targets, all runs of both platforms, and reports that were lost."""
        return {
            "targets": {side: world.books.as_json() for side, world in self.worlds.items()},
            "runs": {
                "legacy": [_trigger_run(run) for run in self.trigger.runs()],
                "candidate": [self._inngest_run(run) for run in self.inngest.runs()],
            },
            "lost_reports": [effect for reporter in self._reporters for effect in reporter.lost],
            "faults": self.faults.by_task(),
        }

    def _inngest_run(self, run: InngestRun) -> dict[str, Any]:
        event = next((event for event in self.inngest.events() if event.internal_id == run.event_id), None)
        return {
            "id": run.run_id,
            "function": run.function_id,
            "status": run.status,
            "event_id": event.id if event else None,
            "internal_event_id": run.event_id,
            "event_name": event.name if event else None,
            "data": event.data if event else None,
            "attempts": run.attempts,
            "started_at": _text(run.started_at),
            "ended_at": _text(run.ended_at),
            "output": run.output,
        }


def _trigger_run(run: TriggerRun) -> dict[str, Any]:
    fields = asdict(run)
    return {name: _text(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")

"""The stage: everything that is pretended, in one process, on loopback ports.

Both platforms, the targets, legacy's tasks deployed on Trigger.dev and the candidate's app synced to Inngest. Only
Shadow, the producers and the tenants' databases are missing. There is one set of targets: whatever a worker does there,
it does through Shadow's gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import inngest
import inngest.fast_api
import orjson
from fastapi import FastAPI, Request, Response

from sandbox.commerce import sdk
from sandbox.commerce.candidate import APP_ID, Worker, functions
from sandbox.commerce.database import TenantDatabase
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.faults import Faults
from sandbox.commerce.hosts import TARGETS
from sandbox.commerce.keys import Keys
from sandbox.commerce.legacy import TASKS
from sandbox.commerce.messages import APPLICATION_RECEIVED, REVIEW_REQUEST
from sandbox.commerce.outside import Outside
from sandbox.inngest import PretendInngest
from sandbox.inngest.runs import RunRecord as InngestRun
from sandbox.serving import Served
from sandbox.targets import Conduct, Targets
from sandbox.trigger_dev.server import PretendTriggerDev
from sandbox.trigger_dev.server import RunRecord as TriggerRun
from shadow.capture import Capture

SERVE_PATH = "/api/inngest"
STUMBLES = 0.08
"""Share of business keys whose first call fails transiently."""
REPORT_PATIENCE_SECONDS = 300.0
"""For so long a front that does not answer is told again what rows were written."""
VERSIONS = {"legacy": "legacy-1", "candidate": "candidate-1"}
"""Of each side's deployment."""
MOST_CONNECTIONS = 16
"""To one place at a time: a pool of many costs more than it gains on a loopback."""


@dataclass(frozen=True)
class EgressKeys:
    """Each side's key for the gateway."""

    legacy: str
    candidate: str


@dataclass(frozen=True)
class Ports:
    """Where to serve; 0 takes a free port."""

    trigger: int = 0
    inngest: int = 0
    app: int = 0


@dataclass(frozen=True)
class StageUrls:
    """Base addresses. `app` is the candidate's app, which also serves `/books` and `/sync`; the targets are below
    `targets`, each by its name."""

    trigger: str
    inngest: str
    app: str

    @property
    def targets(self) -> str:
        return f"{self.app}/targets"


class Stage:
    """`async with Stage(front_url, egress, databases) as stage:` has everything running; see `stage.urls`."""

    def __init__(
        self,
        front_url: str,
        egress: EgressKeys,
        databases: DatabaseUrls,
        *,
        faults: Iterable[str] = (),
        dataset: Dataset | None = None,
        keys: Keys | None = None,
        ports: Ports | None = None,
        stumbles: float = STUMBLES,
    ) -> None:
        """`front_url`: where the gateway is and events are sent to; nothing needs to answer there yet. `databases`:
        filled already.

        Raises ValueError for an unknown fault.
        """
        self.faults = Faults(faults)
        self.keys = keys if keys is not None else Keys()
        self.dataset = dataset if dataset is not None else Dataset.build()
        self._front_url = front_url
        self._egress = egress
        self._databases = databases
        self._ports = ports if ports is not None else Ports()
        self._stack = AsyncExitStack()
        self.targets = Targets(
            secrets=self.keys.target_secrets,
            orders=self.dataset.shop_orders,
            customers=self.dataset.shop_customers,
            # Only what a task does first may fail: a repeated attempt then repeats nothing.
            stumbling_mail=frozenset({REVIEW_REQUEST, APPLICATION_RECEIVED}),
            conduct=Conduct(stumbles=stumbles),
        )
        self.trigger = PretendTriggerDev(secret_keys=self.keys.trigger_keys)
        self.inngest = PretendInngest(event_keys=self.keys.event_keys, signing_key=self.keys.signing_key)
        self._captures: list[Capture] = []
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
        app = FastAPI(openapi_url=None)
        served_app = await self._stack.enter_async_context(Served(app, port=self._ports.app))
        served_inngest = Served(self.inngest.app, port=self._ports.inngest)
        await self._stack.enter_async_context(served_inngest)

        legacy = self._capture(self._egress.legacy, self.keys.report_legacy, VERSIONS["legacy"])
        outside = await self._outside(legacy, self._databases.legacy)
        trigger_url = await self.trigger.start(port=self._ports.trigger)
        self._stack.push_async_callback(self.trigger.stop)
        for task in TASKS:
            self.trigger.task(task.id, task.handler(outside, legacy), retry=task.retry)

        candidate = self._capture(
            self._egress.candidate,
            self.keys.report_candidate,
            VERSIONS["candidate"],
            allow=(urlsplit(served_inngest.url).netloc,),
        )
        client = inngest.Inngest(
            app_id=APP_ID,
            api_base_url=served_inngest.url,
            event_api_base_url=self._front_url,
            event_key=self.keys.event_worker,
            signing_key=self.keys.signing_key,
            is_production=self.keys.signing_key is not None,
            middleware=[candidate.middleware()],
            logger=sdk.quiet_logger(),
        )
        self._stack.push_async_callback(sdk.close, client)
        worker = Worker(client, await self._outside(candidate, self._databases.candidate), self.faults)
        inngest.fast_api.serve(app, client, functions(worker), serve_path=SERVE_PATH)
        self._control(app, candidate)
        app.mount("/targets", self.targets.app)
        await self.inngest.sync(f"{served_app.url}{SERVE_PATH}")
        self._urls = StageUrls(trigger=trigger_url, inngest=served_inngest.url, app=served_app.url)

    def _capture(self, key: str, report_key: str, version: str, allow: tuple[str, ...] = ()) -> Capture:
        """A worker's client package: the targets' hosts by way of the gateway, nothing else at all."""
        capture = Capture(
            self._front_url,
            key,
            TARGETS,
            report_key=report_key,
            version=version,
            allow=allow,
            report_patience=REPORT_PATIENCE_SECONDS,
        )
        self._stack.push_async_callback(capture.aclose)
        self._captures.append(capture)
        return capture

    async def _outside(self, capture: Capture, database_url: str) -> Outside:
        client = capture.async_client(
            timeout=httpx.Timeout(60.0, pool=None),
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
        )
        await self._stack.enter_async_context(client)
        database = TenantDatabase(database_url, capture)
        self._stack.callback(database.close)
        return Outside(client, database)

    def _control(self, app: FastAPI, candidate: Capture) -> None:
        """`GET /books`; `POST /sync {"url"}`, which has another app registered at the pretend Inngest; `POST /guard`,
        which has the candidate's worker show its guard and what it holds, as it would when it starts; `POST /faults
        {"names"}`, which has the candidate make these mistakes from now on."""

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

        @app.post("/faults")
        async def faults(request: Request) -> Response:
            body = orjson.loads(await request.body())
            try:
                self.faults.change(body["names"])
            except (ValueError, KeyError, TypeError) as error:
                return _json({"error": f'{error}; expected {{"names": [...]}}'}, 400)
            return _json({"faults": self.faults.by_task()})

        @app.post("/guard")
        async def guard() -> Response:
            taken = await asyncio.to_thread(candidate.report_guard, self._held_by_candidate())
            return _json({"taken": taken}, 200 if taken else 502)

    def _held_by_candidate(self) -> dict[str, str]:
        """The environment that the candidate's worker would have, were it a process of its own."""
        held = {
            "SHADOW_EGRESS_KEY": self._egress.candidate,
            "SHADOW_REPORT_KEY": self.keys.report_candidate,
            "DATABASE_URL": self._databases.candidate,
            "INNGEST_EVENT_KEY": self.keys.event_worker,
            "PATH": "/usr/local/bin:/usr/bin",
        }
        return held if self.keys.signing_key is None else {**held, "INNGEST_SIGNING_KEY": self.keys.signing_key}

    def books(self) -> dict[str, Any]:
        """What happened: calls at the targets, all runs of both platforms, and how many reports were lost."""
        return {
            "targets": self.targets.books.as_json(),
            "runs": {
                "legacy": [_trigger_run(run) for run in self.trigger.runs()],
                "candidate": [self._inngest_run(run) for run in self.inngest.runs()],
            },
            "lost_reports": sum(capture.lost for capture in self._captures),
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

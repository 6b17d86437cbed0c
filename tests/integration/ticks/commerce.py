"""The commerce example with its scheduled tasks started by legacy's scheduler, and the service between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psycopg
from psycopg.rows import dict_row

from sandbox.commerce import databases
from sandbox.commerce.catalogue import catalogue as catalogue_text
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.ports import free_port
from sandbox.stage import EgressKeys, Ports, Stage
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.egress import keys as egress_keys
from shadow.service import Listener, Service
from shadow.store.database import Database
from shadow.ticks.queue_loop import QueueLoop
from tests.integration.causes.chain import up
from tests.integration.fanout.serving import until
from tests.integration.ticks.clock import Clock

QUEUE = "process-webhook-queue"
METRICS = "aggregate-daily-metrics"


@dataclass
class Commerce(Clock):
    """All of it, running."""

    stage: Stage
    catalogue: ResolvedCatalogue
    urls: DatabaseUrls
    schedules: dict[str, str]
    queues: QueueLoop

    async def in_shadow_since(self, at: datetime) -> None:
        """Ticks are expected since then, too, so that the run list is read as far back: a run is listed at its
        nominal time."""
        for task in (QUEUE, METRICS):
            await self.moved(Phase.SHADOW, at, source=Phase.LEGACY, task=task)
            await self.rows(
                "INSERT INTO tick_marks VALUES (%s, %s) ON CONFLICT (task) DO UPDATE"
                " SET expected_until = excluded.expected_until RETURNING task",
                task,
                at,
            )

    def legacy_rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.urls.legacy, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    async def tick(self, task: str, nominal: datetime, *, copied: bool = True) -> None:
        """Legacy's scheduler fires, after the queue was copied for that tick."""
        if copied:
            await self.queues.once(nominal - timedelta(milliseconds=100))
        self.stage.trigger.fire(self.schedules[task], nominal)

    async def verdicts(self, pairs: int) -> list[tuple[str, str | None, str | None]]:
        """(verdict, reason, world of the candidate's run), in the order of acceptance, once there are so many."""

        async def all_are() -> bool:
            return len(await self.rows("SELECT FROM pairs WHERE verdict IS NOT NULL")) >= pairs

        try:
            await until(all_are, within=40, every=0.1)
        except TimeoutError:
            runs = await self.rows("SELECT task, side, state, status, error_message, world FROM runs")
            raise AssertionError(f"{pairs} verdicts were waited for; runs: {runs}") from None
        return await self.rows(
            "SELECT pairs.verdict, pairs.reason, runs.world FROM pairs JOIN runs ON runs.id = pairs.candidate_run"
            " ORDER BY pairs.id"
        )


@asynccontextmanager
async def commerce(
    database: Database, server_url: str, folder: Path, *, faults: tuple[str, ...] = ()
) -> AsyncIterator[Commerce]:
    """Everything, as long as the block lasts."""
    port = free_port()
    front = f"http://127.0.0.1:{port}"
    dataset, keys = Dataset.build(5, scale=4), Keys()
    prefix = f"ticks_{port}"
    urls = await asyncio.to_thread(
        databases.prepare, server_url, dataset.rows, {**dataset.cloned(), "webhook_queue": []}, prefix=prefix
    )
    async with AsyncExitStack() as stack:
        for name in ("SWEEP_EVERY", "WAITED_EVERY"):
            stack.enter_context(patch(f"shadow.ticks.legacy_runs.{name}", timedelta(milliseconds=500)))
        stack.enter_context(patch("shadow.ticks.expecting.EVERY_SECONDS", 0.3))
        stack.callback(databases.drop, server_url, prefix=prefix)
        held = EgressKeys(*[(await egress_keys.issue(database, side, "workers"))[0] for side in Side])
        ports = Ports(free_port(), free_port(), free_port())
        stage = Stage(front, held, urls, faults=faults, dataset=dataset, keys=keys, ports=ports)
        await stack.enter_async_context(stage)
        text = catalogue_text(
            dataset,
            trigger_url=stage.urls.trigger,
            inngest_url=stage.urls.inngest,
            targets_url=stage.urls.targets,
            databases=urls,
            keys=keys,
            scheduled=True,
        )
        catalogue = parse(text, "commerce.yaml", {})
        listener, stop = Listener("127.0.0.1", port), asyncio.Event()
        service = Service(catalogue, database, front=listener, control=None, loops=True, data=folder)
        running = asyncio.create_task(service.run(stop))

        async def end() -> None:
            stop.set()
            await running

        stack.push_async_callback(end)
        async with httpx.AsyncClient(base_url=front, trust_env=False) as client:
            await up(client, running)
        await stage.inngest.sync(f"{front}/shadow/inngest")
        # Each environment has its own; the service asks with the key of the production one.
        schedules = {
            task: stage.trigger.schedule(task, catalogue.tasks[task].cron.expression)[0]  # type: ignore[union-attr]
            for task in (QUEUE, METRICS)
        }
        queues = QueueLoop(database, catalogue)
        stack.push_async_callback(queues.stop)
        yield Commerce(database, stage, catalogue, urls, schedules, queues)

"""The seven tasks as Trigger.dev tasks: plain functions, tried again as a whole when they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.commerce.database import Row
from sandbox.commerce.legacy import (
    aggregate_daily_metrics,
    process_attribution,
    process_creator_application,
    process_payout,
    process_webhook_queue,
    send_review_email,
    sync_shopify_order,
)
from sandbox.commerce.outside import Outside
from sandbox.commerce.reporting import Recorder, Reports
from sandbox.commerce.world import World
from sandbox.trigger_dev.tasks import Handler, Retry, TaskContext

Run = Callable[[Outside, Row, TaskContext], Awaitable[Row]]


@dataclass(frozen=True)
class LegacyTask:
    """A task and how many attempts it has in all (retries and one)."""

    id: str
    run: Run
    attempts: int

    def handler(self, world: World, http: httpx.AsyncClient, reports: Reports) -> Handler:
        """The callable to deploy: each attempt works on the world and reports what it did before it ends."""

        async def handle(payload: Any, ctx: TaskContext) -> Any:
            async with Recorder(reports, ctx.run_id, self.id, ctx.attempt) as recorder:
                return await self.run(Outside(http, world.database, recorder), payload, ctx)

        return handle

    @property
    def retry(self) -> Retry:
        """Its policy: waits are short, for nothing here needs time to recover."""
        return Retry(max_attempts=self.attempts, min_delay=0.05, factor=2.0, max_delay=1.0)


TASKS = (
    LegacyTask("sync-shopify-order", sync_shopify_order.run, 4),
    LegacyTask("send-review-email", send_review_email.run, 4),
    LegacyTask("process-payout", process_payout.run, process_payout.ATTEMPTS),
    LegacyTask("process-creator-application", process_creator_application.run, 3),
    LegacyTask("process-attribution", process_attribution.run, 3),
    LegacyTask("aggregate-daily-metrics", aggregate_daily_metrics.run, 3),
    LegacyTask("process-webhook-queue", process_webhook_queue.run, 3),
)

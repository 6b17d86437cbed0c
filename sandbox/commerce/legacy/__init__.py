"""The seven tasks as Trigger.dev tasks: plain functions, tried again as a whole when they fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

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
from sandbox.trigger_dev.tasks import Handler, Retry, TaskContext
from shadow.capture import Capture

Run = Callable[[Outside, Row, TaskContext], Awaitable[Row]]


@dataclass(frozen=True)
class LegacyTask:
    """A task and how many attempts it has in all (retries and one)."""

    id: str
    run: Run
    attempts: int

    def handler(self, outside: Outside, capture: Capture) -> Handler:
        """The callable to deploy: what each attempt does is captured as the run's."""

        @capture.task(self.id)
        async def handle(payload: Any, ctx: TaskContext) -> Any:
            return await self.run(outside, payload, ctx)

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

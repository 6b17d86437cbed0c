"""The seven tasks as Inngest functions, built with the official SDK: everything with an effect is a step."""

from __future__ import annotations

from typing import Any

import inngest

from sandbox.commerce.candidate import (
    aggregate_daily_metrics,
    process_attribution,
    process_creator_application,
    process_payout,
    process_webhook_queue,
    send_review_email,
    sync_shopify_order,
)
from sandbox.commerce.candidate.worker import Worker

APP_ID = "commerce"

_TASKS = (
    sync_shopify_order,
    send_review_email,
    process_payout,
    process_creator_application,
    process_attribution,
    aggregate_daily_metrics,
    process_webhook_queue,
)


def functions(worker: Worker) -> list[inngest.Function[Any]]:
    """All functions of the app."""
    return [task.function(worker) for task in _TASKS]


__all__ = ["APP_ID", "Worker", "functions"]

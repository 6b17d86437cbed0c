"""The board's and the costs' examples in the OpenAPI document. A test holds each against its model."""

from __future__ import annotations

from typing import Any

Example = dict[str, Any]

_PHASES = {"legacy": 0, "shadow": 1, "ramp": 0, "live": 0, "retired": 0}
_COUNTED = {"tasks": 1, "phases": _PHASES, "open": 0, "ready": 0}
_NEEDED = "241 more clean pairs show that fewer than 1 % differ; at 80 a day on 2026-05-05"
BOARD: Example = {
    "total": {"category": None, **_COUNTED},
    "categories": [{"category": "orders", **_COUNTED}],
    "tasks": [
        {
            "task": "order-sync",
            "category": "orders",
            "route": "shopify/order.created",
            "phase": "shadow",
            "share": None,
            "since": "2026-05-01T09:00:00Z",
            "gate": "closed",
            "pairs_needed": 241,
            "upper_bound": 0.05,
            "blockers": [{"name": "statistic", "says": _NEEDED}],
            "next": {"phase": "ramp", "ready": False, "on": "2026-05-05T00:00:00Z", "says": _NEEDED},
        }
    ],
    "burn_up": [{"day": "2026-05-01", "phases": _PHASES, "moved": 0}],
}
_MONTH: Example = {
    "task": "order-sync",
    "category": "orders",
    "runs": 30437.5,
    "legacy": {
        "platform": "trigger",
        "basis": "platform",
        "recent_runs": 7000,
        "per_run": 0.0012,
        "executions": None,
        "variable": 36.53,
        "fixed": 50.0,
        "total": 86.53,
    },
    "candidate": {
        "platform": "inngest",
        "basis": "declared",
        "recent_runs": 6998,
        "per_run": 0.0004,
        "executions": 152187.5,
        "variable": 12.18,
        "fixed": 75.0,
        "total": 87.18,
    },
    "saving": -0.65,
}
COSTS: Example = {
    "currency": "USD",
    "volume_days": 7,
    "price_days": 30,
    "total": {"tasks": 1, "unknown": 0, "legacy": 86.53, "candidate": 87.18, "saving": -0.65},
    "items": [_MONTH],
    "apart": [{"side": "candidate", "purpose": "replay", "runs": 120, "reported": 0.0}],
}
COSTS_OF_TASK: Example = {
    "currency": "USD",
    "volume_days": 7,
    "month": _MONTH,
    "days": [
        {
            "day": "2026-05-01",
            "side": "legacy",
            "platform": "trigger",
            "purpose": "live",
            "runs": 1000,
            "priced": 1000,
            "reported": 1.2,
            "told": 0,
            "executions": 0,
        }
    ],
}

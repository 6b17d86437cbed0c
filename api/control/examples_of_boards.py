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

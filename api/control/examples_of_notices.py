"""The examples of notices and of what follows a move, in the OpenAPI document. A test holds each against its model."""

from __future__ import annotations

from typing import Any

Example = dict[str, Any]

NOTICES: Example = {
    "items": [
        {
            "id": "01997f40-0000-7abc-8def-0123456789b0",
            "kind": "moved_back",
            "task": None,
            "route": "shopify/order.created",
            "title": "Route shopify/order.created went back from ramp to shadow by itself: a critical difference",
            "facts": {"from": "ramp", "to": "shadow", "pair": "01997f40-0000-7abc-8def-0123456789ab"},
            "made_at": "2026-05-01T09:31:00Z",
            "deliveries": [
                {
                    "id": "01997f40-0000-7abc-8def-0123456789b1",
                    "channel": "oncall",
                    "state": "sent",
                    "attempts": 2,
                    "due_at": None,
                    "sent_at": "2026-05-01T09:31:07Z",
                    "error": None,
                }
            ],
        }
    ]
}
DRAIN: Example = {
    "route": "shopify/order.created",
    "left": 2,
    "tasks": [
        {
            "task": "order-sync",
            "phase": "live",
            "since": "2026-05-04T08:00:00Z",
            "left": 2,
            "runs": 2,
            "scheduled": 1,
            "waiting": 0,
            "dead": 0,
            "oldest": "2026-05-03T19:12:44.120Z",
            "examples": ["01997f40-0000-7abc-8def-0123456789ae", "01997f40-0000-7abc-8def-0123456789af"],
        }
    ],
}

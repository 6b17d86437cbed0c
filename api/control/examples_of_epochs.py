"""Examples of what is said of epochs and deployments."""

from __future__ import annotations

from typing import Any

EPOCH: dict[str, Any] = {
    "id": "01997f40-0000-7abc-8def-0123456789ab",
    "task": "order-sync",
    "number": 3,
    "legacy_version": "20260428.2",
    "candidate_version": "3f2c9e1",
    "rules": "r1-5b8c0d9e7f6a4132",
    "because": "candidate was deployed in version 3f2c9e1, told by token:ci",
    "started_at": "2026-05-01T09:00:00Z",
    "ended_at": None,
    "live": {"match": 402, "allowed": 6, "mismatch": 0, "missing": 0, "not_comparable": 3},
    "replayed": {"match": 20, "allowed": 0, "mismatch": 0, "missing": 0, "not_comparable": 0},
    "left_out": {"other_version": 4},
    "pairs": 428,
    "mismatches": 0,
    "budget": 0.01,
    "alpha": 0.05,
    "e_value": 56.02,
    "upper_bound": 0.0075,
    "opened_at": "2026-05-03T17:20:04Z",
    "opened_after": 322,
    "regressed_at": None,
    "counted_until": "2026-05-04T08:59:51Z",
}
EPOCHS: dict[str, Any] = {"items": [EPOCH]}
EPOCH_REQUEST: dict[str, Any] = {"reason": "the shop's catalogue was replaced; what was compared before says little"}
DEPLOYMENT: dict[str, Any] = {
    "id": "01997f40-0000-7abc-8def-0123456789ab",
    "side": "candidate",
    "app": "shop",
    "version": "3f2c9e1",
    "tasks": ["digest", "order-sync"],
    "actor": "token:ci",
    "note": "release 7",
    "made_at": "2026-05-01T09:00:00Z",
}
DEPLOYMENTS: dict[str, Any] = {"items": [DEPLOYMENT]}
DEPLOYMENT_TOLD: dict[str, Any] = {**DEPLOYMENT, "begun": ["order-sync"]}
DEPLOYMENT_REQUEST: dict[str, Any] = {
    "side": "candidate",
    "version": "3f2c9e1",
    "app": "shop",
    "note": "release 7",
}

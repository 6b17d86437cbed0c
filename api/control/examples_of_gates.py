"""The examples of gates that the OpenAPI document shows. A test holds each against its model."""

from __future__ import annotations

from typing import Any

Example = dict[str, Any]

_EPOCH = "01997e11-0b40-7c55-9d0e-6f70819a2b3c"
_NONE = {"match": 0, "allowed": 0, "mismatch": 0, "missing": 0, "not_comparable": 0}


def _condition(name: str, state: str, figure: float | None, limit: float | None, says: str) -> Example:
    return {"name": name, "state": state, "figure": figure, "limit": limit, "says": says}


_STATISTIC = _condition(
    "statistic",
    "unmet",
    0.0331,
    0.01,
    "that fewer than 1 % of pairs differ is not shown: 0 of 96 pairs differ, so at most 3.31 % do;"
    " 226 more clean pairs would show it",
)
_FAILURES = _condition(
    "failures",
    "unmet",
    0.0372,
    0.02,
    "of 96 pairs 1 failed on the candidate (1.04 %) and 1 on legacy: not yet shown to be within legacy's + 2 %;"
    " 85 more pairs without failure would",
)
_CONDITIONS = [
    _STATISTIC,
    _condition(
        "regression", "met", 0.368, 20.0, "nothing shows that more than 1 % of pairs differ (e-value 0.368 of 20)"
    ),
    _condition("not_comparable", "met", 0.0303, 0.2, "3 of 99 pairs can't be compared: 3.03 %, and 20 % may be"),
    _condition("critical_signatures", "met", 0, 0, "no critical difference is open"),
    _condition("leaks", "met", 0, 0, "none, and a witness outside the gateway saw none"),
    _condition("containment", "met", None, None, "proven for version c4 on 2026-05-01"),
    _condition(
        "freshness", "met", 300.0, 172800.0, "the newest pair that was compared is 5 minutes old, and 2 days may be"
    ),
    _condition("soak", "met", 259200.0, 86400.0, "its epoch has lasted 3 days of 1 day"),
    _condition("ticks", "not_applicable", None, None, "no clock starts it"),
    _condition(
        "coverage",
        "met",
        0,
        0,
        "all 4 shapes of events and effects that legacy showed in the last 30 days were compared",
    ),
    _FAILURES,
    _condition(
        "latency",
        "informational",
        0.153,
        0.5,
        "of 95 pairs the candidate took more than 2 times legacy's time + 1 s in 3 (3.16 %, and half may);"
        " its mean is 1.08 times legacy's",
    ),
    _condition("allowances", "met", 0, 0, "no allowance of open signatures has expired"),
]
GATE: Example = {
    "task": "order-sync",
    "category": "orders",
    "route": "shopify/order.created",
    "phase": "shadow",
    "open": False,
    "outlook": "on 2026-05-10 at 40 pairs a day, all of them clean: until then statistic, failures",
    "opens_at": "2026-05-10T03:36:00Z",
    "blockers": ["statistic", "failures"],
    "conditions": _CONDITIONS,
    "epoch": _EPOCH,
    "epoch_number": 2,
    "epoch_started_at": "2026-05-01T12:00:00Z",
    "candidate_version": "c4",
    "legacy_version": "20260428.2",
    "live": {**_NONE, "match": 94, "allowed": 2, "not_comparable": 3},
    "replayed": _NONE,
    "pending": 0,
    "budget": 0.01,
    "alpha": 0.05,
    "e_value": 1.49,
    "upper_bound": 0.0331,
    "pairs_needed": 226,
    "pairs_a_day": 40.0,
    "sign_offs": [],
    "evaluated_at": "2026-05-04T12:00:00Z",
}
_LISTED: Example = {**GATE, "conditions": [_STATISTIC, _FAILURES]}
GATES: Example = {"items": [_LISTED]}
CATEGORY: Example = {
    "group": "orders",
    "open": False,
    "tasks": 3,
    "open_tasks": 2,
    "retired": 1,
    "opens_at": "2026-05-10T03:36:00Z",
    "outlook": "1 of 3 gates are closed, the last of them until 2026-05-10",
    "blockers": {"statistic": 1, "failures": 1},
    "items": [_LISTED],
}
MIGRATION: Example = {
    **CATEGORY,
    "group": "migration",
    "tasks": 199,
    "open_tasks": 148,
    "retired": 40,
    "opens_at": None,
    "outlook": "51 of 199 gates are closed, 3 of them until somebody sees to them",
    "blockers": {"statistic": 48, "critical_signatures": 3, "failures": 31},
}
SIGN_OFF: Example = {
    "id": "01997fd2-4c10-7a63-8b4c-56d7e8f9a012",
    "actor": "token:ann",
    "reason": "went through the payouts of the last quarter with Bob",
    "made_at": "2026-05-04T11:58:00Z",
}
SIGN_OFF_REQUEST: Example = {"reason": SIGN_OFF["reason"]}
SIGNED_OFF: Example = {**GATE, "pairs_a_day": 0.3, "sign_offs": [SIGN_OFF]}
CONFIRMATION: Example = {
    "name": "order-sync",
    "namespace": "jobs",
    "phase": "WaitingPromotion",
    "metadata": {"token": "shadow_..."},
}

"""The examples that the OpenAPI document shows. A test holds each against its model."""

from __future__ import annotations

from typing import Any

Example = dict[str, Any]

_EVENT = "01997f3c-52a0-7c3e-9b1d-2f60a1c4e7d2"
_PAIR = "01997f3c-52a0-7d10-8a4b-90f1c2d3e4f5"
_LEGACY_RUN = "01997f3c-52a0-7e21-9c5d-01a2b3c4d5e6"
_CANDIDATE_RUN = "01997f3c-52a0-7f32-8d6e-12b3c4d5e6f7"
_DISPATCH = "01997f3c-53b1-7a43-9e7f-23c4d5e6f708"
_EFFECT = "01997f3c-58c2-7b54-8f80-34d5e6f70819"
_SIGNATURE = "s1-5b8c0d9e7f6a41328c0d9e7f"
_ALLOWANCE = "01997fc5-a680-7e41-9a3b-45c6d7e8f901"

COUNTS: Example = {
    "events": 417,
    "pairs": 416,
    "match": 396,
    "allowed": 5,
    "mismatch": 9,
    "missing_candidate": 3,
    "missing_legacy": 0,
    "not_comparable": 1,
    "pending": 2,
    "parity": 0.9706,
}
TASK: Example = {
    "task": "order-sync",
    "category": "orders",
    "description": "Keeps the shop's orders in step with ours",
    "route": "shopify/order.created",
    "phase": "shadow",
    "event": "shopify/order.created",
    "sources": ["shopify"],
    "legacy": {"platform": "trigger", "task": "sync-order"},
    "candidate": {"platform": "inngest", "function": "shop-order-sync"},
    "counts": COUNTS,
}
TASKS: Example = {"items": [TASK]}
TICKS: Example = {
    "task": "daily-metrics",
    "expression": "0 2 * * *",
    "timezone": "UTC",
    "next_at": "2026-05-02T02:00:00Z",
    "counts": {"waiting": 0, "run": 29, "late": 0, "missed": 1, "doubled": 0},
    "items": [
        {
            "nominal_at": "2026-05-01T02:00:00Z",
            "external_id": None,
            "phase": "shadow",
            "authority": "legacy",
            "state": "run",
            "doubled": False,
            "legacy_runs": 1,
            "candidate_runs": 0,
            "event_id": _EVENT,
        }
    ],
}
PARITY: Example = {
    "task": "order-sync",
    "phase": "shadow",
    "since": "2026-05-01",
    "until": None,
    "tenant": None,
    "unattributed": 0,
    "counts": COUNTS,
    "days": [{"day": "2026-05-01", **COUNTS}],
}
PAIR: Example = {
    "id": _PAIR,
    "event_id": _EVENT,
    "task": "order-sync",
    "tenant": "acme",
    "state": "judged",
    "verdict": "mismatch",
    "reason": None,
    "severity": "critical",
    "difference_count": 1,
    "accepted_at": "2026-05-01T09:30:00Z",
    "judged_at": "2026-05-01T09:30:12Z",
    "revision": 1,
    "rules": "r1-0c9d5b8e7f6a4132",
    "replay": None,
    "replays": None,
}
PAIRS: Example = {"items": [PAIR], "next_cursor": "AZl_PFKgfRCKS5Dxws_k9Q"}
RUN: Example = {
    "id": _CANDIDATE_RUN,
    "task": "order-sync",
    "side": "candidate",
    "platform": "inngest",
    "platform_run_id": "01K5ZKRMN07QHSV3M4W5X6Y7Z8",
    "authority": "none",
    "state": "finished",
    "status": "completed",
    "error_name": None,
    "error_message": None,
    "attempts": 1,
    "version": None,
    "cost_cents": None,
    "scheduled_at": None,
    "started_at": "2026-05-01T09:30:01Z",
    "finished_at": "2026-05-01T09:30:03Z",
    "learned_by": "watcher",
    "world": None,
}
_LEGACY: Example = {
    **RUN,
    "id": _LEGACY_RUN,
    "side": "legacy",
    "platform": "trigger",
    "platform_run_id": "run_cmg2k4x8v0001",
    "authority": "real",
    "learned_by": "poll",
    "world": "copied",
}
_LEDGER: list[Example] = [
    {
        "id": _EFFECT,
        "kind": "http",
        "target": "stripe",
        "operation": "POST /v1/transfers",
        "identity": "payout-77",
        "idempotency_key": "payout-77",
        "attempt": 1,
        "occurred_at": "2026-05-01T09:30:02Z",
        "received_at": "2026-05-01T09:30:02.4Z",
        "seen_by": "report",
        "attributed_by": "report",
        "disposition": None,
        "status": None,
        "waited_ms": None,
        "data": {"amount": 12500, "currency": "usd"},
    }
]
_SENTENCE = "candidate never called POST /v1/transfers at stripe for payout-77; legacy did once"
PAIR_DETAIL: Example = {
    **PAIR,
    "deadline_at": "2026-05-01T09:45:00Z",
    "legacy": {**_LEGACY, "output": {"synced": True}, "effects": _LEDGER},
    "candidate": {**RUN, "output": {"synced": True}, "effects": []},
    "originals": "kept",
    "extra": [],
    "differences": [
        {
            "kind": "effect.missing",
            "path": "$['effects']['http']['stripe']['POST /v1/transfers']['payout-77']",
            "severity": "critical",
            "sentence": _SENTENCE,
            "signature": _SIGNATURE,
            "legacy": {"amount": 12500, "currency": "usd"},
            "candidate": None,
            "allowance": None,
        }
    ],
    "explanation": {
        "verdict": "mismatch",
        "reason": None,
        "as_stored": True,
        "differences": [
            {
                "kind": "effect.missing",
                "path": "$['effects']['http']['stripe']['POST /v1/transfers']['payout-77']",
                "severity": "critical",
                "sentence": _SENTENCE,
                "signature": _SIGNATURE,
            }
        ],
        "stages": {
            "identical": False,
            "normalised": [],
            "collapsed": [],
            "paired": [],
            "missing": [
                {
                    "side": "legacy",
                    "position": 0,
                    "kind": "http",
                    "target": "stripe",
                    "operation": "POST /v1/transfers",
                    "identity": "payout-77",
                    "attempt": 1,
                }
            ],
            "surplus": [],
            "unified": [],
            "kept": [],
            "moments": [],
            "hidden": [],
            "classified": [
                {
                    "path": "$['effects']['http']['stripe']['POST /v1/transfers']['payout-77']",
                    "kind": "effect.missing",
                    "severity": "critical",
                    "because": "the world lacks an effect",
                }
            ],
            "views": [],
            "verdict": "mismatch: 1 difference counts, the worst is critical",
        },
    },
}
SIGNATURE: Example = {
    "id": _SIGNATURE,
    "task": "order-sync",
    "kind": "effect.missing",
    "path": "$['effects']['http']['stripe']['POST /v1/transfers']['payout-77']",
    "severity": "critical",
    "sentence": _SENTENCE,
    "example_pair": _PAIR,
    "pairs": 9,
    "allowed": 0,
    "tenant_count": 2,
    "first_seen": "2026-05-01T09:30:00Z",
    "last_seen": "2026-05-01T11:02:31Z",
}
TASK_RULES: Example = {
    "task": "order-sync",
    "fingerprint": "r1-7d0f4b6e2a9c8135",
    "dead": 1,
    "judged": 411,
    "order": "declared",
    "rules": [
        {
            "rule": "r1-3c1a9e5b7f2d4860",
            "key": "ignore[0]",
            "type": "ignore",
            "says": {"scope": "output", "path": "$.tookMs", "reason": "how long it took"},
            "state": "used",
            "since": "2026-03-01T08:00:00Z",
            "selected": 396,
            "hid": 391,
            "last_selected": "2026-05-01",
        },
        {
            "rule": "r1-90e4d2c6b8a71f35",
            "key": "values[0]",
            "type": "text",
            "says": {"scope": "effect", "path": "$.body.nots", "type": "text", "kind": "http"},
            "state": "dead",
            "since": "2026-03-01T08:00:00Z",
            "selected": 0,
            "hid": 0,
            "last_selected": None,
        },
    ],
    "orders": [
        {
            "first": {"kind": "http", "target": "stripe", "operation": "POST /v1/transfers"},
            "then": {"kind": "sql", "target": "shop", "operation": "insert ledger"},
            "runs": 396,
            "kept": True,
        }
    ],
}
ALLOWANCE: Example = {
    "id": _ALLOWANCE,
    "signature": _SIGNATURE,
    "task": "order-sync",
    "tenant": "acme",
    "state": "standing",
    "deciding": False,
    "pairs": 8,
    "max_severity": "critical",
    "acknowledged_critical": True,
    "reason": "acme's transfers are made by the nightly batch from now on (SHOP-812)",
    "actor": "token:oncall",
    "made_at": "2026-05-01T12:00:00Z",
    "expires_at": "2026-05-15T00:00:00Z",
    "ended_at": None,
    "ended_by": None,
}
ALLOWANCES: Example = {"items": [ALLOWANCE]}
ALLOWANCE_REQUEST: Example = {
    "signature": _SIGNATURE,
    "tenant": "acme",
    "reason": "acme's transfers are made by the nightly batch from now on (SHOP-812)",
    "until": "2026-05-15T00:00:00Z",
    "acknowledge_critical": True,
}
SIGNATURES: Example = {"items": [SIGNATURE]}
SIGNATURE_DETAIL: Example = {
    **SIGNATURE,
    "tenants": [{"tenant": "acme", "pairs": 8}, {"tenant": None, "pairs": 1}],
    "allowances": [],
}
JUDGEMENTS_REQUEST: Example = {"since": "2026-05-01T00:00:00Z", "dry_run": True}
JUDGEMENTS: Example = {
    "task": "order-sync",
    "since": "2026-05-01T00:00:00Z",
    "until": None,
    "dry_run": True,
    "rules": "r1-0c9d5b8e7f6a4132",
    "examined": 403,
    "judged": 400,
    "current": 0,
    "waiting": 2,
    "unreadable": [
        {
            "reason": "the event's data can't be read any more: its originals were deleted",
            "pairs": 1,
            "listed": [_PAIR],
        }
    ],
    "changed": 8,
    "verdicts": [
        {"before": "match", "after": "match", "pairs": 391},
        {"before": "mismatch", "after": "match", "pairs": 8},
        {"before": "mismatch", "after": "mismatch", "pairs": 1},
    ],
    "signatures": [
        {
            "signature": _SIGNATURE,
            "severity": "critical",
            "sentence": "The candidate made no POST /v1/transfers to stripe for payout-77.",
            "added": 0,
            "removed": 8,
        }
    ],
    "examples": [
        {
            "pair": _PAIR,
            "before": "mismatch",
            "after": "match",
            "shows": None,
            "shows_no_longer": "The candidate made no POST /v1/transfers to stripe for payout-77.",
        }
    ],
    "next_cursor": None,
}
DISPATCH: Example = {
    "id": _DISPATCH,
    "event_id": _EVENT,
    "side": "candidate",
    "stage": "deliver",
    "platform": "inngest",
    "task": None,
    "state": "dead",
    "attempts": 1,
    "due_at": "2026-05-01T09:30:00Z",
    "error": "400: event name is too long",
    "created_at": "2026-05-01T09:30:00Z",
}
EVENT: Example = {
    "id": _EVENT,
    "source": "shopify",
    "door": "webhook",
    "origin": "producer",
    "name": "shopify/order.created",
    "tenant": "acme",
    "external_id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    "delivery_id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    "upstream_id": "01K5ZKRMN07QHSV3M4W5X6Y7Z8",
    "occurred_at": "2026-05-01T09:29:58Z",
    "scheduled_at": None,
    "accepted_at": "2026-05-01T09:30:00Z",
    "route": "shopify/order.created",
    "phase": "shadow",
    "authority": "legacy",
    "ramp_key": None,
    "mapping_error": None,
    "data": {"orderId": 820982911946154500, "tenantId": "acme"},
    "originals": "kept",
    "runs": [_LEGACY, RUN],
    "dispatches": [],
    "pairs": [_PAIR],
}
DEAD_LETTERS: Example = {
    "items": [{**DISPATCH, "tenant": "acme", "event_name": "shopify/order.created", "source": "shopify"}],
    "next_cursor": None,
}
RESENT: Example = {"id": _DISPATCH}
MOVE: Example = {
    "id": "01997f40-0000-7abc-8def-0123456789ab",
    "route": "shopify/order.created",
    "tasks": ["order-sync"],
    "from_phase": "legacy",
    "to_phase": "shadow",
    "actor": "token:oncall",
    "reason": "First week of comparison",
    "from_share": 0,
    "to_share": 0,
    "allow": [],
    "deny": [],
    "forced": False,
    "cause": "person",
    "evidence_hash": None,
    "decided_at": "2026-05-01T09:00:00Z",
    "effective_at": "2026-05-01T09:00:02Z",
}
MOVES: Example = {"items": [MOVE]}
MOVE_DETAIL: Example = {**MOVE, "evidence": None}
PHASES: Example = {
    "items": [
        {
            "route": "order-sync",
            "tasks": ["order-sync"],
            "phase": "ramp",
            "share": 10,
            "allow": ["acme"],
            "deny": [],
            "reverse": False,
            "since": "2026-05-08T09:00:02Z",
            "coming": {
                "phase": "ramp",
                "share": 50,
                "allow": ["acme"],
                "deny": [],
                "effective_at": "2026-05-09T09:00:02Z",
            },
        }
    ]
}
INCIDENTS: Example = {
    "items": [
        {
            "id": "01997f40-0000-7abc-8def-0123456789ac",
            "kind": "leak",
            "task": "order-sync",
            "route": "shopify/order.created",
            "side": "candidate",
            "run": _CANDIDATE_RUN,
            "effect": "01997f40-0000-7abc-8def-0123456789ad",
            "target": "shopify",
            "operation": "POST /admin/orders/{id}/tags",
            "detail": "POST /admin/orders/{id}/tags at shopify was forwarded for a run without authority",
            "noticed_at": "2026-05-01T09:31:00Z",
            "moved_back": True,
        }
    ]
}
MOVE_REQUEST: Example = {"phase": "ramp", "share": 10, "allow": ["acme"], "reason": "Its gate is open since Monday"}
CONTAINMENT: Example = {
    "task": "order-sync",
    "state": "proven",
    "contained": True,
    "items": [
        {
            "id": "01997f40-0000-7abc-8def-0123456789ac",
            "task": "order-sync",
            "kind": "proof",
            "version": "2026-05-01.3",
            "state": "proven",
            "parts": {
                "guard": {
                    "state": "passed",
                    "says": ["every host but the gateway is denied"],
                    "todo": [],
                    "warnings": [],
                    "facts": {"version": "2026-05-01.3", "fingerprints": 41, "compared_with": 6},
                },
            },
            "leaks": "none",
            "actor": "token:oncall",
            "reason": None,
            "made_at": "2026-05-01T08:00:00Z",
            "ended_at": None,
            "ended_because": None,
        }
    ],
}
CONTAINMENT_REQUEST: Example = {"action": "declare_harmless", "reason": "It only reads"}
ALIVE: Example = {"status": "ok"}
READY: Example = {"status": "ready", "migration": "0001"}
METRICS = 'shadow_judged_total{verdict="match"} 396.0\n'
PARITY_METRICS = 'shadow_parity_ratio{task="order-sync"} 0.9706\n'
REPLAY: Example = {
    "id": "01997fc5-b2c0-7d10-8e4f-5a6b7c8d9e0f",
    "task": "order-sync",
    "purpose": "replay",
    "signature": _SIGNATURE,
    "actor": "token:oncall",
    "reason": "the transfer is made by a step of its own now (SHOP-830)",
    "made_at": "2026-05-02T09:00:00Z",
    "pairs": 9,
    "pending": 0,
    "cleared": 8,
    "shown": 0,
    "inconclusive": 1,
    "verdicts": {"match": 8, "not_comparable": 1},
    "others": [],
    "skipped": {},
}
REPLAYS: Example = {"items": [REPLAY]}
REPLAY_REQUEST: Example = {
    "signature": _SIGNATURE,
    "reason": "the transfer is made by a step of its own now (SHOP-830)",
    "limit": 50,
}
PROPOSAL: Example = {
    "id": "01997fc5-c0d0-7a20-9b3c-4d5e6f708192",
    "task": "order-sync",
    "place": 'output $["tookMs"]',
    "state": "open",
    "source": "legacy_twice",
    "settings": {
        "type": "presence",
        "scope": "output",
        "path": '$["tookMs"]',
        "reason": "differs in 20 of 20 pairs of legacy with itself",
    },
    "rule": "r1-5b8c0d9e7f6a4132",
    "refusal": None,
    "because": None,
    "evidence": {
        "live": {"compared": 411, "differed": 409},
        "legacy_twice": {"compared": 20, "differed": 20},
        "samples": [{"legacy": 120, "candidate": 87}],
        "hides": {"tried_on": 200, "pairs": 199, "to_match": 196, "signatures": {"s1-0f1e2d3c4b5a69788796a5b4": 199}},
    },
    "made_at": "2026-05-01T12:00:00Z",
    "seen_at": "2026-05-01T12:00:00Z",
    "decided_at": None,
    "decided_by": None,
    "reason": None,
    "expires_at": None,
}
PROPOSALS: Example = {"items": [PROPOSAL]}
PROPOSAL_DECISION: Example = {
    "decision": "accept",
    "reason": "how long the run took; legacy measures it, too",
    "until": "2026-10-01T00:00:00Z",
}

"""Ledgers of the commerce example's tasks, for the comparators' tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from comparators import JSON, Effect, Judgement, Ledger, Outcome, Rules, judge

LEGACY_START = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC).timestamp()
CANDIDATE_START = datetime(2026, 3, 2, 10, 4, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0


def iso(seconds: float) -> str:
    """An instant as JavaScript writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def effect(kind: str, target: str, operation: str, data: JSON, identity: str | None = None) -> Effect:
    return Effect(kind, target, operation, identity, data)


def completed(output: JSON = None, start: float = LEGACY_START, seconds: float = 3.0) -> Outcome:
    return Outcome("completed", output, started_at=start, finished_at=start + seconds)


def payout_ledger(
    *,
    start: float = LEGACY_START,
    transfer: str = "tr_4f9a81c2d3e4b5a6",
    row: str = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f",
    run: str = "run_cm2x9k4p10001abc9def",
) -> Ledger:
    """process-payout: money moves, rows are written, the creator is mailed."""
    return Ledger(
        completed({"success": True, "transferId": transfer}, start),
        (
            effect(
                "http",
                "payouts",
                "POST /v1/transfers",
                {"body": {"amount": 12_550, "currency": "EUR", "destination": "acct_9", "ref": "req-77"}},
                "req-77",
            ),
            effect(
                "sql",
                "database",
                "update withdrawals",
                {"id": "req-77", "status": "completed", "transfer_id": transfer, "tenantId": "t1"},
                "req-77",
            ),
            effect(
                "sql",
                "database",
                "insert transactions",
                {
                    "id": row,
                    "transfer_id": transfer,
                    "amount": 125.5,
                    "created_at": iso(start + 1.2),
                    "run": run,
                },
            ),
            effect(
                "email",
                "mail",
                "send",
                {
                    "to": "ada@x.test",
                    "subject": "Your payout is on its way",
                    "text": f"We sent you 125.50 EUR (transfer {transfer}).",
                },
                "req-77",
            ),
        ),
    )


def candidate_payout() -> Ledger:
    """The same payout as the candidate does it: later, with ids of its own."""
    return payout_ledger(
        start=CANDIDATE_START,
        transfer="tr_00b1d2c3e4f5a697",
        row="0190d5f6-aaaa-7bbb-8ccc-1234567890ab",
        run="01J8Z3K4M5N6P7Q8R9S0T1V2W3",
    )


def order_ledger(*, start: float = LEGACY_START) -> Ledger:
    """sync-shopify-order: read, save, attribute, credit, emit."""
    return Ledger(
        completed({"success": True, "orderId": "1001"}, start),
        (
            effect("http", "shopify", "GET /orders/1001.json", {"query": {"fields": "id,total"}}),
            effect(
                "sql",
                "database",
                "upsert orders",
                {
                    "order_id": "1001",
                    "tenantId": "t1",
                    "total": 99.9,
                    "note": "Grüße & <3",
                    "tags": ["vip", "eu"],
                    "lines": [
                        {"sku": "A-1", "quantity": 1},
                        {"sku": "B-2", "quantity": 2},
                        {"sku": "C-3", "quantity": 3},
                    ],
                },
                "1001",
            ),
            effect(
                "sql",
                "database",
                "upsert attributions",
                {"order_id": "1001", "model": "linear", "weight": 0.3},
            ),
            effect("sql", "database", "upsert attributions", {"order_id": "1001", "model": "last", "weight": 1}),
            effect(
                "event",
                "inngest",
                "review/email.scheduled",
                {
                    "orderId": "1001",
                    "sequence": 1,
                    "tenantId": "t1",
                    # Delivery + 5 days: a moment that comes from data.
                    "deliverAt": "2026-03-06T09:00:00.000Z",
                },
                "1001/1",
            ),
        ),
    )


def review_ledger(*, start: float = LEGACY_START, delay: float = 7 * DAY) -> Ledger:
    """send-review-email: mail, then schedule the next one relative to now."""
    return Ledger(
        completed({"success": True, "sequence": 1}, start),
        (
            effect("email", "mail", "send", {"to": "ada@x.test", "template": "review-1"}, "1001/1"),
            effect(
                "event",
                "inngest",
                "review/email.scheduled",
                {"orderId": "1001", "sequence": 2, "tenantId": "t1", "ts": int((start + 1.5 + delay) * 1000)},
                "1001/2",
            ),
        ),
    )


def with_effects(ledger: Ledger, *effects: Effect) -> Ledger:
    return replace(ledger, effects=effects)


def without(ledger: Ledger, index: int) -> Ledger:
    return replace(ledger, effects=ledger.effects[:index] + ledger.effects[index + 1 :])


def with_data(ledger: Ledger, index: int, **members: JSON) -> Ledger:
    """The ledger with members of one effect's data replaced; `...` cannot be JSON, so use `lacking` to drop."""
    data = ledger.effects[index].data
    assert isinstance(data, dict)
    changed = replace(ledger.effects[index], data={**data, **members})
    return replace(ledger, effects=(*ledger.effects[:index], changed, *ledger.effects[index + 1 :]))


def lacking(ledger: Ledger, index: int, member: str) -> Ledger:
    data = ledger.effects[index].data
    assert isinstance(data, dict)
    changed = replace(ledger.effects[index], data={k: v for k, v in data.items() if k != member})
    return replace(ledger, effects=(*ledger.effects[:index], changed, *ledger.effects[index + 1 :]))


def with_outcome(ledger: Ledger, **fields: object) -> Ledger:
    return replace(ledger, outcome=replace(ledger.outcome, **fields))  # type: ignore[arg-type]  # test shorthand


def judged(legacy: Ledger, candidate: Ledger, rules: Rules | None = None, known: JSON = None) -> Judgement:
    return judge(legacy, candidate, rules or Rules(), task="task", known=known)


def kinds(judgement: Judgement) -> list[str]:
    return [difference.kind for difference in judgement.differences]

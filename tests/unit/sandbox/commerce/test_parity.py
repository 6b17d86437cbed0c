"""Without faults both versions of every task do the same to the world, however differently they go about it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from comparators import Effect, Ledger, Verdict
from sandbox.commerce.catalogue import TASKS
from sandbox.commerce.legacy import TASKS as LEGACY_TASKS
from tests.unit.sandbox.commerce.conftest import Rehearsed


def _named(effects: tuple[Effect, ...]) -> Counter[tuple[str, str, str, str | None]]:
    """What was done, without the tries that a target turned away: those are the world's doing, and legacy's alone."""
    done = [effect for effect in effects if not _turned_away(effect)]
    return Counter((e.kind, e.target, e.operation, e.identity) for e in done)


def _turned_away(effect: Effect) -> bool:
    return isinstance(effect.data, dict) and effect.data.get("status") == 503


def _ledgers(rehearsed: Rehearsed, task: str) -> list[tuple[Ledger, Ledger]]:
    legacy, candidate = rehearsed.ledgers["legacy"], rehearsed.ledgers["candidate"]
    return [(legacy[each.key], candidate[each.key]) for each in rehearsed.what if each.task == task]


@pytest.mark.parametrize("task", TASKS)
def test_every_pair_of_a_task_matches(rehearsed: Rehearsed, task: str) -> None:
    judgements = [rehearsed.judgements[each.key] for each in rehearsed.what if each.task == task]
    differences = [d.sentence for judgement in judgements for d in judgement.differences]
    assert differences == []
    assert {judgement.verdict for judgement in judgements} == {Verdict.match}


@pytest.mark.parametrize("task", TASKS)
def test_both_sides_report_the_same_effects_equally_often(rehearsed: Rehearsed, task: str) -> None:
    for legacy, candidate in _ledgers(rehearsed, task):
        assert _named(legacy.effects) == _named(candidate.effects)


def test_a_few_hundred_events_were_rehearsed_as_the_plan_expects(rehearsed: Rehearsed) -> None:
    counts = Counter(each.task for each in rehearsed.what)
    assert counts == Counter(rehearsed.plan.expected())
    assert set(counts) == set(TASKS)
    assert counts.total() >= 190


def test_the_ledgers_are_not_simply_equal(rehearsed: Rehearsed) -> None:
    """Otherwise parity would prove little: ids, times, order and attempts differ as they do in real life."""
    pairs = [
        (rehearsed.ledgers["legacy"][each.key], rehearsed.ledgers["candidate"][each.key]) for each in rehearsed.what
    ]
    assert any([e.data for e in a.effects] != [e.data for e in b.effects] for a, b in pairs)
    assert any([e.operation for e in a.effects] != [e.operation for e in b.effects] for a, b in pairs)
    assert any(a.outcome.attempts != b.outcome.attempts for a, b in pairs)


def test_only_legacy_is_turned_away_by_targets_for_it_alone_reaches_them(rehearsed: Rehearsed) -> None:
    turned_away = {
        side: sum(_turned_away(effect) for ledger in ledgers.values() for effect in ledger.effects)
        for side, ledgers in rehearsed.ledgers.items()
    }
    assert turned_away["legacy"] > 0
    assert turned_away["candidate"] == 0


def test_the_candidate_is_told_of_the_true_transfers(rehearsed: Rehearsed) -> None:
    paid = 0
    for legacy, candidate in _ledgers(rehearsed, "process-payout"):
        if legacy.outcome.status == "completed":
            assert candidate.outcome.output == legacy.outcome.output
            paid += 1
    assert paid > 20
    books = [call for call in rehearsed.performed.books["targets"] if call["target"] in ("swiftpay", "bankwire")]
    references = Counter(call["body"]["reference"] for call in books if call["status"] < 400 and not call["replayed"])
    assert set(references.values()) == {1}, "the providers' own books show each payout once"
    assert len(references) == paid


def test_some_runs_fail_and_some_are_skipped_on_both_sides(rehearsed: Rehearsed) -> None:
    for side in ("legacy", "candidate"):
        outcomes = [ledger.outcome for ledger in rehearsed.ledgers[side].values()]
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        assert failed
        assert all("closed" in str(outcome.error_message) for outcome in failed)
        skipped = {"skipped": True, "reason": "already_reviewed"}
        assert any(outcome.output == skipped for outcome in outcomes)


def _one(rehearsed: Rehearsed, task: str, condition: str = "") -> Ledger:
    for each in rehearsed.what:
        ledger = rehearsed.ledgers["legacy"][each.key]
        operations = {effect.operation for effect in ledger.effects}
        if each.task == task and ledger.outcome.status == "completed" and (condition in operations or not condition):
            return ledger
    raise AssertionError(f"no completed run of {task} with {condition!r}")


@pytest.mark.parametrize(
    ("task", "condition", "operations", "output"),
    [
        (
            "sync-shopify-order",
            "upsert commissions",
            {
                "GET /admin/api/2024-10/orders/{id}.json",
                "upsert orders",
                "upsert order_items",
                "upsert commissions",
            },
            {"success", "orderId"},
        ),
        ("send-review-email", "POST /v3/mail/send", {"POST /v3/mail/send"}, {"success", "sequence"}),
        (
            "process-payout",
            "POST /v1/transfers",
            {"POST /v1/transfers", "upsert withdrawals", "upsert ledger_transactions", "POST /v3/mail/send"},
            {"success", "transferId"},
        ),
        ("process-payout", "POST /payouts", {"POST /payouts", "POST /v3/mail/send"}, {"success", "transferId"}),
        (
            "process-creator-application",
            "",
            {"POST /v3/mail/send", "POST /api/chat.postMessage", "POST /v21.0/{pixel}/events"},
            {"success"},
        ),
        (
            "process-attribution",
            "",
            {"upsert attribution_results", "POST /mp/collect", "POST /v21.0/{pixel}/events"},
            {"success", "models"},
        ),
        ("aggregate-daily-metrics", "", {"upsert daily_snapshots"}, {"success", "tenants"}),
        ("process-webhook-queue", "", {"upsert webhook_queue", "upsert customers"}, {"processed", "failed"}),
    ],
)
def test_each_task_does_what_the_example_says(
    rehearsed: Rehearsed, task: str, condition: str, operations: set[str], output: set[str]
) -> None:
    ledger = _one(rehearsed, task, condition)
    assert operations <= {effect.operation for effect in ledger.effects}
    assert isinstance(ledger.outcome.output, dict)
    assert set(ledger.outcome.output) == output


def test_the_queue_is_worked_off_a_hundred_at_most_and_failures_are_counted(rehearsed: Rehearsed) -> None:
    swept: list[int] = []
    for legacy, _ in _ledgers(rehearsed, "process-webhook-queue"):
        output: Any = legacy.outcome.output
        assert output["failed"] > 0
        swept.append(output["processed"] + output["failed"])
    assert max(swept) == 100


@pytest.mark.parametrize(
    ("task", "attempts"),
    [
        # retries as the example gives them, and one; the default of the platform where it gives none
        ("sync-shopify-order", 4),
        ("send-review-email", 4),
        ("process-payout", 3),
        ("process-creator-application", 3),
        ("process-attribution", 3),
        ("aggregate-daily-metrics", 3),
        ("process-webhook-queue", 3),
    ],
)
def test_legacy_tries_as_often_as_the_example_says(task: str, attempts: int) -> None:
    assert {each.id: each.attempts for each in LEGACY_TASKS}[task] == attempts

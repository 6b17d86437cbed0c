"""What must not be called a difference is not, and only when it corresponds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from comparators import JSON, IgnoreRule, Ledger, Rules, Verdict
from comparators.rules import NumberRule, SetRule
from tests.unit.comparators.ledgers import (
    CANDIDATE_START,
    LEGACY_START,
    candidate_payout,
    completed,
    effect,
    iso,
    judged,
    kinds,
    order_ledger,
    payout_ledger,
    review_ledger,
    with_data,
    with_effects,
    with_outcome,
)


def single(data: JSON, *, start: float = LEGACY_START, operation: str = "POST /x", kind: str = "http") -> Ledger:
    return Ledger(completed(None, start), (effect(kind, "crm", operation, data),))


def confirmed(transfer: str) -> Ledger:
    create = effect("http", "crm", "POST /transfers", {"body": {"ref": "r-1"}})
    return Ledger(
        completed(), (create, effect("http", "crm", f"POST /transfers/{transfer}/confirm", {"body": {"paid": True}}))
    )


NOISE: list[tuple[str, Callable[[], tuple[Ledger, Ledger]]]] = [
    # run ids, step ids, generated keys, used consistently, in texts too; timestamps that follow the run's clock
    ("ids and clocks of a payout", lambda: (payout_ledger(), candidate_payout())),
    # the moment of a delivery + 5 days is the same whenever the runs run
    ("a schedule from data", lambda: (order_ledger(), order_ledger(start=CANDIDATE_START))),
    # "7 days later" follows each run's clock
    ("a schedule from now", lambda: (review_ledger(), review_ledger(start=CANDIDATE_START))),
    # order of independent effects
    (
        "another order",
        lambda: (
            payout_ledger(),
            with_effects(candidate_payout(), *reversed(candidate_payout().effects)),
        ),
    ),
    # a retry that the world saw once: legacy retried the whole run
    (
        "a retry under the provider's key",
        lambda: (
            with_effects(
                order_ledger(),
                *(
                    replace(effect("http", "pay", "POST /t", {"amount": 5}), attempt=n, idempotency_key="k")
                    for n in (1, 2, 3)
                ),
            ),
            with_effects(
                order_ledger(),
                replace(effect("http", "pay", "POST /t", {"amount": 5}), idempotency_key="other"),
            ),
        ),
    ),
    # how often it took
    ("attempts", lambda: (order_ledger(), with_outcome(order_ledger(), attempts=3))),
    # float noise
    ("float noise", lambda: (single({"weight": 0.1 + 0.2}), single({"weight": 0.3}))),
    ("float noise of an amount", lambda: (single({"amount": 0.1 + 0.2}), single({"amount": 0.3}))),
    ("noise beside a whole number", lambda: (single({"weight": 20}), single({"weight": 19.999999999999996}))),
    # a whole float is an integer to JSON
    ("a whole float", lambda: (single({"total": 45}), single({"total": 45.0}))),
    # JSON key order
    ("key order", lambda: (single({"a": 1, "b": [2]}), single({"b": [2], "a": 1}))),
    # header noise
    (
        "headers",
        lambda: (
            single({"headers": {"User-Agent": "node", "Traceparent": "00-a", "Content-Type": "application/json"}}),
            single({"headers": {"user-agent": "python", "date": "now", "content-type": "application/json"}}),
        ),
    ),
    # equal content in another encoding
    ("a body as text", lambda: (single({"body": {"a": "é"}}), single({"body": '{"a": "\\u00e9"}'}))),
    (
        "an instant in UTC",
        lambda: (single({"x": "2026-01-05T10:00:00Z"}), single({"x": "2026-01-05T10:00:00.000+00:00"})),
    ),
    (
        "an instant in a zone",
        lambda: (single({"x": "2026-01-05T10:00:00Z"}), single({"x": "2026-01-05T11:00:00+01:00"})),
    ),
    # generated ids within an operation; what made the transfer was answered with its id
    (
        "an id in an operation",
        lambda: (confirmed("tr_4f9a81c2d3e4b5a6"), confirmed("tr_00b1d2c3e4f5a697")),
    ),
    # a provider's id for a message is no recipient
    (
        "an email's id",
        lambda: (
            single({"email_id": "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"}),
            single({"email_id": "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"}),
        ),
    ),
    # epoch milliseconds of now
    (
        "epoch milliseconds",
        lambda: (
            single({"updated_at": int(LEGACY_START * 1000) + 700}),
            single({"updated_at": int(CANDIDATE_START * 1000) + 1900}, start=CANDIDATE_START),
        ),
    ),
    # an error's class name in front of its message, and its new name
    (
        "an error's name",
        lambda: (
            with_outcome(order_ledger(), status="failed", error_name="AbortTaskRunError", error_message="no funds"),
            with_outcome(
                order_ledger(),
                status="failed",
                error_name="NonRetriableError",
                error_message="NonRetriableError: no  funds",
            ),
        ),
    ),
    # what a cancelled run returned is the platform's: {} on Inngest, nothing on Trigger.dev
    (
        "the output of a cancelled run",
        lambda: (
            with_outcome(order_ledger(), status="cancelled", output=None),
            with_outcome(order_ledger(), status="cancelled", output={}),
        ),
    ),
]


@pytest.mark.parametrize("ledgers", [row[1] for row in NOISE], ids=[row[0] for row in NOISE])
def test_noise_is_a_match_whichever_side_it_is_on(ledgers: Callable[[], tuple[Ledger, Ledger]]) -> None:
    legacy, candidate = ledgers()
    for pair in ((legacy, candidate), (candidate, legacy)):
        judgement = judged(*pair)
        assert [difference.sentence for difference in judgement.differences] == []
        assert judgement.verdict is Verdict.match


def test_effects_without_identity_are_paired_by_the_ids_that_other_effects_and_the_output_share() -> None:
    names = ["anna", "bert", "cleo"]

    def ledger(ids: list[str], positions: list[int]) -> Ledger:
        rows = [effect("sql", "db", "insert jobs", {"id": ids[n], "state": "new"}) for n in range(3)]
        mails = [effect("email", "mail", "send", {"to": names[n], "job": ids[n]}) for n in range(3)]
        both = [*rows, *mails]
        return Ledger(completed({"jobs": list[JSON](ids)}), tuple(both[position] for position in positions))

    legacy = ledger([f"0190d5f2-7c1a-7d3e-9b5f-00000000000{n}" for n in "abc"], [0, 1, 2, 3, 4, 5])
    # Other ids, which sort the other way round, in another order.
    candidate = ledger([f"0190d5f6-aaaa-7bbb-8ccc-00000000000{n}" for n in "cba"], [5, 0, 2, 4, 1, 3])
    assert judged(legacy, candidate).verdict is Verdict.match


def test_timestamps_differ_when_the_runs_clocks_are_not_known() -> None:
    def unclocked(ledger: Ledger) -> Ledger:
        return with_outcome(ledger, started_at=None, finished_at=None)

    judgement = judged(unclocked(review_ledger()), unclocked(review_ledger(start=CANDIDATE_START)))
    assert kinds(judgement) == ["effect.changed"]


def test_a_runs_end_is_found_from_its_duration() -> None:
    def lasting(start: float, after: float) -> Ledger:
        ledger = single({"done_at": iso(start + after)}, start=start)
        return with_outcome(ledger, finished_at=None, duration_ms=60_000.0)

    assert judged(lasting(LEGACY_START, 1), lasting(CANDIDATE_START, 59)).verdict is Verdict.match
    assert judged(lasting(LEGACY_START, 1), lasting(CANDIDATE_START, 400)).verdict is Verdict.mismatch


def test_an_ignored_path_is_left_out_on_both_sides() -> None:
    legacy, candidate = order_ledger(), with_data(order_ledger(), 1, note="other", checksum="x")
    rules = Rules(
        ignore=(
            IgnoreRule("effect", "$.note", "free text", kind="sql", operation="upsert *"),
            IgnoreRule("effect", "$.checksum", "not in legacy", target="database"),
        )
    )
    assert judged(legacy, candidate, rules).verdict is Verdict.match
    elsewhere = Rules(ignore=(IgnoreRule("effect", "$.note", "free text", kind="email"),))
    assert kinds(judged(legacy, candidate, elsewhere)) == ["effect.field_added", "effect.changed"]


def test_an_ignored_output_path_is_left_out() -> None:
    legacy = with_outcome(order_ledger(), output={"ok": True, "took": 5})
    candidate = with_outcome(order_ledger(), output={"ok": True, "took": 9})
    assert judged(legacy, candidate, Rules(ignore=(IgnoreRule("output", "$.took", "time"),))).verdict is Verdict.match
    assert judged(legacy, candidate, Rules(output=False)).verdict is Verdict.match
    assert kinds(judged(legacy, candidate)) == ["output.changed"]


def test_an_ignore_rule_for_an_object_does_not_hide_the_amount_in_it() -> None:
    legacy = single({"meta": {"trace": "a", "amount": 5}})
    candidate = single({"meta": {"trace": "b", "amount": 6}})
    judgement = judged(legacy, candidate, Rules(ignore=(IgnoreRule("effect", "$.meta", "noise"),)))
    assert [(d.path, d.legacy, d.candidate) for d in judgement.differences] == [
        ("$['effects']['http']['crm']['POST /x'][0]['meta']['amount']", 5, 6)
    ]


def test_numbers_within_a_declared_tolerance_are_equal() -> None:
    rules = Rules(values=(NumberRule("effect", "$.score", "model noise", absolute=0.5),))
    assert judged(single({"score": 10}), single({"score": 10.5}), rules).verdict is Verdict.match
    assert judged(single({"score": 10}), single({"score": 10.6}), rules).verdict is Verdict.mismatch


def test_items_without_order_are_paired_by_the_ids_that_their_rows_were_born_with() -> None:
    def ledger(ids: list[str], listed: list[int]) -> Ledger:
        rows = [effect("sql", "db", "insert jobs", {"id": one, "name": f"job {n}"}) for n, one in enumerate(ids)]
        return Ledger(completed({"jobs": [ids[n] for n in listed]}), tuple(rows))

    rules = Rules(values=(SetRule("output", "$.jobs"),))
    legacy = ledger([f"0190d5f2-7c1a-7d3e-9b5f-00000000000{n}" for n in "abc"], [0, 1, 2])
    candidate = ledger([f"0190d5f6-aaaa-7bbb-8ccc-00000000000{n}" for n in "bca"], [2, 0, 1])
    assert judged(legacy, candidate, rules).verdict is Verdict.match
    other = ledger([f"0190d5f6-aaaa-7bbb-8ccc-00000000000{n}" for n in "bca"], [2, 0, 0])
    assert judged(legacy, other, rules).verdict is Verdict.mismatch

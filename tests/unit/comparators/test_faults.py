"""Every fault of real migrations that two ledgers can show is found, and nothing else is reported with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from comparators import JSON, EffectPattern, Ledger, OrderRule, Rules, Severity, Verdict
from tests.unit.comparators.ledgers import (
    CANDIDATE_START,
    DAY,
    candidate_payout,
    effect,
    judged,
    kinds,
    lacking,
    order_ledger,
    payout_ledger,
    review_ledger,
    with_data,
    with_effects,
    with_outcome,
    without,
)

CRITICAL, MAJOR, MINOR = Severity.critical, Severity.major, Severity.minor


def order() -> Ledger:
    return order_ledger(start=CANDIDATE_START)


def doubled(ledger: Ledger, index: int) -> Ledger:
    return replace(ledger, effects=(*ledger.effects, ledger.effects[index]))


def body(**members: JSON) -> JSON:
    return {"amount": 12_550, "currency": "EUR", "destination": "acct_9", "ref": "req-77", **members}


PAYOUT_FAULTS: list[tuple[str, Callable[[], Ledger], list[tuple[str, Severity]]]] = [
    # a step forgotten
    ("missing effect", lambda: without(candidate_payout(), 3), [("effect.missing", CRITICAL)]),
    # a step too many
    (
        "extra effect",
        lambda: with_effects(
            candidate_payout(),
            *candidate_payout().effects,
            effect("http", "slack", "POST /chat.postMessage", {"channel": "#payouts"}),
        ),
        [("effect.extra", CRITICAL)],
    ),
    # a step that is not idempotent was retried
    ("effect done twice", lambda: doubled(candidate_payout(), 3), [("effect.duplicate", CRITICAL)]),
    # the same without a reported identity: content tells
    ("row written twice", lambda: doubled(candidate_payout(), 2), [("effect.duplicate", CRITICAL)]),
    # the re-entry wrote a row of its own, with a new id
    (
        "row written twice with a new id",
        lambda: with_effects(
            candidate_payout(),
            *candidate_payout().effects,
            with_data(candidate_payout(), 2, id="0190d5f6-aaaa-7bbb-8ccc-ffffffffffff").effects[2],
        ),
        [("effect.duplicate", CRITICAL)],
    ),
    (
        "wrong recipient",
        lambda: with_data(candidate_payout(), 3, to="bob@x.test"),
        [("effect.changed", CRITICAL)],
    ),
    # rounding
    ("wrong amount", lambda: with_data(candidate_payout(), 2, amount=125.49), [("effect.changed", CRITICAL)]),
    # cents against units
    (
        "cents against units",
        lambda: with_data(candidate_payout(), 0, body=body(amount=125.5)),
        [("effect.changed", CRITICAL)],
    ),
    (
        "wrong currency",
        lambda: with_data(candidate_payout(), 0, body=body(currency="USD")),
        [("effect.changed", CRITICAL)],
    ),
    (
        "wrong account",
        lambda: with_data(candidate_payout(), 0, body=body(destination="acct_8")),
        [("effect.changed", CRITICAL)],
    ),
    ("wrong tenant", lambda: with_data(candidate_payout(), 1, tenantId="t2"), [("effect.changed", CRITICAL)]),
    # reports success where legacy's message would name a failure: the row says failed
    ("wrong state", lambda: with_data(candidate_payout(), 1, status="failed"), [("effect.changed", MAJOR)]),
    # an id of the run used where another belongs: the mapping breaks
    (
        "another transfer's id",
        lambda: with_data(candidate_payout(), 2, transfer_id="tr_7777d2c3e4f5aaaa"),
        [("effect.changed", MAJOR)],
    ),
    # raised error where legacy succeeded, after all effects
    (
        "raised error",
        lambda: with_outcome(candidate_payout(), status="failed", error_message="boom"),
        [("outcome.status", CRITICAL)],
    ),
    # an amount as text in what is returned
    (
        "dropped output member",
        lambda: with_outcome(candidate_payout(), output={"transferId": "tr_00b1d2c3e4f5a697"}),
        [("output.field_dropped", MAJOR)],
    ),
    (
        "added output member",
        lambda: with_outcome(
            candidate_payout(), output={"success": True, "transferId": "tr_00b1d2c3e4f5a697", "debug": 1}
        ),
        [("output.field_added", MINOR)],
    ),
    # returned another transfer than the one that was recorded
    (
        "stale output id",
        lambda: with_outcome(candidate_payout(), output={"success": True, "transferId": None}),
        [("output.type_changed", MAJOR)],
    ),
]


@pytest.mark.parametrize(("fault", "expected"), [row[1:] for row in PAYOUT_FAULTS], ids=[r[0] for r in PAYOUT_FAULTS])
def test_a_faulty_payout_is_a_mismatch_with_exactly_the_fault(
    fault: Callable[[], Ledger], expected: list[tuple[str, Severity]]
) -> None:
    judgement = judged(payout_ledger(), fault())
    assert judgement.verdict is Verdict.mismatch
    assert [(d.kind, d.severity) for d in judgement.differences] == expected


ORDER_FAULTS: list[tuple[str, Callable[[], Ledger], list[str]]] = [
    # type drift
    ("text for a number", lambda: with_data(order(), 2, weight="0.3"), ["effect.type_changed"]),
    ("number for a text", lambda: with_data(order(), 1, order_id=1001), ["effect.type_changed"]),
    ("true for one", lambda: with_data(order(), 3, weight=True), ["effect.type_changed"]),
    ("null for a value", lambda: with_data(order(), 1, note=None), ["effect.type_changed"]),
    # null against absent
    ("dropped field", lambda: lacking(order(), 1, "note"), ["effect.field_dropped"]),
    ("null for absent", lambda: with_data(order(), 1, cancelled_at=None), ["effect.field_added"]),
    ("empty array for empty object", lambda: with_data(order(), 1, tags={}), ["effect.type_changed"]),
    # payload encoding
    ("HTML escape", lambda: with_data(order(), 1, note="Grüße &amp; &lt;3"), ["effect.changed"]),
    ("mangled unicode", lambda: with_data(order(), 1, note="GrÃ¼ÃŸe & <3"), ["effect.changed"]),
    # a member that a diff with defaults would pass over
    ("private-looking member", lambda: with_data(order(), 1, __state="x"), ["effect.field_added"]),
    # event name or schema drift
    (
        "event name drift",
        lambda: with_effects(
            order(),
            *order().effects[:4],
            replace(order().effects[4], operation="review/email-scheduled"),
        ),
        ["effect.missing", "effect.extra"],
    ),
    ("event schema drift", lambda: lacking(order(), 4, "sequence"), ["effect.field_dropped"]),
    # wrong delay on an event scheduled from data, by a minute and by a time zone
    (
        "schedule a minute late",
        lambda: with_data(order(), 4, deliverAt="2026-03-06T09:01:00.000Z"),
        ["effect.changed"],
    ),
    (
        "schedule in local time",
        lambda: with_data(order(), 4, deliverAt="2026-03-06T10:00:00.000Z"),
        ["effect.changed"],
    ),
    # scheduled from the run's clock instead of the delivery
    (
        "schedule from now",
        lambda: with_data(order(), 4, deliverAt="2026-03-07T10:04:31.000Z"),
        ["effect.changed"],
    ),
    # yesterday in local time: a bare date has to be equal
    ("attribution lost", lambda: without(order(), 2), ["effect.missing"]),
    # one line item of three forgotten, whichever
    (
        "first item dropped",
        lambda: with_data(order(), 1, lines=[{"sku": "B-2", "quantity": 2}, {"sku": "C-3", "quantity": 3}]),
        ["effect.field_dropped"],
    ),
    # different skip condition
    (
        "skipped",
        lambda: with_effects(
            with_outcome(order(), output={"skipped": True, "reason": "already_synced"}), order().effects[0]
        ),
        ["effect.missing"] * 4 + ["output.field_dropped"] * 2 + ["output.field_added"] * 2,
    ),
]


@pytest.mark.parametrize(("fault", "expected"), [row[1:] for row in ORDER_FAULTS], ids=[r[0] for r in ORDER_FAULTS])
def test_a_faulty_order_sync_is_a_mismatch_with_exactly_the_fault(
    fault: Callable[[], Ledger], expected: list[str]
) -> None:
    judgement = judged(order_ledger(), fault())
    assert judgement.verdict is Verdict.mismatch
    assert sorted(kinds(judgement)) == sorted(expected)


@pytest.mark.parametrize(
    "delay",
    [
        # a day short
        6 * DAY,
        # an hour off, as around a change of daylight saving time
        7 * DAY + 3600,
        # 24 hours against a minute less
        7 * DAY - 60,
        # sent at once
        0.0,
    ],
)
def test_a_wrong_delay_relative_to_the_run_is_found(delay: float) -> None:
    judgement = judged(review_ledger(), review_ledger(start=CANDIDATE_START, delay=delay))
    assert kinds(judgement) == ["effect.changed"]


def test_a_time_zone_shift_of_a_bare_date_is_found() -> None:
    def day(date: str) -> Ledger:
        return with_effects(order(), effect("sql", "database", "upsert snapshots", {"date": date, "orders": 4}))

    assert kinds(judged(day("2026-03-01"), day("2026-02-28"))) == ["effect.changed"]


def test_a_truncated_page_is_as_many_missing_effects_as_were_cut() -> None:
    def page(count: int) -> Ledger:
        return with_effects(
            order(),
            *(effect("state", "database", "webhook processed", {"webhook": n}, str(n)) for n in range(count)),
        )

    assert kinds(judged(page(250), page(100))) == ["effect.missing"] * 150


def test_effects_of_one_kind_without_identity_are_paired_so_that_only_the_faulty_one_differs() -> None:
    def credits(*amounts: int) -> Ledger:
        return with_effects(
            order(),
            *(
                effect("sql", "database", "credit creator", {"creator": f"c{n}", "amount": amount})
                for n, amount in enumerate(amounts)
            ),
        )

    judgement = judged(credits(10, 20, 30), credits(10, 25, 30))
    assert [(d.kind, d.legacy, d.candidate) for d in judgement.differences] == [("effect.changed", 20, 25)]


def test_a_wrong_order_is_found_where_an_order_is_declared() -> None:
    rules = Rules(
        before=(
            OrderRule(EffectPattern("http", "payouts", "*"), EffectPattern("sql", "database", "insert transactions")),
        )
    )
    candidate = candidate_payout()
    transfer, update, insert, mail = candidate.effects
    early = with_effects(candidate, insert, transfer, update, mail)
    judgement = judged(payout_ledger(), early, rules)
    assert [(d.kind, d.severity) for d in judgement.differences] == [("effect.reordered", CRITICAL)]
    assert judged(payout_ledger(), early).verdict is Verdict.match
    # The very same effects in another order are no shortcut to a match either.
    same = payout_ledger()
    assert kinds(judged(same, with_effects(same, *reversed(same.effects)), rules)) == ["effect.reordered"]


def test_a_swallowed_error_is_found() -> None:
    failed = with_outcome(payout_ledger(), status="failed", output=None, error_message="insufficient funds")
    assert kinds(judged(failed, candidate_payout())) == ["outcome.status"]


def test_failing_for_another_reason_is_found() -> None:
    legacy = with_outcome(payout_ledger(), status="failed", error_message="insufficient funds")
    candidate = with_outcome(candidate_payout(), status="failed", error_message="'transferId'")
    assert kinds(judged(legacy, candidate)) == ["outcome.error"]


def test_giving_up_earlier_is_found_when_attempts_are_compared() -> None:
    legacy = with_outcome(payout_ledger(), status="failed", error_message="timeout", attempts=3)
    candidate = with_outcome(candidate_payout(), status="failed", error_message="timeout", attempts=1)
    assert kinds(judged(legacy, candidate, Rules(attempts=True))) == ["attempts"]
    assert judged(legacy, candidate).verdict is Verdict.match


def test_a_retry_that_repeats_an_effect_without_the_providers_key_is_a_duplicate() -> None:
    mail = effect("email", "mail", "send", {"to": "ada@x.test"}, "1001")
    again = replace(mail, attempt=2)
    assert kinds(judged(with_effects(order(), mail), with_effects(order(), mail, again))) == ["effect.duplicate"]


def test_a_key_that_is_used_again_for_another_amount_collapses_nothing() -> None:
    paid = replace(effect("http", "payouts", "POST /transfers", {"amount": 5}, "77"), idempotency_key="k1")
    again = replace(paid, data={"amount": 6}, attempt=2)
    assert kinds(judged(with_effects(order(), paid), with_effects(order(), paid, again))) == ["effect.duplicate"]


def test_a_key_used_twice_within_one_attempt_is_a_duplicate() -> None:
    paid = replace(effect("http", "payouts", "POST /transfers", {"amount": 5}, "77"), idempotency_key="k1")
    assert kinds(judged(with_effects(order(), paid), with_effects(order(), paid, paid))) == ["effect.duplicate"]


def test_a_providers_key_that_only_one_side_sends_is_found() -> None:
    paid = effect("http", "payouts", "POST /transfers", {"amount": 5}, "77")
    keyed, other = replace(paid, idempotency_key="k1"), replace(paid, idempotency_key="k2")
    (dropped,) = judged(with_effects(order(), keyed), with_effects(order(), paid)).differences
    assert (dropped.kind, dropped.severity) == ("effect.key_dropped", Severity.major)
    assert dropped.sentence.endswith("without an idempotency key; legacy had one")
    (added,) = judged(with_effects(order(), paid), with_effects(order(), keyed)).differences
    assert (added.kind, added.severity) == ("effect.key_added", Severity.minor)
    # which key it is does not matter, nor which of two calls alike has it
    assert judged(with_effects(order(), keyed), with_effects(order(), other)).verdict is Verdict.match
    assert judged(with_effects(order(), keyed, paid), with_effects(order(), paid, other)).verdict is Verdict.match


def test_the_repetition_of_a_call_with_a_key_is_not_taken_for_one_without() -> None:
    plain = effect("http", "payouts", "POST /transfers", {"amount": 5})
    keyed = replace(plain, idempotency_key="k1")
    again = replace(plain, attempt=2)
    legacy, candidate = with_effects(order(), keyed, again), with_effects(order(), keyed, keyed, again)
    assert kinds(judged(legacy, candidate)) == ["effect.duplicate"]


def test_now_in_place_of_a_moment_the_event_knew_is_found() -> None:
    created = "2026-03-02T09:59:59.500Z"
    legacy = with_effects(order_ledger(), effect("state", "database", "order", {"seen": created}))
    candidate = with_effects(order(), effect("state", "database", "order", {"seen": "2026-03-02T10:04:30.000Z"}))
    assert kinds(judged(legacy, candidate, known={"createdAt": created})) == ["effect.changed"]


def test_an_entity_of_the_event_is_never_unified_however_consistently_it_is_wrong() -> None:
    order_id, other = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"

    def ledger(identifier: str) -> Ledger:
        return with_effects(order(), effect("sql", "database", "insert orders", {"orderId": identifier}))

    assert kinds(judged(ledger(order_id), ledger(other), known={"orderId": order_id})) == ["effect.changed"]

    # Nor in the operation.
    def called(identifier: str) -> Ledger:
        return with_effects(order(), effect("http", "shopify", f"PUT /orders/{identifier}", {"paid": True}))

    found = judged(called(order_id), called(other), known={"orderId": order_id})
    assert found.verdict is Verdict.mismatch


@pytest.mark.parametrize("name", ["to", "tenantId", "account_id", "destination", "recipient"])
def test_a_generated_looking_recipient_tenant_or_account_is_never_unified(name: str) -> None:
    def ledger(identifier: str) -> Ledger:
        return with_effects(order(), effect("http", "crm", "POST /notify", {name: identifier}))

    found = judged(ledger("0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"), ledger("0190d5f6-aaaa-7bbb-8ccc-1234567890ab"))
    assert [(d.kind, d.severity) for d in found.differences] == [("effect.changed", CRITICAL)]


def test_two_ids_that_became_one_are_found() -> None:
    def ledger(*identifiers: str) -> Ledger:
        return with_effects(
            order(),
            *(effect("sql", "database", "insert rows", {"id": i, "n": n}) for n, i in enumerate(identifiers)),
        )

    legacy = ledger("0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f2-7c1a-7d3e-9b5f-222222222222")
    candidate = ledger("0190d5f6-aaaa-7bbb-8ccc-1234567890ab", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab")
    assert kinds(judged(legacy, candidate)) == ["effect.changed"]

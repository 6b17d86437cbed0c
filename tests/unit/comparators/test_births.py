"""Promise 6: only ids that were born in the runs may differ, and those never alarm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from comparators import JSON, Effect, Ledger, Rules, Verdict, judge
from comparators.births import id_tokens, ids_only
from tests.unit.comparators.ledgers import CANDIDATE_START, LEGACY_START, completed, iso, judged, kinds

A, B = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"
A2, B2 = "0190d5f2-7c1a-7d3e-9b5f-222222222222", "0190d5f6-aaaa-7bbb-8ccc-333333333333"
TR_A, TR_B = "tr_4f9a81c2d3e4b5a6", "tr_00b1d2c3e4f5a697"


def http(operation: str, body: JSON = None, answer: JSON = None, *, reads: bool = False) -> Effect:
    data: JSON = {"body": body, "status": 200}
    return Effect("http", "crm", operation, None, data, reads=reads, answer=answer)


def insert(table: str, **columns: JSON) -> Effect:
    return Effect("sql", "db", f"insert {table}", None, columns)


def run(*effects: Effect, output: JSON = None) -> Ledger:
    return Ledger(completed(output), effects)


NEWBORN: list[tuple[str, Callable[[str], Ledger], tuple[str, str]]] = [
    (
        "the answer to a write, used ever after",
        lambda i: run(
            http("POST /transfers", {"ref": "r"}, {"id": i}),
            insert("payouts", transfer_id=i, ref="r"),
            http(f"POST /transfers/{i}/confirm", {"ok": True}, {}),
            output={"transferId": i},
        ),
        (TR_A, TR_B),
    ),
    (
        "the answer to a write, as an entity is named",
        lambda i: run(http("POST /customers", {"n": 1}, {"id": i}), http("POST /notes", {"customerId": i}, {})),
        (A, B),
    ),
    (
        "a header of the answer to a write",
        lambda i: run(
            http("POST /send", {"to": "x"}, {"body": None, "headers": {"x-message-id": i}}),
            insert("mails", key="1", message_id=i),
        ),
        (TR_A, TR_B),
    ),
    # a target makes it for the call, whatever is asked
    (
        "the call's own id in a header of the answer to a read",
        lambda i: run(
            http("GET /jobs", None, {"body": {}, "headers": {"x-request-id": i}}, reads=True),
            http("POST /notes", {"seen": i}, {}),
        ),
        (A, B),
    ),
    # nobody saw the answer, but there was something that may have had it
    (
        "the answer to a write that was not seen",
        lambda i: run(http("POST /customers", {"n": 1}), http("POST /notes", {"customer": i})),
        ("cus_4f9a81c2d3e4b5a6", "cus_00b1d2c3e4f5a697"),
    ),
    ("the key of a row", lambda i: run(insert("jobs", id=i, state="new"), insert("logs", job_id=i)), (A, B)),
    ("a key named after its table", lambda i: run(insert("orders", order_id=i, state="new")), (A, B)),
    # written, then read back: what the read is answered with is no news
    (
        "a row that is read again",
        lambda i: run(
            http("POST /jobs", {"n": 1}, {"id": i}),
            http("GET /jobs", None, {"jobs": [{"id": i}]}, reads=True),
            http("POST /notes", {"job": i}, {}),
        ),
        (A, B),
    ),
    ("an id that the worker makes", lambda i: run(http("POST /events", {"event_id": i, "name": "x"}, {})), (A, B)),
    ("a run id", lambda i: run(insert("logs", run=i, text="done")), ("run_cm2x9k4p10001abc9def", B)),
    # a database counts on
    (
        "a number as key of a row",
        lambda i: run(insert("jobs", id=int(i), n=1), insert("logs", job_id=int(i)), output={"jobId": int(i)}),
        ("1041", "1377"),
    ),
    (
        "a number as text",
        lambda i: run(http("POST /jobs", {"n": 1}, {"id": i}), http("POST /notes", {"job_id": i}, {})),
        ("1041", "1377"),
    ),
    # the same number is the key of a row in each of two tables, and need not be so on the other side
    (
        "a number twice",
        lambda i: run(insert("jobs", id=12, n=1), insert("logs", id=12 if i == "a" else 19, n=1)),
        ("a", "b"),
    ),
]


@pytest.mark.parametrize(("ledger", "ids"), [row[1:] for row in NEWBORN], ids=[row[0] for row in NEWBORN])
def test_a_newborn_never_alarms(ledger: Callable[[str], Ledger], ids: tuple[str, str]) -> None:
    legacy, candidate = (ledger(identifier) for identifier in ids)
    for one, other in ((legacy, candidate), (candidate, legacy)):
        assert [difference.sentence for difference in judged(one, other).differences] == []


NOT_NEWBORN: list[tuple[str, Callable[[str], Ledger], tuple[str, str], JSON]] = [
    ("known to the event", lambda i: run(insert("logs", ref=i), output={"ref": i}), (A, B), {"nested": [{"id": A}]}),
    ("known to the event, in a text", lambda i: run(insert("logs", ref=i)), (A, B), {"url": f"https://x.test/{B}?a"}),
    (
        "read before it was used",
        lambda i: run(
            http("GET /customers", None, {"customers": [{"id": A}, {"id": B}]}, reads=True),
            http("POST /notes", {"about": i}, {}),
            insert("logs", subject=i),
        ),
        (A, B),
        None,
    ),
    # however the answer to the write repeats it
    (
        "an echo",
        lambda i: run(http("POST /mails", {"templateId": i}, {"id": A2, "template": i}), output={"used": {"user": i}}),
        (A, B),
        None,
    ),
    ("named as an entity", lambda i: run(insert("logs", customer_id=i), output={"customerId": i}), (A, B), None),
    ("an entity with an id in it", lambda i: run(http("POST /x", {"customer": {"id": i}}, {})), (A, B), None),
    (
        "an entity that a link leads to, too",
        lambda i: run(insert("logs", customer_id=i), http("POST /m", {"text": f"see https://x.test/c/{i}"}, {})),
        (A, B),
        None,
    ),
    # no worker makes a provider's ids, and no write was answered with it
    (
        "a provider's id",
        lambda i: run(http("POST /subscribe", {"plan": i}, {"id": A2})),
        ("pl_a1b2c3d4e5f6", "pl_b1b2c3d4e5f6"),
        None,
    ),
    ("a row that was there", lambda i: run(Effect("sql", "db", "update jobs", None, {"id": i, "n": 1})), (A, B), None),
    ("what a URL names", lambda i: run(http(f"PATCH /jobs/{i}", {"n": 1}, {})), (A, B), None),
    ("a number that names an entity", lambda i: run(insert("logs", customer_id=int(i))), ("12", "15"), None),
    ("a number that the event knew", lambda i: run(insert("orders", id=int(i), n=1)), ("12", "15"), {"orderId": "12"}),
    ("a number that is no key", lambda i: run(insert("orders", id=7, quantity=int(i))), ("12", "15"), None),
    # though a row of its own has the very number
    (
        "a number of another table",
        lambda i: run(insert("jobs", id=int(i), n=1), insert("logs", customer_id=int(i))),
        ("12", "15"),
        None,
    ),
]


@pytest.mark.parametrize(
    ("ledger", "ids", "known"), [row[1:] for row in NOT_NEWBORN], ids=[row[0] for row in NOT_NEWBORN]
)
def test_what_is_no_newborn_is_found_however_consistently_it_is_wrong(
    ledger: Callable[[str], Ledger], ids: tuple[str, str], known: JSON
) -> None:
    legacy, candidate = (ledger(identifier) for identifier in ids)
    for one, other in ((legacy, candidate), (candidate, legacy)):
        assert judged(one, other, known=known).verdict is Verdict.mismatch


def test_what_the_other_run_read_is_no_newborn_because_this_one_did_not() -> None:
    legacy = run(http("GET /plans", None, {"id": A}, reads=True), http("POST /x", {"about": A}, {}))
    candidate = run(http("GET /plans", None, {"id": A}, reads=True), http("POST /x", {"about": B}, {}))
    unread = run(http("GET /plans", reads=True), http("POST /x", {"about": A2}, {}))
    read_of_both = replace(legacy, effects=(replace(legacy.effects[0], answer=[A, A2]), legacy.effects[1]))
    assert judged(legacy, candidate).verdict is Verdict.mismatch
    assert judged(read_of_both, unread).verdict is Verdict.mismatch


def test_the_wrong_use_is_the_difference_and_not_the_birth() -> None:
    def ledger(first: str, second: str, used: str, output: str) -> Ledger:
        return run(
            insert("jobs", id=first, name="a"),
            insert("jobs", id=second, name="b"),
            http("POST /apply", {"job": used}, {}),
            output={"job": output},
        )

    found = judged(ledger(A, A2, A, A), ledger(B, B2, B2, B)).differences
    assert [(d.path.endswith("['job']"), d.legacy, d.candidate) for d in found] == [(True, A, B2)]


def test_two_newborns_that_changed_places_are_found() -> None:
    def ledger(anna: str, bert: str) -> Ledger:
        rows = [insert("jobs", id=A, name="anna"), insert("jobs", id=A2, name="bert")]
        return run(
            *rows, http("POST /say", {"who": "anna", "job": anna}), http("POST /say", {"who": "bert", "job": bert})
        )

    assert judged(ledger(A, A2), ledger(A2, A)).verdict is Verdict.mismatch


def test_a_number_of_the_event_is_not_part_of_an_id() -> None:
    legacy = run(http("POST /events", {"event_id": A[:-1] + "3", "name": "x"}, {}))
    candidate = run(http("POST /events", {"event_id": B[:-1] + "2", "name": "x"}, {}))
    assert judged(legacy, candidate, known={"sequence": 2, "of": "3"}).verdict is Verdict.match


def steps(*ids: str, said: str = "done") -> Ledger:
    return run(
        *(insert("steps", id=i) for i in ids),
        insert("logs", id="log-1", of={i: f"{said} {n}" for n, i in enumerate(ids)}),
    )


def test_an_id_born_in_the_run_may_be_the_name_of_a_member() -> None:
    assert judged(steps(A, A2), steps(B, B2)).verdict is Verdict.match


def test_as_the_name_of_a_member_an_id_is_used_as_consistently_as_anywhere() -> None:
    legacy, candidate = steps(A, A2), steps(B, B2)
    last = candidate.effects[-1]
    swapped = replace(last, data={"id": "log-1", "of": {B2: "done 0", B: "done 1"}})
    judgement = judged(legacy, replace(candidate, effects=(*candidate.effects[:-1], swapped)))
    assert judgement.verdict is Verdict.mismatch
    known = judged(run(insert("logs", of={A: 1})), run(insert("logs", of={B: 1})), known={"order": A})
    assert known.verdict is Verdict.mismatch


def test_what_was_born_in_the_parents_is_the_same_thing_and_nothing_else_is() -> None:
    def child(transfer: str) -> Ledger:
        return run(Effect("email", "mail", "send", "1", {"to": "a@x.test", "transferId": transfer}))

    born = {TR_A: TR_B}
    assert judge(child(TR_A), child(TR_B), Rules(), inherited=born).verdict is Verdict.match
    # No write of the child's was answered with it: without a parent it comes from nowhere.
    assert judge(child(TR_A), child(TR_B), Rules()).verdict is Verdict.mismatch
    assert judge(child(TR_A), child("tr_7777d2c3e4f5aaaa"), Rules(), inherited=born).verdict is Verdict.mismatch


def test_of_an_answer_the_ids_are_kept_in_their_places_and_nothing_else() -> None:
    answer: JSON = {
        "id": 7,
        "name": "Ada",
        "total": 12,
        "at": "2026-03-02T10:00:00Z",
        "rows": [{"id": A, "note": f"see {A2}, please"}, {"n": 1}, {"customer": {"key": "12"}}],
        "none": [{"n": 1}, []],
        A2: {"n": 1},
    }
    kept = ids_only(answer)
    assert kept == {"id": 7, "rows": [{"id": A, "note": A2}, {}, {"customer": {"key": "12"}}], A2: {}}
    assert {token.text for _, token in id_tokens(kept)} == {token.text for _, token in id_tokens(answer)}


@pytest.mark.parametrize("last", [0, 1])
def test_of_names_that_hold_the_same_what_else_mentions_them_tells_which_is_which(last: int) -> None:
    def logged(ids: tuple[str, str]) -> Ledger:
        return run(insert("logs", a_steps=dict.fromkeys(ids, "done"), b_last=ids[last]))

    assert judged(logged((A, A2)), logged((B, B2))).verdict is Verdict.match
    assert judged(logged((A, A2)), logged((B2, B))).verdict is Verdict.match
    other = run(insert("logs", a_steps={B: "done", B2: "done"}, b_last=A2))
    assert judged(logged((A, A2)), other).verdict is Verdict.mismatch


FRESH, NOW_A, NOW_B = LEGACY_START - 0.5, LEGACY_START + 1, CANDIDATE_START + 1


def read_first(said: float, *, read: float = FRESH, start: float = LEGACY_START) -> Ledger:
    got = http("GET /orders/1", None, {"body": {}, "moments": [read]}, reads=True)
    return replace(run(got, insert("orders", created_at=iso(said))), outcome=completed(start=start))


def test_a_moment_that_was_read_is_not_the_clocks_however_fresh_it_is() -> None:
    legacy = read_first(FRESH)
    assert judged(legacy, read_first(FRESH, start=CANDIDATE_START)).verdict is Verdict.match
    assert judged(legacy, read_first(NOW_B, start=CANDIDATE_START)).verdict is Verdict.mismatch
    assert judged(read_first(NOW_A), read_first(NOW_B, start=CANDIDATE_START)).verdict is Verdict.match


def test_a_moment_that_is_read_back_is_still_the_clocks() -> None:
    def back(said: float, start: float) -> Ledger:
        wrote = http("POST /orders", {"updated_at": iso(said)}, {})
        got = http("GET /orders/1", None, {"body": {}, "moments": [said]}, reads=True)
        return replace(run(wrote, got, insert("orders", at=iso(said))), outcome=completed(start=start))

    assert judged(back(NOW_A, LEGACY_START), back(NOW_B, CANDIDATE_START)).verdict is Verdict.match


def test_numbers_of_rows_that_were_told_apart_are_no_others_by_another_name() -> None:
    def booked(fee: int, payout: int, *told: int) -> Ledger:
        lines = (insert("ledger_lines", id=fee, kind="fee"), insert("ledger_lines", id=payout, kind="payout"))
        return run(*lines, output={"ledgerIds": [*told]})

    legacy = booked(101, 102, 101, 102)
    assert judged(legacy, booked(201, 202, 201, 202)).verdict is Verdict.match
    assert kinds(judged(legacy, booked(201, 202, 202, 201))) == ["output.changed", "output.changed"]

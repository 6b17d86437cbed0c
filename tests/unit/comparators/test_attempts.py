"""What a retry did again counts once where the world saw it once, and is shown where it saw it twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparators import JSON, Effect, Judgement, Ledger, Verdict
from tests.unit.comparators.ledgers import completed
from tests.unit.comparators.ledgers import judged as judge_ledgers

SEND = Effect("http", "mail", "POST /send", "order-1", {"body": {"to": "ada@x.test"}, "status": 202})
ORDER = Effect("http", "shop", "GET /orders/{id}", "1", {"path": "/orders/1", "status": 200}, reads=True)


def judged(legacy: list[Effect], candidate: list[Effect]) -> Judgement:
    return judge_ledgers(Ledger(completed(), tuple(legacy)), Ledger(completed(), tuple(candidate)))


def answered(effect: Effect, status: int, attempt: int = 1) -> Effect:
    assert isinstance(effect.data, dict)
    return replace(effect, data={**effect.data, "status": status}, attempt=attempt)


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize("attempt", [1, 2], ids=["within the attempt", "by the next attempt"])
@pytest.mark.parametrize("identified", [True, False])
def test_a_call_that_was_turned_away_and_made_again_is_one_call(status: int, attempt: int, identified: bool) -> None:
    send = SEND if identified else replace(SEND, identity=None)
    tried = [answered(send, status), answered(send, 202, attempt)]
    assert judged(tried, [send]).verdict is Verdict.match
    assert judged([send], tried).verdict is Verdict.match


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("attempt", [1, 2], ids=["within the attempt", "by the next attempt"])
def test_a_write_of_which_nobody_knows_whether_it_was_done_and_that_is_made_again_may_have_happened_twice(
    status: int, attempt: int
) -> None:
    tried = [answered(SEND, status), answered(SEND, 202, attempt)]
    assert judged([SEND], tried).verdict is Verdict.mismatch
    assert judged(tried, tried).verdict is Verdict.match


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("attempt", [1, 2], ids=["within the attempt", "by the next attempt"])
def test_by_its_idempotency_key_a_provider_knows_that_it_has_done_it(status: int, attempt: int) -> None:
    send = replace(SEND, idempotency_key="k-1")
    assert judged([send], [answered(send, status), answered(send, 202, attempt)]).verdict is Verdict.match


def test_under_another_idempotency_key_it_is_done_again() -> None:
    first, second = (replace(SEND, idempotency_key=key) for key in ("k-1", "k-2"))
    assert judged([first], [answered(first, 504), answered(second, 202, 2)]).verdict is Verdict.mismatch


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("attempt", [1, 2], ids=["within the attempt", "by the next attempt"])
def test_a_read_that_failed_and_was_made_again_changed_nothing(status: int, attempt: int) -> None:
    assert judged([ORDER], [answered(ORDER, status), answered(ORDER, 200, attempt)]).verdict is Verdict.match


def test_a_call_with_other_content_does_not_make_up_for_one_that_was_turned_away() -> None:
    ten, twenty = (replace(SEND, data={"body": {"amount": amount}, "status": 200}) for amount in (10, 20))
    assert judged([twenty], [answered(ten, 503), twenty]).verdict is Verdict.mismatch


def test_of_calls_that_were_turned_away_to_the_end_one_is_left() -> None:
    tried = [answered(SEND, 503, attempt) for attempt in (1, 2, 3)]
    assert judged(tried, tried[:1]).verdict is Verdict.match
    assert judged(tried, []).verdict is Verdict.mismatch
    assert judged(tried, [SEND]).verdict is Verdict.mismatch


@pytest.mark.parametrize("status", [200, 201, 400, 402, 403, 404, 409, 422])
def test_a_call_that_was_answered_and_made_again_is_two(status: int) -> None:
    twice = [answered(SEND, status), answered(SEND, status, 2)]
    assert judged([answered(SEND, status)], twice).verdict is Verdict.mismatch


def test_a_call_that_got_no_answer_may_have_been_taken() -> None:
    lost = replace(SEND, data={"body": {"to": "ada@x.test"}})
    assert judged([SEND], [lost, replace(SEND, attempt=2)]).verdict is Verdict.mismatch


def test_what_was_done_before_it_was_turned_away_the_second_time_stands() -> None:
    assert judged([SEND], [SEND, answered(SEND, 503, 2)]).verdict is Verdict.mismatch


def test_another_call_does_not_make_up_for_one_that_was_turned_away() -> None:
    other = replace(SEND, identity="order-2")
    assert judged([SEND, other], [answered(SEND, 503), other]).verdict is Verdict.mismatch


def test_what_a_retry_reads_again_changed_nothing() -> None:
    again = [ORDER, replace(ORDER, attempt=2), SEND]
    assert judged(again, [ORDER, SEND]).verdict is Verdict.match
    assert judged([ORDER, SEND], again).verdict is Verdict.match


def test_reads_within_one_attempt_are_as_many_as_they_are() -> None:
    assert judged([ORDER, ORDER], [ORDER]).verdict is Verdict.mismatch
    assert judged([ORDER, ORDER, *[replace(ORDER, attempt=2)] * 2], [ORDER, ORDER]).verdict is Verdict.match


def test_what_the_last_attempt_read_is_what_counts() -> None:
    later = answered(ORDER, 404, 2)
    assert judged([ORDER, later], [answered(ORDER, 404)]).verdict is Verdict.match
    assert judged([ORDER, later], [ORDER]).verdict is Verdict.mismatch


def test_a_write_that_a_retry_does_again_happened_twice() -> None:
    assert judged([SEND, replace(SEND, attempt=2)], [SEND]).verdict is Verdict.mismatch


ROW = Effect("sql", "db", "upsert orders", "1", {"id": "1", "total_cents": 5, "updated_at": "2026-03-02T10:00:01.000Z"})


def row(effect: Effect = ROW, attempt: int = 1, **columns: JSON) -> Effect:
    assert isinstance(effect.data, dict)
    return replace(effect, data={**effect.data, **columns}, attempt=attempt)


def test_a_row_that_a_later_attempt_writes_again_as_it_was_is_written_once() -> None:
    again = [row(), row(attempt=2, updated_at="2026-03-02T10:00:02.500Z")]
    assert judged(again, [row()]).verdict is Verdict.match
    assert judged([row()], again).verdict is Verdict.match


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(row(attempt=2, total_cents=6), id="with another content"),
        pytest.param(row(), id="within one attempt"),
        pytest.param(row(replace(ROW, identity=None), 2), id="of which nobody knows which it is"),
    ],
)
def test_any_other_row_is_one_more(again: Effect) -> None:
    first = row() if again.identity else row(replace(ROW, identity=None))
    assert judged([first], [first, again]).verdict is Verdict.mismatch


def test_a_row_with_an_id_of_its_own_that_a_retry_inserts_again_is_there_twice() -> None:
    line = Effect("sql", "db", "insert lines", "request-1", {"id": "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"})
    again = row(line, 2, id="0190d5f6-aaaa-7bbb-8ccc-1234567890ab")
    assert judged([line], [line, again]).verdict is Verdict.mismatch
    whole = replace(line, operation="upsert lines")
    assert judged([whole], [whole, replace(again, operation="upsert lines")]).verdict is Verdict.mismatch


def test_a_call_that_says_when_it_is_made_is_the_same_call_when_it_is_made_again() -> None:
    def told(at: int, status: int) -> Effect:
        return replace(SEND, data={"body": {"event_time": at}, "status": status})

    assert judged([told(1_772_445_601, 200)], [told(1_772_445_602, 503), told(1_772_445_603, 200)]).verdict == "match"


def refused(effect: Effect, attempt: int = 1) -> Effect:
    return replace(answered(effect, 403, attempt), refused=True)


@pytest.mark.parametrize("identified", [True, False])
def test_a_call_that_was_refused_and_that_a_later_attempt_made_again_is_one_call(identified: bool) -> None:
    send = SEND if identified else replace(SEND, identity=None)
    for tried in (
        [refused(send), answered(send, 202, 2)],
        [refused(send), refused(send, 2), answered(send, 202, 3)],
        [answered(send, 202, 2), refused(send)],  # it was written down later
        [refused(send, 32_766), answered(send, 202, 32_767)],
    ):
        assert judged(tried, [send]).verdict is Verdict.match
        assert judged([send], tried).verdict is Verdict.match


@pytest.mark.parametrize(
    "again",
    [
        [],
        [refused(SEND, 2)],
        [answered(SEND, 202)],
        [answered(replace(SEND, data={"body": {"to": "eve@x.test"}}), 202, 2)],
        [answered(replace(SEND, identity="order-2"), 202, 2)],
        [answered(replace(SEND, target="shop"), 202, 2)],
        [answered(SEND, 202, 2), answered(SEND, 202, 2)],
    ],
    ids=["never", "refused again", "in the same attempt", "other content", "other identity", "other target", "twice"],
)
def test_anything_else_that_follows_a_refused_call_is_not_the_same_call(again: list[Effect]) -> None:
    tried = [refused(SEND), *again]
    assert judged([SEND], tried).verdict is Verdict.mismatch
    assert judged(tried, [SEND]).verdict is Verdict.mismatch


def test_a_call_that_was_made_twice_is_two_even_if_it_was_refused() -> None:
    """A later attempt that makes it once does not make up for both."""
    once = [answered(SEND, 202, 2)]
    assert judged([SEND], [refused(SEND), refused(SEND), *once]).verdict is Verdict.mismatch
    assert judged([SEND], [answered(SEND, 202), refused(SEND), *once]).verdict is Verdict.mismatch
    assert judged([SEND, SEND], [refused(SEND), refused(SEND), *once, *once]).verdict is Verdict.match

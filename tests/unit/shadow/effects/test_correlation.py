"""Whose an effect is: the run it names, then its trace, then a business key within the run's time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.model import Side
from shadow.effects.business_keys import digest, keys_of, named_in, texts_in
from shadow.effects.correlation import CallTraits, OpenRun, attribute
from shadow.effects.record import AttributedBy
from shadow.effects.traceparent import Traceparent

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def run(number: int, *keys: str, since: float = 0, until: float | None = 60) -> OpenRun:
    """A run that began `since` seconds after noon."""
    return OpenRun(
        id=UUID(int=number),
        event_id=UUID(int=1000 + number),
        task="payout",
        side=Side.CANDIDATE,
        platform="inngest",
        platform_run_id=f"01RUN{number}",
        authority="none",
        since=NOON + timedelta(seconds=since),
        until=None if until is None else NOON + timedelta(seconds=until),
        keys=frozenset(map(digest, keys)),
    )


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


CALL = CallTraits(names=named_in(["order-1234", "customer-9"]))


def test_the_run_that_a_call_names_is_believed_before_all_else() -> None:
    call = CallTraits(run="01RUN1", trace="ab" * 16, names=CALL.names, attempt=3)
    found = attribute(call, at(5), named=[run(1)], traced=[run(2)], keyed=[run(3, "order-1234")])
    assert (found.run, found.by, found.attempt) == (run(1), AttributedBy.HEADERS, 3)


def test_what_a_worker_says_holds_at_any_time() -> None:
    assert attribute(CallTraits(run="01RUN1"), at(9999), named=[run(1)]).run == run(1)


def test_a_run_that_nobody_knows_yet_is_not_overruled_by_a_key() -> None:
    found = attribute(CallTraits(run="01NEW", names=CALL.names), at(5), keyed=[run(3, "order-1234")])
    assert (found.run, found.said, found.nobodys) == (None, "01NEW", False)


def test_a_trace_comes_before_a_key() -> None:
    found = attribute(CALL, at(5), traced=[run(2)], keyed=[run(3, "order-1234")])
    assert (found.run, found.by) == (run(2), AttributedBy.TRACE)


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [(-3, False), (-1, True), (0, True), (60, True), (61, True), (63, False)],  # clocks may differ by two seconds
)
def test_a_key_counts_within_the_time_of_the_run_only(seconds: float, fits: bool) -> None:
    found = attribute(CALL, at(seconds), keyed=[run(3, "order-1234")])
    assert (found.run == run(3, "order-1234")) is fits
    assert found.nobodys is not fits


def test_a_run_without_an_end_is_still_under_way() -> None:
    assert attribute(CALL, at(9999), keyed=[run(3, "order-1234", until=None)]).by is AttributedBy.KEY


def test_a_call_that_fits_two_runs_is_nobodys_and_says_which() -> None:
    found = attribute(CALL, at(5), keyed=[run(4, "customer-9"), run(3, "customer-9")])
    assert (found.run, found.by, found.candidates) == (None, None, (UUID(int=3), UUID(int=4)))


def test_who_fits_by_more_keys_fits_better() -> None:
    """Another order of the same customer is under way: the call names this order."""
    found = attribute(CALL, at(5), keyed=[run(4, "customer-9"), run(3, "customer-9", "order-1234")])
    assert found.run is not None
    assert found.run.id == UUID(int=3)


def test_keys_that_differ_do_not_outvote_each_other() -> None:
    found = attribute(CALL, at(5), keyed=[run(4, "customer-9"), run(3, "order-1234")])
    assert found.candidates == (UUID(int=3), UUID(int=4))


def real(number: int, *keys: str) -> OpenRun:
    return replace(run(number, *keys), authority="real")


def test_no_key_decides_between_runs_of_which_some_have_authority() -> None:
    keyed = [real(1, "order-1234", "customer-9"), run(2, "customer-9")]
    assert attribute(CALL, at(5), keyed=keyed).candidates == (UUID(int=1), UUID(int=2))
    assert attribute(CALL, at(5), keyed=[keyed[0], real(2, "customer-9")]).run == keyed[0]
    ended = replace(keyed[1], until=NOON - timedelta(seconds=30))
    assert attribute(CALL, at(5), keyed=[keyed[0], ended]).run == keyed[0]


def test_no_key_gives_authority_while_a_contained_run_without_keys_may_have_made_the_call() -> None:
    first = real(1, "order-1234")
    assert attribute(CALL, at(5), keyed=[first], keyless=[run(2)]).candidates == (UUID(int=1), UUID(int=2))
    assert attribute(CALL, at(5), keyed=[first], keyless=[replace(run(2), task="digest")]).run == first
    assert attribute(CALL, at(50), keyed=[first], keyless=[run(2, until=20)]).run == first
    assert attribute(CALL, at(5), keyed=[run(3, "order-1234")], keyless=[run(2)]).run == run(3, "order-1234")


def test_nothing_known_is_nobodys() -> None:
    found = attribute(CallTraits(), at(5))
    assert found.nobodys
    assert found.candidates == ()


@given(st.sets(st.sampled_from([(1, "a"), (2, "b"), (3, "ab"), (4, "abc"), (5, "c")])))
def test_whose_it_is_does_not_depend_on_the_order_of_the_runs(chosen: Iterable[tuple[int, str]]) -> None:
    runs = [run(number, *keys) for number, keys in chosen]
    assert attribute(CALL, at(5), keyed=runs) == attribute(CALL, at(5), keyed=runs[::-1])


class TestTraits:
    """What is read from a call."""

    def test_the_headers_of_the_client_packages(self) -> None:
        call = CallTraits.of(
            {"x-shadow-run": "r", "x-shadow-task": "t", "x-shadow-event": "e", "x-shadow-attempt": "2"}
        )
        assert (call.run, call.task, call.event, call.attempt) == ("r", "t", "e", 2)

    def test_inngests_own_run_header_does(self) -> None:
        assert CallTraits.of({"x-run-id": "01M85K61QN6H3MZD9HM6VTVMW7"}).run == "01M85K61QN6H3MZD9HM6VTVMW7"

    @pytest.mark.parametrize("attempt", ["", "0", "-1", "x", "1e3", "²"])
    def test_an_attempt_that_is_no_number_is_the_first(self, attempt: str) -> None:
        assert CallTraits.of({"x-shadow-attempt": attempt}).attempt == 1

    def test_traceparent_is_of_no_run_before_a_platform_says_so(self) -> None:
        """Runs of one tree share it on both platforms."""
        call = CallTraits.of({"traceparent": "00-2219fbe0ae4ceadb0ea5c0fe2edf38cd-f4606833dc27eea7-01"})
        assert call.trace is None
        assert call.parent == Traceparent("2219fbe0ae4ceadb0ea5c0fe2edf38cd", "f4606833dc27eea7")
        assert attribute(call, at(5)).nobodys

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "01-2219fbe0ae4ceadb0ea5c0fe2edf38cd-f4606833dc27eea7-01",  # a version that nobody has defined
            "00-2219fbe0ae4ceadb0ea5c0fe2edf38cd-f4606833dc27eea7-01-more",
            "00-00000000000000000000000000000000-f4606833dc27eea7-01",  # no trace
            "00-2219FBE0AE4CEADB0EA5C0FE2EDF38CD-f4606833dc27eea7-01",
        ],
    )
    def test_what_is_no_traceparent_says_nothing(self, header: str) -> None:
        assert CallTraits.of({"traceparent": header}) == CallTraits()

    def test_they_survive_being_stored(self) -> None:
        call = CallTraits.of(
            {"x-shadow-task": "t", "traceparent": "00-2219fbe0ae4ceadb0ea5c0fe2edf38cd-f4606833dc27eea7-01"},
            {"order": "order-1234"},
        )
        assert CallTraits.read(call.stored()) == call
        assert b"order-1234" not in call.stored()

    def test_what_is_no_traits_is_refused(self) -> None:
        with pytest.raises(ValueError, match="kept as"):
            CallTraits.read(b'{"other": 1}')


class TestBusinessKeys:
    """How values are found in a call."""

    @pytest.mark.parametrize(
        "document",
        [
            {"order": "5551234"},
            {"order": 5551234},
            {"order": 5551234.0},
            {"deep": [{"er": "5551234"}]},
            {"text": "Order 5551234 was paid."},
            {"text": "see https://shop.example/orders/5551234?x=1"},
            {"payload": '{"order": 5551234}'},  # JSON within JSON
            "gid://shopify/Order/5551234",
        ],
    )
    def test_a_value_is_found_wherever_it_stands(self, document: object) -> None:
        assert keys_of(["$.id"], {"id": 5551234}) & named_in(texts_in(document))

    @pytest.mark.parametrize("document", [{"order": "55512345"}, {"text": "order 15551234"}, {"other": 1}])
    def test_part_of_another_value_is_not_it(self, document: object) -> None:
        assert not keys_of(["$.id"], {"id": 5551234}) & named_in(texts_in(document))

    def test_a_short_word_within_a_text_is_chance(self) -> None:
        assert not keys_of(["$.id"], {"id": "1001"}) & named_in(["pay 1001 now"])
        assert keys_of(["$.id"], {"id": "1001"}) & named_in(["1001"])

    @pytest.mark.parametrize("value", ["7", 12, None, True, {"a": "long enough"}, ["long enough"]])
    def test_what_is_short_or_no_value_is_no_key(self, value: object) -> None:
        assert keys_of(["$.id"], {"id": value}) == frozenset()

    def test_a_key_that_is_missing_is_left_out(self) -> None:
        assert keys_of(["$.none", "$.id"], {"id": "order-1234"}) == {digest("order-1234")}

"""Counterparts: each of the twin's calls answers at most one, its own where the content tells, in any order."""

from __future__ import annotations

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from shadow.egress.matching import Made, counterpart, occurrences


def made(content: str, attempt: int = 1, status: int | None = 200) -> Made:
    return Made(uuid4(), attempt, content.encode(), status)


def matched(twin: list[Made], contents: list[str], attempt: int = 1) -> list[Made | None]:
    """The counterparts of calls that are made one after the other."""
    before: list[Made] = []
    found = []
    for content in contents:
        found.append(counterpart(twin, before, content.encode()).occurrence)
        before.append(made(content, attempt))
    return found


CONTENTS = st.lists(st.sampled_from("abcd"), max_size=8)


@given(CONTENTS, CONTENTS)
def test_no_call_of_the_twin_answers_twice_and_none_is_left_over_while_one_goes_without(
    theirs: list[str], ours: list[str]
) -> None:
    twin = [made(content) for content in theirs]
    found = matched(twin, ours)
    answered = [call.id for call in found if call is not None]
    assert len(answered) == len(set(answered))
    assert len(answered) == min(len(theirs), len(ours))
    # Who goes without comes last: the surplus is an extra effect, not those before it.
    assert all(call is not None for call in found[: len(theirs)])


@given(CONTENTS)
def test_the_same_calls_get_their_own_answers(contents: list[str]) -> None:
    twin = [made(content) for content in contents]
    assert matched(twin, contents) == twin


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True).flatmap(
        lambda contents: st.tuples(st.just(contents), st.permutations(contents))
    )
)
def test_calls_in_another_order_get_their_own_answers(orders: tuple[list[str], list[str]]) -> None:
    theirs, ours = orders
    twin = [made(content) for content in theirs]
    assert [call and call.digest for call in matched(twin, ours)] == [content.encode() for content in ours]


@given(CONTENTS, CONTENTS)
def test_the_same_content_is_preferred_whatever_came_before(theirs: list[str], before: list[str]) -> None:
    twin = [made(content) for content in theirs]
    found = matched(twin, [*before, "a"])
    taken = {call.id for call in found[:-1] if call is not None}
    free = [call for call in twin if call.id not in taken and call.digest == b"a"]
    if free:
        assert found[-1] == free[0]


def test_content_that_differs_is_matched_by_its_place() -> None:
    twin = [made("amount 1"), made("amount 2"), made("amount 3")]
    assert matched(twin, ["amount 10", "amount 20", "amount 30"]) == twin


def test_a_content_that_could_not_be_told_is_matched_by_its_place() -> None:
    twin = [Made(uuid4(), 1, None, 200), Made(uuid4(), 1, None, 200)]
    first = counterpart(twin, [], None).occurrence
    second = counterpart(twin, [Made(uuid4(), 1, None)], None).occurrence
    assert [first, second] == twin


def test_the_answers_are_those_of_the_last_attempt_that_got_so_far() -> None:
    failed = [made("a", 1), made("b", 1)]
    again = [made("a", 2)]
    assert occurrences([*failed, *again]) == [again[0], failed[1]]
    assert matched([*failed, *again], ["a", "b"]) == [again[0], failed[1]]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_collapsing_attempts_leaves_as_many_places_as_the_longest_made(lengths: list[int]) -> None:
    twin = [made(f"{place}", attempt + 1) for attempt, length in enumerate(lengths) for place in range(length)]
    places = occurrences(twin)
    assert len(places) == max(lengths)
    for place, call in enumerate(places):
        reached = [attempt + 1 for attempt, length in enumerate(lengths) if length > place]
        assert call.attempt == max(reached)


def test_the_surplus_still_knows_the_first_and_the_last() -> None:
    twin = [made("a"), made("b")]
    found = counterpart(twin, [made("a"), made("b")], b"a")
    assert (found.occurrence, found.first, found.last) == (None, twin[0], twin[1])
    nothing = counterpart([], [], b"a")
    assert (nothing.occurrence, nothing.first, nothing.last) == (None, None, None)

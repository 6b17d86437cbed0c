"""What events have in common is numbered once, and sent again only when there is more of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.intake.arrival import Arrival, Descent, Door, PlannedDispatch, Stage, State
from shadow.intake.kinds import PLAN, TEMPLATE, Kinds

LEGACY = PlannedDispatch(Side.LEGACY, Stage.DELIVER, "trigger", "sync-order")
CANDIDATE = PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, "inngest", None)
DECISION = decide("sync-order", Phase.SHADOW)
ARRIVAL = Arrival("shop", Door.WEBHOOK, Origin.PRODUCER, "order.created", b"{}", (LEGACY, CANDIDATE), DECISION)


def plans(*dispatches: PlannedDispatch) -> Arrival:
    return replace(ARRIVAL, dispatches=dispatches)


def test_events_of_one_kind_share_a_template_and_others_get_their_own() -> None:
    kinds = Kinds()
    others = [
        replace(ARRIVAL, source="other"),
        replace(ARRIVAL, door=Door.INNGEST),
        replace(ARRIVAL, origin=Origin.LEGACY),
        replace(ARRIVAL, name="order.changed"),
        replace(ARRIVAL, decision=decide("other", Phase.SHADOW)),
        replace(ARRIVAL, decision=None),
        replace(ARRIVAL, descent=Descent(Side.LEGACY, (Side.LEGACY,))),
    ]
    numbers = [kinds.learn(one).template for one in (ARRIVAL, *others)]
    assert numbers == list(range(8))
    assert [kinds.learn(replace(one, data=b"[]", tenant="acme")).template for one in (ARRIVAL, *others)] == numbers
    assert [kinds.door(number) for number in (0, 1, 2)] == [
        (Door.WEBHOOK, "shop"),
        (Door.WEBHOOK, "other"),
        (Door.INNGEST, "shop"),
    ]


def test_equal_plans_share_a_number_whichever_tuple_they_came_in() -> None:
    kinds = Kinds()
    told = [kinds.learn(plans(*some)) for some in ((LEGACY, CANDIDATE), (CANDIDATE, replace(LEGACY)), ())]
    assert [one.plans for one in told] == [(0, 1), (1, 0), ()]
    assert [one.template for one in told] == [0, 0, 0]


def test_it_says_of_plans_whom_they_are_for_and_whether_somebody_is_to_be_woken() -> None:
    kinds = Kinds()
    later = replace(LEGACY, delay=timedelta(seconds=2))
    told = [kinds.learn(plans(*some)) for some in ((LEGACY,), (later, replace(CANDIDATE, state=State.HELD)), ())]
    assert [(one.to_candidate, one.wakes) for one in told] == [(False, True), (True, False), (False, False)]


def test_plans_and_decisions_that_are_no_more_are_never_taken_for_later_ones() -> None:
    """Their places in memory are given to the next."""
    kinds = Kinds()
    for number in range(50):
        arrival = plans(replace(LEGACY, task=f"task-{number}"))
        arrival.decision = decide(f"route-{number}", Phase.SHADOW)
        assert kinds.learn(arrival)[:2] == (number, (number,))
        del arrival


def test_arrays_are_made_again_only_when_there_is_more_to_tell() -> None:
    kinds = Kinds()
    kinds.learn(plans(LEGACY))
    first = kinds.arrays()
    assert len(first) == len(TEMPLATE) + len(PLAN)
    kinds.learn(plans(LEGACY))
    kinds.learn(ARRIVAL)
    second = kinds.arrays()
    assert second != first
    kinds.learn(ARRIVAL)
    kinds.learn(plans(LEGACY, LEGACY))
    assert kinds.arrays() is second
    kinds.learn(replace(ARRIVAL, name="order.changed"))
    assert kinds.arrays() != second


def test_it_is_full_when_it_has_learnt_many() -> None:
    """Children tell their parents' runs, of which none is like another."""
    kinds = Kinds()
    fullness = []
    for number in range(40):
        fullness.append(kinds.full)
        kinds.learn(replace(ARRIVAL, name=str(number)))
    assert fullness == [False] * 33 + [True] * 7


def test_what_a_copy_learns_is_its_own() -> None:
    kinds = Kinds()
    first = kinds.learn(ARRIVAL)
    before = kinds.arrays()
    copied, other = kinds.copy(), replace(ARRIVAL, name="order.changed", dispatches=(replace(LEGACY, task="other"),))
    assert (copied.of(ARRIVAL), copied.of(other)) == (first, None)
    learnt = copied.learn(other)
    assert copied.of(other) == copied.learn(other) == learnt == (1, (2,), False, True)
    assert kinds.of(other) is None
    assert kinds.arrays() is before
    assert copied.arrays() != before

"""Which hand-overs an event needs, over phases, doors and origins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision, Phase, decide
from shadow.egress.contained import EVERY_SECONDS
from shadow.intake.arrival import Descent, State
from shadow.intake.plan import CONTAINED_REST, is_second, planned, sequence_patience
from tests.unit.shadow.catalogues import TEXT, small

CATALOGUE = small()

ORDER = "shopify/order.created"
BOTH_TASKS = {("legacy", "deliver", "trigger", "sync-order"), ("legacy", "deliver", "trigger", "credit-creator")}
CANDIDATE = {("candidate", "deliver", "inngest", None)}
FORWARD = {("legacy", "forward", "app", None)}


@pytest.mark.parametrize(
    ("source", "name", "origin", "phase", "expected"),
    [
        # the candidate gets nothing before the dual run
        ("shopify", ORDER, Origin.PRODUCER, Phase.LEGACY, BOTH_TASKS),
        # one legacy dispatch a task, one event for the candidate, which fans out itself
        ("shopify", ORDER, Origin.PRODUCER, Phase.SHADOW, BOTH_TASKS | CANDIDATE),
        # after the switch legacy gets no new events
        ("shopify", ORDER, Origin.PRODUCER, Phase.LIVE, CANDIDATE),
        ("shopify", ORDER, Origin.PRODUCER, Phase.RETIRED, CANDIDATE),
        # an event that no task of this source has
        ("shopify", "payout/approved", Origin.PRODUCER, Phase.SHADOW, set()),
        # children go to their own side only, whatever the phase
        ("legacy-workers", "payout/approved", Origin.LEGACY, Phase.SHADOW, {("legacy", "deliver", "trigger", "pay")}),
        ("candidate-workers", "payout/approved", Origin.CANDIDATE, Phase.SHADOW, CANDIDATE),
        # a forwarded webhook starts its own legacy task; it is passed on in every phase
        ("forwarding", "github/push", Origin.PRODUCER, Phase.SHADOW, FORWARD | CANDIDATE),
        ("forwarding", "github/push", Origin.PRODUCER, Phase.LEGACY, FORWARD),
        ("forwarding", "github/push", Origin.PRODUCER, None, FORWARD),
        # nothing decided, nothing to do
        ("app-events", "payout/approved", Origin.PRODUCER, None, set()),
    ],
)
def test_an_event_is_handed_to(
    source: str, name: str, origin: Origin, phase: Phase | None, expected: set[tuple[str, str, str, str | None]]
) -> None:
    decision = decide("route", phase) if phase else None
    dispatches = planned(CATALOGUE, source, name, origin, decision)
    assert {(d.side.value, d.stage.value, d.platform, d.task) for d in dispatches} == expected


def test_a_door_that_passes_the_answer_back_keeps_the_workers_away_meanwhile() -> None:
    (dispatch,) = planned(CATALOGUE, "forwarding", "github/push", Origin.PRODUCER, None)
    assert dispatch.delay.total_seconds() > 30


AFTER = parse(TEXT.replace("settle: 1s}", "settle: 1s, sequence: after}"), "after.yaml", {})
PAYOUT = "payout/approved"


def test_the_side_without_authority_waits_for_the_other_for_as_long_as_that_has_to_end() -> None:
    dispatches = planned(AFTER, "app-events", PAYOUT, Origin.PRODUCER, decide("pay", Phase.SHADOW))
    assert [(d.side, d.state, d.delay) for d in dispatches] == [
        (Side.LEGACY, State.DUE, timedelta(0)),
        (Side.CANDIDATE, State.SEQUENCED, timedelta(seconds=30)),
    ]


def test_in_a_reverse_shadow_it_is_legacy_that_waits() -> None:
    decision = Decision("pay", Phase.LIVE, Side.CANDIDATE, (Side.LEGACY, Side.CANDIDATE))
    dispatches = planned(AFTER, "app-events", PAYOUT, Origin.PRODUCER, decision)
    assert {d.side: d.state for d in dispatches} == {Side.LEGACY: State.SEQUENCED, Side.CANDIDATE: State.DUE}


@pytest.mark.parametrize("phase", [Phase.LEGACY, Phase.LIVE])
def test_a_side_that_is_alone_waits_for_nobody(phase: Phase) -> None:
    dispatches = planned(AFTER, "app-events", PAYOUT, Origin.PRODUCER, decide("pay", phase))
    assert [d.state for d in dispatches] == [State.DUE]


@pytest.mark.parametrize(
    ("side", "authority", "follows", "state"),
    [
        (Side.CANDIDATE, None, True, State.SEQUENCED),  # its twin, another event, has authority
        (Side.CANDIDATE, None, False, State.DUE),  # it has no twin, or that has none either
        (Side.CANDIDATE, Side.CANDIDATE, False, State.DUE),
        (Side.LEGACY, None, True, State.SEQUENCED),  # in a reverse shadow
        (Side.LEGACY, Side.LEGACY, False, State.DUE),
    ],
)
def test_a_child_waits_for_its_twin_only_without_the_authority_that_the_twin_has(
    side: Side, authority: Side | None, follows: bool, state: State
) -> None:
    descent = Descent(authority, (side,), follows=follows)
    source = f"{side.value}-workers"
    (dispatch,) = planned(AFTER, source, PAYOUT, Origin(side.value), decide("pay", Phase.SHADOW), descent)
    assert dispatch.state is state
    assert dispatch.delay <= CONTAINED_REST  # its twin may have settled already: it is looked at soon


def test_a_child_of_a_task_that_goes_together_waits_for_nobody() -> None:
    descent = Descent(None, (Side.CANDIDATE,), follows=True)
    dispatches = planned(CATALOGUE, "candidate-workers", PAYOUT, Origin.CANDIDATE, decide("pay", Phase.SHADOW), descent)
    assert [d.state for d in dispatches] == [State.DUE]


def test_together_nobody_waits() -> None:
    dispatches = planned(CATALOGUE, "app-events", PAYOUT, Origin.PRODUCER, decide("pay", Phase.SHADOW))
    assert {d.state for d in dispatches} == {State.DUE}


def test_one_task_that_goes_after_makes_those_wait_that_the_same_event_starts() -> None:
    text = TEXT.replace("  credit-creator:\n", "  credit-creator:\n    sequence: after\n    deadline: 5m\n")
    mixed = parse(text, "mixed.yaml", {})
    tasks = mixed.tasks_of_event(ORDER)
    assert {task.sequence for task in tasks} == {"after", "together"}
    assert sequence_patience(tasks) == timedelta(minutes=5)
    assert sequence_patience([task for task in tasks if task.sequence == "together"]) is None
    assert sequence_patience([]) is None


@pytest.mark.parametrize(
    ("side", "authority", "sides", "second"),
    [
        (Side.CANDIDATE, Side.LEGACY, tuple(Side), True),
        (Side.LEGACY, Side.LEGACY, tuple(Side), False),
        (Side.LEGACY, Side.CANDIDATE, tuple(Side), True),
        # there is nobody to wait for
        (Side.CANDIDATE, Side.LEGACY, (Side.CANDIDATE,), False),
        (Side.CANDIDATE, None, tuple(Side), False),
    ],
)
def test_who_waits(side: Side, authority: Side | None, sides: tuple[Side, ...], second: bool) -> None:
    assert is_second(side, authority, sides) is second


@pytest.mark.parametrize(
    ("authority", "side", "rests"),
    [
        (None, Side.LEGACY, True),  # legacy against legacy
        (Side.LEGACY, Side.LEGACY, False),
        (Side.CANDIDATE, Side.LEGACY, True),
        (None, Side.CANDIDATE, False),  # a candidate's unknown run is never let through
    ],
)
def test_a_hand_over_to_legacy_without_authority_rests_until_gateways_know_of_it(
    authority: Side | None, side: Side, rests: bool
) -> None:
    descent = Descent(authority, (side,))
    decision = decide("route", Phase.SHADOW)
    for dispatch in planned(CATALOGUE, "app-events", "payout/approved", Origin.PRODUCER, decision, descent):
        assert dispatch.side is side
        assert (dispatch.delay >= CONTAINED_REST) is rests
        assert CONTAINED_REST.total_seconds() > 3 * EVERY_SECONDS

"""Which hand-overs an event needs, over phases, doors and origins."""

from __future__ import annotations

import pytest

from shadow.catalogue.model import Origin
from shadow.cutover.decision import Phase, decide
from shadow.intake.plan import planned
from tests.unit.shadow.catalogues import small

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

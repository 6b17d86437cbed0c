"""What a call to Trigger.dev is on disk before it is forwarded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.intake.arrival import Descent, State
from shadow.intake.plan import planned
from shadow.intake.trigger_arrival import arrival, mapped, wire_key
from shadow.intake.trigger_calls import trigger_call
from tests.unit.shadow.intake.test_plan import AFTER, PAYOUT


def test_the_call_of_a_run_without_authority_is_not_kept_back_for_its_twin() -> None:
    """Its answer is the run's id, which the door forwards it for."""
    task = AFTER.tasks["pay"]
    call = trigger_call("pay", orjson.dumps({"payload": {"payoutId": 1}}), {})
    decision = decide(task.route, Phase.LIVE)
    descent = Descent(None, (Side.LEGACY,), follows=True)
    dispatches = planned(AFTER, "legacy-workers", PAYOUT, Origin.LEGACY, decision, descent)
    assert [dispatch.state for dispatch in dispatches] == [State.SEQUENCED]
    stored = arrival(
        "legacy-workers",
        Origin.LEGACY,
        task,
        call,
        wire_key("legacy-workers", "trigger", task.id, call, "r-1"),
        mapped(task, call),
        None,
        decision,
        dispatches,
        descent=descent,
        headers=(),
        now=datetime(2026, 11, 26, tzinfo=UTC),
        patience=timedelta(minutes=1),
    )
    assert [(d.state, d.delay) for d in stored.dispatches] == [(State.DUE, timedelta(minutes=1))]


def test_where_the_candidate_has_a_call_the_producers_key_never_stands_for_legacys_run_beside_it() -> None:
    task = AFTER.tasks["pay"]
    call = trigger_call("pay", orjson.dumps({"payload": {}, "options": {"idempotencyKey": "k", "delay": "1h"}}), {})
    decision = decide(task.route, Phase.LIVE, reverse=True)
    source = next(iter(task.sources))
    dispatches = planned(AFTER, source, PAYOUT, Origin.PRODUCER, decision)
    stored = arrival(
        source,
        Origin.PRODUCER,
        task,
        call,
        wire_key(source, "trigger", task.id, call, None),
        mapped(task, call),
        None,
        decision,
        dispatches,
        headers=(),
        now=datetime(2026, 11, 26, tzinfo=UTC),
        patience=timedelta(minutes=1),
    )
    assert stored.idempotency_key is None
    assert stored.dedupe is not None
    states = {dispatch.side: (dispatch.state, dispatch.delay) for dispatch in stored.dispatches}
    assert states[Side.CANDIDATE] == (State.DUE, timedelta(hours=1))
    assert states[Side.LEGACY][0] is State.SEQUENCED

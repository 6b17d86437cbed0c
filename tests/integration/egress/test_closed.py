"""Closed by default: whatever fails inside, nothing reaches a target for a run without authority.

The witness is the target, which keeps books of all that it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog.testing

from shadow.catalogue.model import Side
from shadow.egress.disposition import CallEffect, Disposition
from shadow.egress.upstream import NotPermitted, permit
from tests.integration.egress.world import Twins, World

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE

STAGES = [
    "shadow.egress.keys.EgressKeys.holder",
    "shadow.egress.gateway.offered",
    "shadow.egress.gateway.address",
    "shadow.egress.operation.Operations.match",
    "shadow.egress.operation.MatchedOperation.identity",
    "shadow.egress.operation.MatchedOperation.idempotency_key",
    "shadow.egress.operation.CompiledStub.answer",
    "shadow.egress.incoming.ReadBody.of",
    "shadow.egress.incoming.ReadBody.drain",
    "shadow.egress.incoming.Reading.query",
    "shadow.egress.incoming.Reading.evidence",
    "shadow.egress.incoming.Understood.record",
    "shadow.egress.runs.Runs.find",
    "shadow.egress.runs.Runs._by_headers",
    "shadow.egress.runs.Runs._remember",
    "shadow.egress.runs.Told.of",
    "shadow.egress.gateway.Gateway._understood",
    "shadow.egress.gateway.Gateway._run",
    "shadow.egress.gateway.Gateway._decided",
    "shadow.egress.gateway.Gateway._forward",
    "shadow.egress.gateway.Gateway._reads",
    "shadow.egress.gateway.Gateway._refused",
    "shadow.egress.gateway.Gateway._note",
    "shadow.egress.gateway.Gateway._check_credential",
    "shadow.egress.gateway.permit",
    "shadow.egress.containing.Containing.decide",
    "shadow.egress.containing.Containing.answer",
    "shadow.egress.containing.Containing.written",
    "shadow.egress.containing.decide",
    "shadow.egress.containing.own",
    "shadow.egress.twin.Twins.look",
    "shadow.egress.twin.Twins.give_up",
    "shadow.egress.twin.Recent.add",
    "shadow.egress.twin.counterpart",
    "shadow.egress.answers.opened",
    "shadow.egress.answers.decoded_headers",
    "shadow.egress.answers.Answer.for_client",
    "shadow.egress.journal.Journal.write",
    "shadow.egress.journal.Journal.found_away",
    "shadow.egress.calls.CallLog.write",
    "shadow.egress.spool.Spool.append",
    "shadow.egress.quota.Quota.shadow_read",
    "shadow.egress.forwarding.Forwarding.forward",
    "shadow.egress.upstream.Upstream.check",
    "shadow.egress.resolving.Resolver.addresses",
    "shadow.egress.incidents.Incidents.note",
    "shadow.store.database.Database.connection",
]
FAULTS = [kind("injected") for kind in (RuntimeError, psycopg.OperationalError, TimeoutError, KeyError)]


def fault(error: Exception) -> Any:
    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise error

    return fail


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of tracebacks, each drawn with its locals, would take minutes."""
    with structlog.testing.capture_logs():
        yield


async def contained_calls(world: World, twins: Twins, other: Twins) -> list[int]:
    """Every kind of call that must not write; returns their statuses."""
    strange = {"x-shadow-key": world.keys[CANDIDATE], "x-shadow-event": "nobody", "x-shadow-task": "nothing"}
    crossed = {**twins.headers(LEGACY), "x-shadow-key": world.keys[CANDIDATE]}
    answers = [
        await twins.call(CANDIDATE, json={"requestId": "wd_1"}),
        await twins.call(CANDIDATE, json={"requestId": "wd_2"}),
        await twins.call(CANDIDATE, path="pay/v1/refunds", content=b"{broken"),
        await twins.call(CANDIDATE, "DELETE", "pay/v1/anything/else"),
        await other.call(CANDIDATE, "POST", "shop/orders", json={}),
        await other.call(CANDIDATE, "GET", "pay/v1/x", headers={"x-http-method-override": "DELETE"}),
        await world.client.post("/egress/pay/v1/transfers", headers=strange, json={}),
        await world.client.post("/egress/pay/v1/transfers", headers=crossed, json={}),
        await world.client.post("/egress/pay/v1/transfers", headers=twins.headers(CANDIDATE), json={}),
        # reads that the default policy does not forward either
        await twins.call(CANDIDATE, "GET", "pay/v1/transfers/tr_unread"),
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("stage", STAGES)
async def test_a_fault_in_any_stage_lets_nothing_through(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(world.gateway.runs, "_patience", 0.05)
    twins, other = await world.twins(), await world.twins("digest")
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    for pair in (twins, other):
        await pair.finish(LEGACY)
    world.books.calls.clear()
    for error in FAULTS:
        with monkeypatch.context() as patch:
            patch.setattr(stage, fault(error))
            statuses = await contained_calls(world, twins, other)
        assert world.books.calls == [], (stage, error)
        assert all(status < 300 or status >= 400 for status in statuses)
        await world.gateway.journal.stop()  # the next fault finds the database present


async def test_a_decision_that_says_forward_is_not_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    twins, other = await world.twins(), await world.twins("digest")
    for lie in ("shadow.egress.containing.decide",):
        monkeypatch.setattr(lie, lambda *_: Disposition.FORWARD)
    await contained_calls(world, twins, other)
    assert world.books.calls == []


@pytest.mark.parametrize("disposition", Disposition)
@pytest.mark.parametrize("authority", ["none", None])
def test_there_is_no_permit_for_a_write_without_authority(disposition: Disposition, authority: Any) -> None:
    for reads in ("replay", "forward"):
        with pytest.raises(NotPermitted):
            permit(disposition, authority, CallEffect.WRITE, reads)


async def test_a_failing_gateway_answers_500_and_says_that_it_is_its_own_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = await world.twins()
    monkeypatch.setattr("shadow.egress.runs.Runs.find", fault(RuntimeError("injected")))
    answer = await twins.call(LEGACY, json={"requestId": "wd_1"})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (500, "refused")
    assert "injected" not in answer.text
    assert world.books.calls == []

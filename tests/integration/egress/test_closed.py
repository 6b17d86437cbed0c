"""Closed by default: whatever fails inside, nothing reaches a target for a run without authority.

The witness is the target, which keeps books of all that it was asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import structlog.testing

from shadow.catalogue.model import Side
from shadow.catalogue.values import RateBudget
from shadow.egress.disposition import CallEffect, Disposition
from shadow.egress.quota import Bucket
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
    "shadow.egress.runs.Runs._looked_up",
    "shadow.egress.runs.Runs._remember",
    "shadow.egress.runs.Told.of",
    "shadow.egress.gateway.Gateway._understood",
    "shadow.egress.gateway.Gateway._run",
    "shadow.egress.gateway.Gateway._decided",
    "shadow.egress.gateway.Gateway._forward",
    "shadow.egress.gateway.Gateway._reads",
    "shadow.egress.gateway.Gateway._refused",
    "shadow.egress.incidents.Incidents.note_if_possible",
    "shadow.egress.callers.Callers.run",
    "shadow.egress.gateway.Gateway._check_credential",
    "shadow.egress.gateway.permit",
    "shadow.egress.containing.Containing.decide",
    "shadow.egress.containing.Containing.answer",
    "shadow.egress.containing.Containing.written",
    "shadow.egress.containing.decide",
    "shadow.egress.containing.own",
    "shadow.egress.twin.Twins.look",
    "shadow.egress.twin.Recent.add",
    "shadow.egress.twin.counterpart",
    "shadow.sealing.vault.Vault.open",
    "shadow.effects.evidence.redactor",
    "shadow.egress.answers.decoded_headers",
    "shadow.egress.answers.Answer.for_client",
    "shadow.egress.journal.Journal.write",
    "shadow.egress.calls.CallLog.write",
    "shadow.egress.quota.Quota.shadow_read",
    "shadow.egress.forwarding.Forwarding.forward",
    "shadow.egress.upstream.Upstream.check",
    "shadow.platforms.resolving.Resolver.addresses",
    "shadow.egress.incidents.Incidents.note",
    "shadow.store.database.Database.connection",
]
FAULTS = (RuntimeError, psycopg.OperationalError)


@dataclass
class Fault:
    """Fails whatever it stands for."""

    error: type[Exception]
    times: int = 0

    def __call__(self, *_arguments: Any, **_named: Any) -> Any:
        self.times += 1
        raise self.error("injected")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of tracebacks, each drawn with its locals, would take minutes."""
    with structlog.testing.capture_logs():
        yield


async def contained_calls(world: World, twins: Twins, other: Twins) -> None:
    """Every kind of call that must not write, and a read that is allowed."""
    strange = {"x-shadow-key": world.keys[CANDIDATE], "x-shadow-event": "nobody", "x-shadow-task": "nothing"}
    crossed = {**twins.headers(LEGACY), "x-shadow-key": world.keys[CANDIDATE]}
    calls = [
        await twins.call(CANDIDATE, json={"requestId": "wd_1"}),
        await twins.call(CANDIDATE, json={"requestId": "wd_2"}),
        await twins.call(CANDIDATE, path="pay/v1/refunds", content=b"{broken"),
        await twins.call(CANDIDATE, "DELETE", "pay/v1/anything/else"),
        await other.call(CANDIDATE, "POST", "shop/orders", json={}),
        await other.call(CANDIDATE, "GET", "shop/orders/1"),
        await other.call(CANDIDATE, "GET", "pay/v1/x", headers={"x-http-method-override": "DELETE"}),
        await world.client.post("/egress/pay/v1/transfers", headers=strange, json={}),
        await world.client.post("/egress/pay/v1/transfers", headers=crossed, json={}),
        await world.client.post("/egress/pay/v1/transfers", headers=twins.headers(CANDIDATE), json={}),
        # reads that the default policy does not forward either
        await twins.call(CANDIDATE, "GET", "pay/v1/transfers/tr_unread"),
    ]
    assert len(calls) == 11


def let_through(world: World) -> list[tuple[str, str]]:
    """What reached the target beyond the reads that the policy of `digest` allows."""
    allowed = ("GET", "/shop/orders/1?api_key=real")
    return [(method, path) for method, path, _headers, _body in world.books.calls if (method, path) != allowed]


@pytest.mark.parametrize("error", FAULTS)
async def test_a_fault_in_any_stage_lets_nothing_through(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(world.gateway.runs, "_patience", 0.05)
    unreached = []
    for stage in STAGES:
        twins, other = await world.twins(), await world.twins("digest")
        await twins.call(LEGACY, json={"requestId": "wd_1"})
        for pair in (twins, other):
            await pair.finish(LEGACY)
        world.books.calls.clear()
        world.gateway._targets["shop"].quota.reads = Bucket.of(RateBudget(), time.monotonic())
        with monkeypatch.context() as patch:
            patch.setattr(stage, fault := Fault(error))
            await contained_calls(world, twins, other)
        assert let_through(world) == [], stage
        if not fault.times:
            unreached.append(stage)
        await world.gateway.journal.stop()  # the next fault finds the database present
    assert unreached == []


@pytest.mark.parametrize("error", FAULTS)
@pytest.mark.parametrize("stage", ["spool.spool.Spool.append", "egress.journal.Journal.found_away"])
async def test_nor_does_one_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str, error: type[Exception]
) -> None:
    twins, other = await world.twins(), await world.twins("digest")
    for pair in (twins, other):
        await pair.finish(LEGACY)
    monkeypatch.setattr(world.gateway.runs, "_patience", 0.05)
    monkeypatch.setattr("shadow.egress.calls.CallLog.write", Fault(psycopg.OperationalError))
    monkeypatch.setattr(f"shadow.{stage}", fault := Fault(error))
    await contained_calls(world, twins, other)
    assert fault.times > 0
    assert let_through(world) == []


async def test_nor_does_one_after_the_twin_was_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = await world.twins("digest")
    monkeypatch.setattr("shadow.egress.twin.Twins.give_up", fault := Fault(RuntimeError))
    answer = await other.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.status_code, fault.times) == (500, 1)
    assert world.books.calls == []


async def test_a_decision_that_says_forward_is_not_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    twins, other = await world.twins(), await world.twins("digest")
    monkeypatch.setattr("shadow.egress.containing.decide", lambda *_: Disposition.FORWARD)
    await contained_calls(world, twins, other)
    assert let_through(world) == []


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
    monkeypatch.setattr("shadow.egress.runs.Runs.find", Fault(RuntimeError))
    answer = await twins.call(LEGACY, json={"requestId": "wd_1"})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (500, "refused")
    assert "injected" not in answer.text
    assert world.books.calls == []

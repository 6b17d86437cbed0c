"""Leaks are found after the fact, in what is recorded, and move their route back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.egress.disposition import CallEffect, Disposition
from shadow.egress.incidents import Incident, IncidentKind
from shadow.egress.upstream import Permit
from shadow.observe import metrics
from tests.integration.egress.world import World

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE


def since() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


async def shadowed(world: World) -> None:
    await world.execute(
        "INSERT INTO phases (task, phase, previous, effective_at, version) VALUES ('payout', 'shadow', 'legacy',"
        " now() - interval '1 hour', 1)"
    )


async def test_nothing_is_a_leak_in_ordinary_use(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await twins.finish(LEGACY)
    await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    await twins.call(CANDIDATE, json={"requestId": "wd_2"})
    assert await world.gateway.incidents.look(since=since()) == 0
    assert await world.rows("SELECT kind FROM incidents") == []


async def test_a_leak_is_counted_once_and_moves_its_route_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await shadowed(world)
    twins = await world.twins()

    def broken(*_: Any) -> Permit:
        return Permit("real", CallEffect.WRITE)

    # Both the decision and the permit are broken: nothing but the look back can notice.
    monkeypatch.setattr("shadow.egress.containing.decide", lambda *_: Disposition.FORWARD)
    monkeypatch.setattr("shadow.egress.gateway.permit", broken)
    await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert len(world.books.writes) == 1
    before = metrics.REGISTRY.get_sample_value("shadow_leaks_total", {"task": "payout"}) or 0
    news = await world.gateway.incidents.look(since=since())
    news += await world.gateway.incidents.look(since=since())
    counted = (metrics.REGISTRY.get_sample_value("shadow_leaks_total", {"task": "payout"}) or 0) - before
    assert news <= 1  # the loop may have been quicker
    assert counted == news
    ((kind, task, route, side, run, target, operation, moved),) = await world.rows(
        "SELECT kind, task, route, side, run_id, target, operation, moved_back FROM incidents"
    )
    assert (kind, task, route, side) == ("leak", "payout", "payout", "candidate")
    assert (run, target, operation, moved) == (twins.run(CANDIDATE), "pay", "POST /v1/transfers", True)
    ((phase, actor, reason),) = await world.rows("SELECT to_phase, actor, reason FROM moves")
    assert (phase, actor) == ("legacy", "shadow")
    assert reason.startswith("by itself: a leak: POST /v1/transfers at pay")
    told = await world.rows("SELECT kind, route FROM notices ORDER BY id")
    assert told == [("leak", "payout"), ("moved_back", "payout")]


async def test_a_run_that_turns_out_to_have_no_authority_makes_its_earlier_write_a_leak(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await world.execute("UPDATE runs SET authority = 'none' WHERE id = %s", twins.run(LEGACY))
    # what was let through while the database was away names no run of ours
    await world.execute("UPDATE effects SET run_id = NULL")
    await world.gateway.incidents.look(since=since())
    assert await world.rows("SELECT kind, run_id FROM incidents") == [("leak", twins.run(LEGACY))]


async def test_a_worker_that_holds_the_real_credential_is_an_incident(world: World) -> None:
    twins = await world.twins()
    sent = {"authorization": "Bearer sk_live_real", "x-shadow-key": world.keys[CANDIDATE]}
    await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers={**sent, "x-shadow-accepts": "wait"})
    assert await world.rows("SELECT kind, side, target FROM incidents") == [("wrong_credential", "candidate", "pay")]


@pytest.mark.parametrize("query", ["api_key=real", "api_key=other&api_key=re%61l"])
async def test_so_is_one_that_sends_it_in_the_query(world: World, query: str) -> None:
    twins = await world.twins("digest")
    headers = {"x-shadow-key": world.keys[CANDIDATE]}
    await twins.call(CANDIDATE, "GET", f"shop/orders/1?{query}", headers=headers)
    assert await world.rows("SELECT kind, side, target FROM incidents") == [("wrong_credential", "candidate", "shop")]


async def test_an_egress_key_in_the_query_is_none(world: World) -> None:
    twins = await world.twins("digest")
    await twins.call(CANDIDATE, "GET", f"shop/orders/1?api_key={world.keys[CANDIDATE]}")
    assert await world.rows("SELECT kind FROM incidents") == []


@pytest.mark.parametrize("named", [True, False])
async def test_a_mail_that_left_for_a_run_without_authority_is_a_leak(world: World, named: bool) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await world.execute("UPDATE effects SET seen_by = 'mail'")
    await world.execute("UPDATE runs SET authority = 'none' WHERE id = %s", twins.run(LEGACY))
    if not named:
        await world.execute("UPDATE effects SET run_id = NULL")
    await world.gateway.incidents.look(since=since())
    assert await world.rows("SELECT kind, run_id FROM incidents") == [("leak", twins.run(LEGACY))]


async def test_an_incident_does_not_say_whose_address_stood_in_the_path(world: World) -> None:
    twins = await world.twins()
    crossed = {**twins.headers(LEGACY), "x-shadow-key": world.keys[CANDIDATE]}
    holding = {"authorization": "Bearer sk_live_real", "x-shadow-key": world.keys[CANDIDATE]}
    for sent in (crossed, {**twins.headers(CANDIDATE), **holding}):
        await world.client.post("/egress/pay/customers/jane@example.com", headers=sent)
    await world.gateway.incidents.note(Incident(IncidentKind.UNGUARDED_HOST, "asked for by jane@example.com"))
    rows = await world.rows("SELECT kind, operation, detail FROM incidents ORDER BY id")
    assert [row[0] for row in rows] == ["wrong_side", "wrong_credential", "unguarded_host"]
    assert all(operation.startswith("POST /customers/~email:") for _kind, operation, _detail in rows[:2])
    assert "jane" not in str(rows)

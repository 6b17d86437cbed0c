"""Legacy runs that Shadow did not start: real only while that is certain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.causes.authority import ParentAuthority
from shadow.causes.parents import Told, known_parent
from shadow.cutover.decision import Phase
from shadow.egress.calls import write
from shadow.fanout.handoff import Started, record_started
from shadow.intake.run_changes import replayed
from shadow.model.alias import key_alias
from shadow.model.ids import new_id
from shadow.store.database import Work
from tests.integration.egress.world import World, forwarded


async def call(world: World, run: str = "run_own", task: str = "process-payout") -> int:
    headers = {"x-shadow-key": world.keys[Side.LEGACY], "x-shadow-run": run, "x-shadow-task": task}
    answer = await world.client.post("/egress/pay/v1/refunds", headers=headers, json={"requestId": "a"})
    return answer.status_code


def told(run: str = "run_own", **more: Any) -> dict[str, dict[str, Any]]:
    return {run: {"id": run, "taskIdentifier": "process-payout", "status": "EXECUTING", **more}}


async def as_parent(world: World, run: str) -> ParentAuthority:
    """The authority that counts for what the run emits."""
    async with world.database.direct() as connection:
        parent = await known_parent(connection, world.catalogue, Side.LEGACY, Told(run))
    assert parent is not None
    return parent.authority


@pytest.mark.parametrize(
    ("phase", "status"),
    [(Phase.LEGACY, 201), (Phase.SHADOW, 201), (Phase.RAMP, 403), (Phase.LIVE, 403), (Phase.RETIRED, 403)],
)
async def test_it_is_real_while_legacy_has_authority_for_the_route(world: World, phase: Phase, status: int) -> None:
    world.routing.phase = phase
    world.trigger |= told()
    assert await call(world) == status
    assert len(world.books.calls) == (status == 201)
    expected = "real" if status == 201 else "none"
    assert await world.rows("SELECT task, side, authority, event_id FROM runs") == [
        ("payout", "legacy", expected, None)
    ]


async def test_what_was_decided_stays(world: World) -> None:
    world.trigger |= told()
    assert await call(world) == 201
    world.routing.phase = Phase.LIVE
    world.gateway.runs._known.clear()
    assert await call(world) == 201


async def test_one_that_the_platform_does_not_know_is_refused(world: World) -> None:
    assert await call(world) == 403
    assert await world.rows("SELECT id FROM runs") == []


async def test_one_of_a_task_that_is_not_in_the_catalogue_is_refused(world: World) -> None:
    world.trigger |= told(taskIdentifier="something-else")
    assert await call(world) == 403


@pytest.mark.parametrize("relation", ["parent", "root"])
async def test_the_child_of_a_run_without_authority_has_none(world: World, relation: str) -> None:
    twins = await world.twins(real=Side.CANDIDATE)
    world.trigger |= told(relatedRuns={relation: {"id": f"run_{twins.delivery}"}})
    assert await call(world) == 403
    assert world.books.calls == []
    ((parent, authority),) = await world.rows("SELECT parent_run, authority FROM runs WHERE event_id IS NULL")
    assert authority == "none"
    assert parent == twins.run(Side.LEGACY)
    assert await as_parent(world, "run_own") is ParentAuthority.NONE  # and its children have none either


async def test_authority_that_was_decided_is_told_from_none_for_want_of_knowledge(world: World) -> None:
    await world.execute(
        "INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state)"
        " VALUES (%s, 'payout', 'legacy', 'trigger', 'run_cron', 'none', 'sent')",
        (cron := new_id()),
    )
    await world.execute("INSERT INTO run_aliases VALUES ('trigger', 'run_cron', %s)", cron)
    assert await as_parent(world, "run_cron") is ParentAuthority.UNKNOWN
    world.routing.phase = Phase.LIVE
    world.trigger |= told()
    assert await call(world) == 403
    assert await as_parent(world, "run_own") is ParentAuthority.NONE


async def test_the_child_of_a_run_with_authority_follows_its_own_route(world: World) -> None:
    twins = await world.twins()
    world.trigger |= told(relatedRuns={"parent": {"id": f"run_{twins.delivery}"}})
    assert await call(world) == 201


async def test_one_that_was_started_under_a_key_of_ours_is_the_run_of_that_key(world: World) -> None:
    twins = await world.twins(real=Side.CANDIDATE)
    await world.execute("DELETE FROM run_aliases")
    await world.execute("UPDATE runs SET platform_run_id = NULL")
    await world.execute(
        "INSERT INTO run_aliases VALUES ('trigger', %s, %s)", key_alias("payout", "ours"), twins.run(Side.LEGACY)
    )
    world.trigger |= told(idempotencyKey="ours", createdAt=datetime.now(UTC).isoformat())
    assert await call(world) == 403
    assert world.books.calls == []
    assert await world.rows("SELECT run_id FROM run_aliases WHERE alias = 'run_own'") == [(twins.run(Side.LEGACY),)]


async def replay_asked_for(world: World, seconds_ago: float) -> Any:
    """A door has asked the platform to run again what legacy ran without authority; it has no answer yet."""
    twins = await world.twins(real=None)
    await world.execute(
        "INSERT INTO expected_replays (id, platform, task, original, expected_at)"
        " VALUES (%s, 'trigger', 'payout', %s, now() - %s * interval '1 second')",
        new_id(),
        twins.run(Side.LEGACY),
        seconds_ago,
    )
    return twins.run(Side.LEGACY)


async def test_a_replay_that_calls_before_its_door_has_its_name_is_not_taken_for_a_run_of_its_own(world: World) -> None:
    original = await replay_asked_for(world, 1)
    world.trigger |= told(createdAt=datetime.now(UTC).isoformat())
    calling = asyncio.create_task(call(world))
    await asyncio.sleep(1)
    async with world.database.direct() as connection:  # the door's answer has come
        await replayed(
            connection,
            world.catalogue,
            world.routing.decision,
            "trigger",
            await name_of(world, original),
            "run_own",
            None,
        )
    assert await calling == 403
    assert world.books.calls == []
    assert await world.rows("SELECT authority, parent_run FROM runs WHERE event_id IS NULL") == [("none", original)]


async def name_of(world: World, run: Any) -> str:
    ((name,),) = await world.rows("SELECT platform_run_id FROM runs WHERE id = %s", run)
    return str(name)


async def test_a_replay_whose_answer_nobody_got_has_no_authority(world: World) -> None:
    original = await replay_asked_for(world, 90)
    world.trigger |= told(createdAt=(datetime.now(UTC) - timedelta(seconds=80)).isoformat())
    assert await call(world) == 403
    assert world.books.calls == []
    assert await world.rows("SELECT authority, parent_run FROM runs WHERE event_id IS NULL") == [("none", original)]


async def test_a_run_that_was_made_at_another_time_than_a_replay_is_none_of_its(world: World) -> None:
    await replay_asked_for(world, 600)
    world.trigger |= told(createdAt=datetime.now(UTC).isoformat())
    assert await call(world) == 201


async def test_one_that_somebody_made_on_the_dashboard_from_a_run_without_authority_has_none(world: World) -> None:
    world.trigger |= told(tags=["order-7", "shadow:contained"])  # a replay has the tags of what it is made from
    assert await call(world) == 403
    assert world.books.calls == []
    assert await world.rows("SELECT authority FROM runs") == [("none",)]


@pytest.mark.parametrize("used", ["after the first run has its name", "before our event was accepted"])
async def test_one_that_has_only_the_key_in_common_with_a_run_of_ours_is_another(world: World, used: str) -> None:
    """Keys expire, and are used again."""
    twins = await world.twins()  # of which legacy's run is real
    created_at = datetime.now(UTC)
    if used.startswith("before"):
        await world.execute("UPDATE runs SET platform_run_id = NULL")
        created_at -= timedelta(hours=1)
    await world.execute(
        "INSERT INTO run_aliases VALUES ('trigger', %s, %s)", key_alias("payout", "ours"), twins.run(Side.LEGACY)
    )
    world.routing.phase = Phase.LIVE
    world.trigger |= told(idempotencyKey="ours", createdAt=created_at.isoformat())
    assert await call(world) == 403
    assert world.books.calls == []
    ((owner,),) = await world.rows("SELECT run_id FROM run_aliases WHERE alias = 'run_own'")
    assert owner != twins.run(Side.LEGACY)


async def test_calls_follow_the_run_that_took_theirs_over(world: World) -> None:
    """The gateway remembers runs for a while; one of nobody's may turn out to be the run of an event meanwhile."""
    world.trigger |= told()
    assert await call(world) == 201
    ((nobodys,),) = await world.rows("SELECT id FROM runs")
    twins = await world.twins()
    await world.execute("DELETE FROM runs WHERE id = %s", nobodys)
    await world.execute("UPDATE runs SET platform_run_id = 'run_own' WHERE id = %s", twins.run(Side.LEGACY))
    assert await call(world) == 201
    rows = await world.rows("SELECT run_id FROM effects ORDER BY sequence")
    assert rows == [(nobodys,), (twins.run(Side.LEGACY),)]


async def test_calls_that_are_written_while_their_run_is_taken_over_are_not_lost(world: World) -> None:
    world.trigger |= told()
    assert await call(world) == 201
    ((nobodys,),) = await world.rows("SELECT id FROM runs")
    twins = await world.twins()
    await world.execute("UPDATE runs SET platform_run_id = NULL WHERE id = %s", twins.run(Side.LEGACY))
    written = replace(
        forwarded(twins),
        run_id=nobodys,
        platform_run_id="run_own",
        task="payout",
        of_tenant=False,
        pair=None,
    )
    started = Started(None, twins.event, Side.LEGACY, "payout", "trigger", "run_own")

    async def take_over() -> None:
        async with world.database.connection(Work.LEGACY) as conn:
            await record_started(conn, world.catalogue, [started])

    async with world.database.connection(Work.EGRESS) as conn:
        await write(conn, [written])
        taking = asyncio.create_task(take_over())
        await asyncio.sleep(0.2)
        assert not taking.done()
    await taking
    assert await world.rows("SELECT DISTINCT run_id FROM effects") == [(twins.run(Side.LEGACY),)]
    assert await world.rows("SELECT id FROM runs WHERE id = %s", nobodys) == []

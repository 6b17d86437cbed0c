"""What becomes of events that runs emit: by whose run they are of, and where their own tasks stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.integration.causes.chain import EVENTS, WORKER, Chain, Way, chain

ALL = dict.fromkeys(EVENTS, Phase.SHADOW)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Both sides emit through Shadow's doors."""
    async with chain(database, tmp_path) as made:
        yield made


async def ended(world: Chain, runs: dict[tuple[str, str, str], int], within: float = 30) -> None:
    """Until exactly these runs have ended, and no other has begun for a moment."""
    await world.settled(sum(runs.values()), within)
    await asyncio.sleep(0.5)
    assert await world.authorities() == runs, await world.state()


async def test_a_child_whose_task_has_moved_is_bridged_to_the_candidate(world: Chain) -> None:
    await world.phases({"first": Phase.SHADOW, "second": Phase.LIVE, "third": Phase.LIVE})
    await world.send(1)
    await ended(
        world,
        {
            ("first", "legacy", "real"): 1,
            ("first", "candidate", "none"): 1,
            ("second", "candidate", "real"): 1,  # of legacy's call
            ("second", "candidate", "none"): 1,  # of the candidate's own event
            ("third", "candidate", "real"): 1,
            ("third", "candidate", "none"): 1,
        },
    )
    assert world.legacy_runs() == {"first": 1}
    assert await world.verdicts() == {("first", "match"): 1}  # what was emitted is the same, and nothing else is paired


async def test_a_child_whose_task_has_not_moved_is_bridged_to_legacy(world: Chain) -> None:
    await world.phases({"first": Phase.LIVE, "second": Phase.SHADOW, "third": Phase.LEGACY})
    await world.send(1)
    await ended(
        world,
        {
            ("first", "candidate", "real"): 1,
            ("second", "legacy", "real"): 1,
            ("third", "legacy", "real"): 1,
        },
    )
    assert world.candidate_runs() == {"first": 1}


async def test_a_candidate_that_is_not_in_shadow_does_not_run_as_a_child_either(world: Chain) -> None:
    await world.phases({"first": Phase.SHADOW, "second": Phase.LEGACY, "third": Phase.LEGACY})
    await world.send(1)
    await ended(
        world,
        {
            ("first", "legacy", "real"): 1,
            ("first", "candidate", "none"): 1,
            ("second", "legacy", "real"): 1,
            ("third", "legacy", "real"): 1,
        },
    )
    assert world.candidate_runs() == {"first": 1}
    assert await world.verdicts() == {("first", "match"): 1}


async def test_a_delayed_child_is_compared_by_its_time_and_awaited_until_it(world: Chain) -> None:
    await world.phases(ALL)
    world.delay = timedelta(seconds=3)
    await world.send(1)
    await world.settled(6)
    assert await world.verdicts() == {(task, "match"): 1 for task in EVENTS}, await world.differences()
    rows = await world.rows(
        "SELECT pair.deadline_at - event.scheduled_at >= interval '60 seconds', event.scheduled_at > event.accepted_at"
        " FROM pairs AS pair JOIN events AS event ON event.id = pair.event_id WHERE pair.task = 'second'"
    )
    assert rows == [(True, True)]


async def test_an_emission_that_one_side_lacks_is_found_with_its_parent(world: Chain) -> None:
    world.faults.add("candidate first stays silent")
    await world.phases({"first": Phase.SHADOW, "second": Phase.LEGACY, "third": Phase.LEGACY})
    await world.send(1)
    await ended(
        world,
        {
            ("first", "legacy", "real"): 1,
            ("first", "candidate", "none"): 1,
            ("second", "legacy", "real"): 1,
            ("third", "legacy", "real"): 1,
        },
    )
    assert await world.verdicts() == {("first", "mismatch"): 1}
    ((task, kind, path, _sentence),) = await world.differences()
    assert (task, kind) == ("first", "effect.missing"), path


async def test_every_emission_is_one_effect_of_the_run_that_made_it(world: Chain) -> None:
    await world.phases(ALL)
    await world.send(1)
    await world.settled(6)
    rows = await world.rows(
        "SELECT run.task, effect.side, effect.operation, effect.seen_by, effect.attributed_by, count(*)"
        " FROM effects AS effect JOIN runs AS run ON run.id = effect.run_id WHERE effect.kind = 'event'"
        " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2"
    )
    assert rows == [
        ("first", "candidate", "chain/second", "door", "headers", 1),
        ("first", "legacy", "chain/second", "door", "parent", 1),
        ("second", "candidate", "chain/third", "door", "headers", 1),
        ("second", "legacy", "chain/third", "door", "parent", 1),
    ]


async def test_a_call_with_the_apps_own_key_from_inside_a_task_is_not_mirrored(world: Chain) -> None:
    """A worker and its app may share a key; the SDK says inside a task that it is there."""
    await world.phases(ALL)
    await world.send(7, event="chain/third")
    await world.settled(2)
    run = next(run.id for run in world.trigger.runs() if run.task == "third")
    answer = await world.client.post(
        "/e/app-key", json={"name": "chain/third", "data": {"order": 8}}, headers={"x-shadow-run": run}
    )
    assert answer.status_code == 200
    await asyncio.sleep(2)
    assert await world.authorities() == {("third", "legacy", "real"): 2, ("third", "candidate", "none"): 1}


@pytest.mark.parametrize(
    "marks", [{"x-shadow-run": "run_of_nobody"}, {"x-shadow-event": "nobodys", "x-shadow-task": "second"}]
)
async def test_a_producers_key_in_the_hands_of_a_run_that_nobody_knows_is_to_come_again(
    world: Chain, marks: dict[str, str]
) -> None:
    await world.phases(ALL)
    answer = await world.client.post("/e/app-key", json={"name": "chain/third", "data": {}}, headers=marks)
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert "retry-after" in answer.headers
    assert await world.rows("SELECT id FROM events") == []


async def test_a_run_that_becomes_known_while_its_event_waits_is_its_parent(world: Chain) -> None:
    """Its worker was quicker than the answer that named it."""
    await world.phases(ALL)
    await world.send(7, event="chain/third")
    await world.settled(2)
    ((name, run),) = await world.rows("SELECT platform_run_id, id FROM runs WHERE side = 'candidate'")
    await world.rows("DELETE FROM run_aliases WHERE run_id = %s RETURNING run_id", run)
    sending = asyncio.create_task(
        world.client.post(
            "/e/app-key", json={"name": "chain/third", "data": {"order": 8}}, headers={"x-shadow-run": name}
        )
    )
    await asyncio.sleep(0.5)
    await world.rows(
        "INSERT INTO run_aliases VALUES ('inngest', %s, %s) ON CONFLICT DO NOTHING RETURNING run_id", name, run
    )  # a late poll may have been quicker
    assert (await sending).status_code == 200
    assert await world.rows("SELECT origin, authority FROM events ORDER BY id DESC LIMIT 1") == [("candidate", None)]


async def test_a_bridged_call_is_answered_as_a_run_and_a_waiting_one_is_refused(world: Chain) -> None:
    await world.phases({"first": Phase.LEGACY, "second": Phase.LIVE, "third": Phase.LIVE})
    world.faults.add("legacy first stays silent")
    await world.send(1)
    await world.settled(1)
    parent = world.trigger.runs()[0].id

    async def call(**options: Any) -> Any:
        return await world.client.post(
            "/api/v1/tasks/third/trigger",
            json={"payload": {"order": 1}, "options": {"parentRunId": parent, **options}},
            headers={"authorization": f"Bearer {WORKER}"},
        )

    answer = await call()
    assert answer.status_code == 200
    assert answer.json()["id"].startswith("run_")
    assert answer.json()["isCached"] is False
    assert f"read:runs:{answer.json()['id']}" in answer.headers["x-trigger-jwt-claims"]
    await world.settled(2)
    assert (await world.authorities())["third", "candidate", "real"] == 1
    read = await world.client.get(f"/api/v3/runs/{answer.json()['id']}", headers={"authorization": f"Bearer {WORKER}"})
    assert (read.json()["status"], read.json()["isCompleted"]) == ("COMPLETED", True)
    assert read.json()["output"] == {"order": 1}  # of the candidate's run, as its platform has it
    # Its result could not be given to a run of Trigger.dev.
    refused = await call(resumeParentOnCompletion=True)
    assert refused.status_code == 503
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("legacy", "candidate"), [("straight", "door"), ("door", "straight")])
async def test_a_straight_child_whose_task_stands_elsewhere_goes_there_and_has_no_authority_here(
    database: Database, tmp_path: Path, legacy: Way, candidate: Way
) -> None:
    async with chain(database, tmp_path, legacy=legacy, candidate=candidate) as world:
        own, other = ("legacy", "candidate") if legacy == "straight" else ("candidate", "legacy")
        here, there = (Phase.LEGACY, Phase.LIVE) if own == "legacy" else (Phase.LIVE, Phase.LEGACY)
        await world.phases({"first": here, "second": there, "third": there})
        world.faults |= {"legacy second stays silent", "candidate second stays silent"}
        await world.send(1)
        await ended(
            world,
            {
                ("first", own, "real"): 1,
                ("second", own, "none"): 1,  # it had begun there
                ("second", other, "real"): 1,
            },
        )


async def eventually(world: Chain, query: str, expected: list[tuple[Any, ...]], within: float = 30) -> None:
    try:
        async with asyncio.timeout(within):
            while True:
                if await world.rows(query) == expected:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"expected {expected}, found {await world.rows(query)}; {await world.state()}") from None


async def test_a_child_without_authority_starts_when_its_twin_has_settled(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path, sequence="after") as world:
        world.faults |= {"legacy second takes long", "candidate second stays silent", "legacy second stays silent"}
        await world.phases(ALL)
        await world.send(1)
        waiting = (
            "SELECT event.name, event.origin, dispatch.side, dispatch.state FROM dispatches AS dispatch"
            " JOIN events AS event ON event.id = dispatch.event_id WHERE event.parent_run IS NOT NULL"
        )
        await eventually(world, waiting, [("chain/second", "candidate", "candidate", "sequenced")])
        assert world.candidate_runs() == {"first": 1}
        world.gate.set()
        await world.settled(4)
        assert await world.verdicts() == {("first", "match"): 1, ("second", "match"): 1}, await world.differences()
        ((after,),) = await world.rows(
            "SELECT candidate.started_at >= legacy.finished_at + interval '200 milliseconds' FROM runs AS candidate"
            " JOIN runs AS legacy ON legacy.pair_id = candidate.pair_id AND legacy.side = 'legacy'"
            " WHERE candidate.task = 'second' AND candidate.side = 'candidate'"
        )
        assert after is True


async def test_a_child_whose_twin_nobody_emits_waits_for_their_parents_only(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path, sequence="after") as world:
        world.faults |= {"legacy first stays silent", "candidate second stays silent"}
        await world.phases(ALL)
        await world.send(1)
        await eventually(
            world,
            "SELECT task, side, authority, world FROM runs WHERE task = 'second' AND state = 'finished'",
            [("second", "candidate", "none", None)],  # not `late`: it has waited long enough
        )


@pytest.mark.parametrize("legacy", ["door", "straight"])
async def test_an_invoked_child_is_the_twin_of_the_one_that_legacy_triggers(
    database: Database, tmp_path: Path, legacy: Way
) -> None:
    """The platform tells whose it is, before it has ended: what it emits itself has its place too."""
    async with chain(database, tmp_path, legacy=legacy) as world:
        world.invokes = True
        await world.phases(ALL)
        await world.send(1)
        await ended(
            world,
            {
                **{(task, "legacy", "real"): 1 for task in EVENTS},
                **{(task, "candidate", "none"): 1 for task in EVENTS},
            },
        )
        assert await world.verdicts() == {(task, "match"): 1 for task in EVENTS}, await world.differences()
        rows = await world.rows(
            "SELECT effect.operation, run.task FROM effects AS effect JOIN runs AS run ON run.id = effect.run_id"
            " WHERE effect.side = 'candidate' ORDER BY effect.operation"
        )
        assert rows == [("chain/second", "first"), ("chain/third", "second")]


async def test_an_invoked_child_whose_task_stands_elsewhere_goes_there_and_has_no_authority_here(world: Chain) -> None:
    world.invokes = True
    world.faults |= {"legacy second stays silent", "candidate second stays silent"}
    await world.phases({"first": Phase.LIVE, "second": Phase.LEGACY, "third": Phase.LEGACY})
    await world.send(1)
    await ended(
        world,
        {
            ("first", "candidate", "real"): 1,
            ("second", "candidate", "none"): 1,  # it had begun there
            ("second", "legacy", "real"): 1,
        },
    )


async def test_what_somebody_invokes_from_outside_is_nobodys(world: Chain) -> None:
    await world.phases(ALL)
    async with httpx.AsyncClient(base_url=world.platform) as client:
        answer = await client.post("/invoke/chain-third", json={"data": {"order": 1}})
    assert answer.status_code == 200
    await world.settled(1)
    assert await world.rows("SELECT task, authority, event_id FROM runs") == [("third", "none", None)]


async def test_a_rerun_that_calls_before_the_first_run_is_named_has_not_its_authority(world: Chain) -> None:
    """Its name says that it was made well after its event; the platform says that it was not the first."""
    world.faults.add("candidate second stays silent")
    await world.phases({"first": Phase.LEGACY, "second": Phase.LIVE, "third": Phase.LEGACY})
    await world.send(1, event="chain/second")
    await world.settled(1)
    ((name, run, event),) = await world.rows(
        "SELECT run.platform_run_id, run.id, event.delivery_id FROM runs AS run JOIN events AS event"
        " ON event.id = run.event_id WHERE run.task = 'second' AND event_id IS NOT NULL"
    )
    await asyncio.sleep(2.5)  # as far from its event as a rerun is
    async with httpx.AsyncClient(base_url=world.platform) as client:
        again = (await client.post(f"/v2/runs/{name}/rerun")).json()["data"]["runId"]
    await world.settled(2)
    await world.rows("UPDATE runs SET platform_run_id = NULL WHERE id = %s RETURNING id", run)
    await world.rows("DELETE FROM run_aliases WHERE alias = ANY(%s) RETURNING alias", [name, again])

    async def emit(run: str, order: int) -> tuple[Any, ...]:
        headers = {"x-shadow-run": run, "x-shadow-task": "second", "x-shadow-event": event}
        body = {"name": "chain/third", "data": {"order": order}}
        assert (await world.client.post("/e/candidate-key", json=body, headers=headers)).status_code == 200
        rows = await world.rows("SELECT parent_run, authority FROM events WHERE name = 'chain/third' ORDER BY id DESC")
        return rows[0]

    assert await emit(again, 2) == (None, None)
    assert await emit(name, 3) == (run, "legacy")  # the first itself is known by now, and bridges

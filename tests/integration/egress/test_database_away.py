"""While the database is away: real calls go on, what they did is spooled, and nothing more is let through."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from typing import Any

import orjson
import psycopg
import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.egress import journal
from shadow.egress.old_spool import take_over
from shadow.egress.runs import KnownRun
from shadow.model.ids import new_id
from tests.integration.egress.world import World, outage, until

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE


@pytest.fixture
def server_url(postgres_url: str) -> str:
    return postgres_url


async def back(world: World) -> None:
    """Wait until the gateway has noticed, and written its spool down."""

    async def done() -> bool:
        return not world.gateway.journal.away and not list(world.replay.spool.folder.glob("*.sqlite"))

    await until(done)


async def test_a_known_run_goes_on_and_is_written_down_afterwards(world: World, server_url: str) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_0"})
    async with outage(server_url):
        answers = [await twins.call(LEGACY, json={"requestId": f"wd_{number}"}) for number in (1, 2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert list(world.replay.spool.folder.glob("*.sqlite"))
    await back(world)
    assert [row[2:] for row in await world.effects()] == [("forward", 201, f"wd_{number}") for number in (0, 1, 2)]
    await twins.finish(LEGACY)
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_2"})).json() == answers[1].json()
    assert await world.rows("SELECT kind FROM incidents") == []


def full(_items: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def test_what_neither_database_nor_disk_takes_is_to_come_again(
    world: World, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_0"})
    reached = len(world.books.calls)
    async with outage(server_url):
        monkeypatch.setattr(world.replay.spool, "_add", full)
        answer = await twins.call(LEGACY, json={"requestId": "wd_1"})
        monkeypatch.undo()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["detail"].endswith("the call was not let through")
    assert len(world.books.calls) == reached
    await back(world)


async def test_what_was_done_already_waits_in_memory_until_either_takes_it(
    world: World, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read is written down with its answer, which the worker gets; its twin gets the same one, and not before."""
    twins = await world.twins()
    assert (await twins.call(LEGACY, "GET", "pay/v1/transfers/1")).status_code == 200
    async with outage(server_url):
        monkeypatch.setattr(world.replay.spool, "_add", full)
        read = await twins.call(LEGACY, "GET", "pay/v1/transfers/2")
        assert read.status_code == 200
        monkeypatch.undo()
    monkeypatch.setattr(journal, "CATCH_UP_SECONDS", 0.0)
    await back(world)
    await until(lambda: _all_written(world, 2))
    await until(lambda: _caught_up(world))
    await twins.finish(LEGACY)
    assert (await twins.call(CANDIDATE, "GET", "pay/v1/transfers/2")).content == read.content


async def test_what_waits_in_memory_is_bounded_and_written_at_the_end(
    world: World, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = await world.twins()
    assert (await twins.call(LEGACY, "GET", "pay/v1/transfers/1")).status_code == 200
    monkeypatch.setattr(world.gateway.journal, "_every", 3600.0)
    async with outage(server_url):
        monkeypatch.setattr(world.replay.spool, "_add", full)
        assert (await twins.call(LEGACY, "GET", "pay/v1/transfers/2")).status_code == 200
        monkeypatch.setattr(journal, "_LATE_BYTES", 0)
        assert (await twins.call(LEGACY, "GET", "pay/v1/transfers/3")).status_code == 200
        monkeypatch.undo()
    assert world.gateway.journal.catches_up
    await world.gateway.journal.stop()
    await back(world)
    await until(lambda: _all_written(world, 2))


async def _all_written(world: World, number: int) -> bool:
    return len(await world.effects()) == number


async def _caught_up(world: World) -> bool:
    return not world.gateway.journal.catches_up


async def test_an_unknown_legacy_run_goes_through_while_legacy_has_authority_for_the_route(
    world: World, server_url: str
) -> None:
    twins, other = await world.twins(), await world.twins()
    async with outage(server_url):
        assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 201
        world.routing.phase = Phase.LIVE
        assert (await other.call(LEGACY, json={"requestId": "wd_2"})).status_code == 503
        assert (await twins.call(LEGACY, json={}, headers={"x-shadow-task": "nothing"})).status_code == 503
    await back(world)
    assert len(world.books.calls) == 1
    rows = await world.rows("SELECT platform_run_id, disposition, status FROM effects ORDER BY sequence")
    assert rows[0] == (f"run_{twins.delivery}", "forward", 201)
    assert [row[1] for row in rows[1:]] == ["refuse", "refuse"]


async def test_that_it_should_not_have_gone_through_is_found_when_the_database_is_back(
    world: World, server_url: str
) -> None:
    await world.gateway.contained_legacy.stop()  # so that the gateway has not read of that run
    twins = await world.twins(real=CANDIDATE)
    async with outage(server_url):
        assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 201
    await back(world)
    await until(lambda: world.rows("SELECT kind FROM incidents"))
    assert await world.rows("SELECT kind, run_id FROM incidents") == [("leak", twins.run(LEGACY))]


@pytest.mark.parametrize(("moved_to", "kinds"), [(Phase.LIVE, ["stale_decision"]), (Phase.SHADOW, [])])
async def test_a_decision_that_no_longer_held_is_an_incident_when_the_database_is_back(
    world: World, server_url: str, moved_to: Phase, kinds: list[str]
) -> None:
    """The route was moved by another process, of which this one could not know: its routing still says shadow."""
    await world.execute(
        "INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, effective_at)"
        " VALUES (%s, 'payout', '{payout}', 'shadow', %s, 'ada', 'go', false, now())",
        new_id(),
        moved_to.value,
    )
    nobodys = {"x-shadow-run": "run_of_nobody", "x-shadow-task": "payout"}
    key = {"authorization": f"Bearer {world.keys[LEGACY]}"}
    async with outage(server_url):
        answer = await world.client.post("/egress/pay/v1/transfers", json={"requestId": "wd_1"}, headers=nobodys | key)
        assert answer.status_code == 201
    await back(world)
    await until(lambda: world.rows("SELECT FROM effects WHERE disposition = 'forward'"))
    await world.replay.once()
    found = await world.rows("SELECT kind, task, side, operation FROM incidents")
    assert found == [(kind, "payout", "legacy", "POST /v1/transfers") for kind in kinds]


async def test_no_unknown_run_goes_through_while_legacy_runs_without_authority_are_under_way(
    world: World, server_url: str
) -> None:
    """It may be one of them: legacy against legacy, or a child of such a run."""
    contained, other = await world.twins(real=CANDIDATE), await world.twins()
    known = await world.twins()
    await known.call(LEGACY, json={"requestId": "wd_0"})
    await world.gateway.contained_legacy.refresh()
    async with outage(server_url):
        for twins in (contained, other):
            assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 503
        assert (await known.call(LEGACY, json={"requestId": "wd_2"})).status_code == 201
    await back(world)
    assert len(world.books.calls) == 2
    assert await world.rows("SELECT kind FROM incidents") == []


async def test_one_that_is_accepted_but_not_started_counts_as_under_way(world: World) -> None:
    contained = world.gateway.contained_legacy
    event = (await world.twins(real=None)).event
    await world.execute("DELETE FROM runs")
    await contained.refresh()
    assert not contained.under_way
    await world.execute(
        "INSERT INTO dispatches (id, event_id, side, platform, task) VALUES (%s, %s, 'legacy', 'trigger', 'payout')",
        event,
        event,
    )
    await contained.refresh()
    assert contained.under_way


async def test_a_failure_that_has_passed_makes_no_run_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look fails, and the database is there: it is asked again before anybody is let through."""
    twins = await world.twins(real=CANDIDATE)

    async def fails(*_arguments: object) -> None:
        raise psycopg.OperationalError("once")

    monkeypatch.setattr(world.gateway.runs, "find", fails)
    answer = await twins.call(LEGACY, json={"requestId": "wd_1"})
    assert answer.headers["x-shadow-gateway"] in ("stub", "refused")
    assert world.books.calls == []


async def test_a_run_that_the_database_does_not_know_yet_is_waited_for_once_it_answers(world: World) -> None:
    """It is thought to be away until it is looked again, but it answers: the platform says whose the call is."""
    world.gateway.journal._every = 3600.0
    world.gateway.journal.found_away()
    world.trigger["run_own"] = {"id": "run_own", "taskIdentifier": "process-payout", "status": "EXECUTING"}
    headers = {"x-shadow-key": world.keys[LEGACY], "x-shadow-run": "run_own", "x-shadow-task": "process-payout"}
    answer = await world.client.post("/egress/pay/v1/refunds", headers=headers, json={"requestId": "a"})
    assert answer.status_code == 201
    foreign = await world.client.post(
        "/egress/pay/v1/refunds", headers={**headers, "x-shadow-run": "run_of_nobody"}, json={"requestId": "a"}
    )
    assert foreign.status_code == 503
    assert len(world.books.calls) == 1


async def test_so_is_one_of_which_the_first_look_met_a_connection_that_broke(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is back, and what started the run is about to be written down."""
    twins, find = await world.twins(), world.gateway.runs.find
    (name,) = await world.rows("DELETE FROM run_aliases RETURNING platform, alias, run_id")
    await world.execute("UPDATE runs SET platform_run_id = NULL")
    looks: list[None] = []

    async def fails_once(*asked: Any) -> KnownRun:
        looks.append(None)
        if len(looks) == 1:
            raise psycopg.OperationalError("the connection broke")
        await world.execute("INSERT INTO run_aliases VALUES (%s, %s, %s)", *name)
        return await find(*asked)

    monkeypatch.setattr(world.gateway.runs, "find", fails_once)
    assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 201
    assert len(looks) == 2


async def test_the_candidate_is_refused_or_asked_to_come_back(world: World, server_url: str) -> None:
    twins, known = await world.twins(), await world.twins()
    await known.call(LEGACY, json={"requestId": "wd_1"})
    await known.finish(LEGACY)
    assert (await known.call(CANDIDATE, json={"requestId": "wd_1"})).status_code == 201
    world.books.calls.clear()
    async with outage(server_url):
        assert (await twins.call(CANDIDATE, json={"requestId": "a"})).status_code == 503
        waits = await twins.call(CANDIDATE, json={"requestId": "a"}, headers={"x-shadow-accepts": "wait"})
        assert (waits.status_code, waits.headers["x-shadow-gateway"]) == (425, "wait")
        # of a run that is known the twin's answers can't be read: the stub, and the pair says so
        stubbed = await known.call(CANDIDATE, json={"requestId": "wd_2"})
        assert stubbed.headers["x-shadow-gateway"] == "stub"
        again = await known.call(CANDIDATE, json={"requestId": "wd_2"}, headers={"x-shadow-accepts": "wait"})
        assert again.status_code == 425
    await back(world)
    assert world.books.calls == []
    assert await world.rows("SELECT incomparable FROM pairs WHERE id = %s", known.pair) == [
        ("database_away: the twin's answers could not be read",)
    ]


async def test_what_an_earlier_version_spooled_is_written_down(world: World, server_url: str) -> None:
    """In lines of a file; the last one was cut off when its process was killed."""
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_0"})
    await world.replay.stop()
    async with outage(server_url):
        await twins.call(LEGACY, json={"requestId": "wd_1"})
    spool, vault = world.replay.spool, world.database.vault
    (own,) = await asyncio.to_thread(spool.files)
    lines = b""
    for kind in ("call", "answered"):
        for item in own.oldest(kind, 10, 1 << 20):
            fields = orjson.loads(vault.unlock(item.body))
            lines += base64.b64encode(vault.lock(orjson.dumps({"line": kind, **fields}))) + b"\n"
            own.remove([item])
    left = spool.folder / "egress-99999999-dead-000000.jsonl.open"
    left.write_bytes(lines + b"c2VhbGVk")

    async def present() -> bool:
        return not world.gateway.journal.away

    await until(present)
    assert await take_over(spool.folder, vault, spool) == 2
    await world.replay.once()
    assert [row[2:] for row in await world.effects()] == [("forward", 201, "wd_0"), ("forward", 201, "wd_1")]
    assert [path.suffix for path in spool.folder.iterdir()] == [".unreadable"]


async def test_an_unknown_legacy_run_stays_here_while_its_route_ramps(world: World, server_url: str) -> None:
    """It may be of a key that has gone over to the candidate."""
    twins = await world.twins()
    world.routing.phase = Phase.RAMP
    async with outage(server_url):
        assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 503
    await back(world)
    assert world.books.calls == []

"""Three processes that serve and three that work share a database: each pair is judged once, each knows the moves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shadow.cutover.moves import LEAD
from shadow.demo import run
from shadow.demo.run import Cast, Options, cast
from shadow.store.database import Database, Work
from tests.acceptance.fleet import EACH, FleetProcess
from tests.acceptance.test_kill import Silent, second_runs

pytestmark = pytest.mark.slow

OPTIONS = Options(faults=(), seed=11, scale=24)
_COUNTED = """
SELECT (SELECT count(*) FROM pairs WHERE verdict IS NOT NULL),
       (SELECT sum(match + mismatch + missing_candidate + missing_legacy + not_comparable + allowed)::int FROM tallies),
       (SELECT count(*) FROM pairs), (SELECT sum(opened)::int FROM tallies)
"""
_TWICE = """
SELECT count(*) FROM (SELECT task, number FROM epochs GROUP BY task, number HAVING count(*) > 1) AS twice
"""


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    database = Database(url)
    try:
        async with database.connection(Work.CONTROL) as connection:
            return list(await (await connection.execute(statement.encode())).fetchall())
    finally:
        await database.close()


async def phases(client: httpx.AsyncClient, port: int) -> dict[str, str]:
    answer = await client.get(f"http://127.0.0.1:{port}/v1/phases")
    assert answer.status_code == 200, answer.text
    return {route["route"]: route["phase"] for route in answer.json()["items"]}


async def moved(players: Cast, fleet: FleetProcess) -> None:
    """A move that is made at one is seen by all, and decides what each of them accepts."""
    async with httpx.AsyncClient(timeout=30, headers={"Authorization": f"Bearer {players.token}"}) as client:
        (task, event), *_ = await rows(
            players.database_url,
            "SELECT pairs.task, name FROM pairs JOIN events ON events.id = event_id"
            " WHERE source = 'app-inngest' LIMIT 1",
        ) or [("", "")]
        assert task, "the demo has a task that the app's events start"
        route = {"phase": "legacy", "reason": "for the day"}
        answer = await client.post(f"http://127.0.0.1:{fleet.controls[0]}/v1/phases/{task}", json=route)
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(LEAD.total_seconds() + 1.5)
        assert await fleet.away() == "", "a process that is told to stop closes its front first, and its control last"
        seen = [await phases(client, port) for port in fleet.controls]
        assert seen[1:] == seen[:-1]
        for number, port in enumerate(fleet.fronts):
            sent = {"name": event, "id": f"after-{number}", "data": {"tenantId": "nobody"}}
            answer = await client.post(f"http://127.0.0.1:{port}/e/{players.keys.event_app}", json=sent)
            assert answer.status_code == 200, answer.text
        after = await rows(players.database_url, "SELECT phase FROM events WHERE external_id LIKE 'after-%'")
        assert after == [("legacy",)] * EACH
        gates = []
        for port in fleet.controls:
            said = (await client.get(f"http://127.0.0.1:{port}/v1/gates/{task}")).json()
            gates.append((said["open"], said["phase"], said["epoch_number"], said["blockers"]))
        assert gates[1:] == gates[:-1]


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "through pgbouncer"])
async def test_any_number_of_processes_shares_one_database(pooled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetProcess, "pooled", pooled)
    monkeypatch.setattr(run, "ServiceProcess", FleetProcess)
    async with cast(OPTIONS, Silent()) as players:
        fleet: Any = players.service
        sent = await players.produce(players.plan, Silent())
        assert all(action.acknowledged for action in sent)
        assert await fleet.away() == ""
        findings = await players.findings(players.plan, Silent())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            books: dict[str, Any] = (await client.get(f"{players.stage.urls.app}/books")).json()
            served = [
                (await client.get(f"http://127.0.0.1:{port}/metrics")).text.count("shadow_accept_seconds_count")
                for port in fleet.controls
            ]
        assert await fleet.away() == ""
        (counted,) = await rows(players.database_url, _COUNTED)
        assert await rows(players.database_url, _TWICE) == [(0,)]
        await moved(players, fleet)

    assert {task: found.pairs for task, found in findings.tasks.items()} == players.plan.expected()
    assert {task: found.pending for task, found in findings.tasks.items()} == dict.fromkeys(findings.tasks, 0)
    assert {task: found.missing for task, found in findings.tasks.items()} == dict.fromkeys(findings.tasks, 0)
    assert sum(found.match for found in findings.tasks.values()) == sum(players.plan.expected().values())
    assert second_runs(books) == []
    assert findings.leaks == 0
    judged, tallied, pairs, opened = counted
    assert (judged, pairs) == (tallied, opened), "every pair was counted once"
    assert len(served) == EACH

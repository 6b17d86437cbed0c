"""A fault that sets in at ramp 50 % moves the route back by itself, within ten seconds, and everybody can see why."""

from __future__ import annotations

import asyncio
import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.commerce.plan import SendEvents
from sandbox.commerce.producers import Producers
from shadow.demo.run import Cast, Options, cast
from shadow.store.database import Database, Work
from tests.integration.fanout.serving import until

pytestmark = pytest.mark.slow

TASK = "process-attribution"
FAULT = "attribution-missing-ga4"
WITHIN = timedelta(seconds=10)
EVERY_SECONDS = 0.25
WARM = 12
"""Events before the fault sets in."""


class Silent:
    """A progress that nobody watches."""

    def stage(self, text: str) -> None: ...

    def sent(self, done: int, total: int) -> None: ...

    def judged(self, done: int, total: int) -> None: ...


class Load:
    """Conversions, one after another, for as long as it is entered."""

    def __init__(self, players: Cast) -> None:
        events = [
            event
            for action in players.plan.actions
            if isinstance(action, SendEvents)
            for event in action.events
            if event["name"] == "attribution/conversion"
        ]
        self.tenants = sorted({event["data"]["tenantId"] for event in events})
        self._events = [{**event, "id": f"{event['id']}-{turn}"} for turn in range(20) for event in events]
        self._producers = Producers(players.service.front_url, players.keys)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._producers.close()

    async def _run(self) -> None:
        for event in itertools.cycle(self._events):
            await self._producers.send(SendEvents((event,)))
            await asyncio.sleep(EVERY_SECONDS)


async def moves(control: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Of the task's route, newest first."""
    found: list[dict[str, Any]] = (await control.get("/v1/moves", params={"task": TASK})).json()["items"]
    return found


async def clean_pairs(control: httpx.AsyncClient) -> int:
    counts = (await control.get(f"/v1/tasks/{TASK}")).json()["counts"]
    assert counts["mismatch"] == 0
    return int(counts["match"])


async def first_mismatch(database_url: str) -> datetime:
    """When the first verdict was written that speaks of the fault."""
    database = Database(database_url)
    try:
        async with database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(
                "SELECT min(judged_at) FROM pairs WHERE task = %s AND verdict = 'mismatch'", (TASK,)
            )
            row = await cursor.fetchone()
    finally:
        await database.close()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


async def audit_page(control: httpx.AsyncClient, token: str) -> str:
    """The page of the audit, as somebody who has signed in sees it."""
    signed_in = await control.post("/pages/sign-in", data={"token": token, "next": "/pages/audit"})
    assert signed_in.status_code == 303
    page = await control.get("/pages/audit", params={"task": TASK})
    assert page.status_code == 200
    return page.text


async def test_a_fault_at_ramp_50_moves_the_route_back_by_itself_and_says_why() -> None:
    async with cast(Options(faults=(), seed=5, scale=40, prove=False), Silent()) as players:
        headers = {"Authorization": f"Bearer {players.token}"}
        async with (
            httpx.AsyncClient(base_url=players.service.control_url, headers=headers, trust_env=False) as control,
            Load(players) as load,
        ):
            # Both sides of the ramp have a tenant, wherever their keys lie.
            wanted = {
                "phase": "ramp",
                "share": 50,
                "allow": load.tenants[:1],
                "deny": load.tenants[1:2],
                "reason": "half of the tenants",
                "force": True,
            }
            assert (await control.post(f"/v1/phases/{TASK}", json=wanted)).status_code == 200
            await until(lambda: _enough(control), within=60, every=0.3)
            async with httpx.AsyncClient(trust_env=False) as stage:
                switched = await stage.post(f"{players.stage.urls.app}/faults", json={"names": [FAULT]})
            switched_at = datetime.now(UTC)
            assert switched.json() == {"faults": {TASK: [FAULT]}}
            await until(lambda: _moved_back(control), within=60, every=0.2)
            move, before = (await moves(control))[:2]
            assert (before["to_phase"], before["to_share"]) == ("ramp", 50)
            assert (move["from_phase"], move["to_phase"], move["to_share"]) == ("ramp", "shadow", 0)
            assert (move["actor"], move["cause"], move["forced"]) == ("shadow", "automatic", False)
            holds_at = datetime.fromisoformat(move["effective_at"])
            seen_at = await first_mismatch(players.database_url)
            assert holds_at - seen_at <= WITHIN
            assert holds_at - switched_at <= WITHIN  # with the first event's own runs, and their settling

            # why: in the audit, on the page, in the metric and in what people are told
            reason = move["reason"]
            assert reason.startswith(f"by itself: {TASK} has ")
            pair = re.search(r"pair ([0-9a-f-]{36}), signature (s1-\w+): ", reason)
            assert pair is not None
            detail = (await control.get(f"/v1/pairs/{pair[1]}")).json()
            assert (detail["task"], detail["verdict"], detail["severity"]) == (TASK, "mismatch", "critical")
            assert pair[2] in {difference["signature"] for difference in detail["differences"]}
            assert "ga4" in reason
            figures = (await control.get("/metrics/parity")).text
            assert f'shadow_automatic_moves{{task="{TASK}"}} 1.0' in figures
            notices = (await control.get("/v1/notices", params={"kind": "moved_back"})).json()["items"]
            assert [notice["facts"]["reason"] for notice in notices] == [reason]
            page = await audit_page(control, players.token)
            assert pair[1] in page
            assert "by itself" in page
            assert f'shadow_leaks{{task="{TASK}"}} 0.0' in figures
            # and it stays back
            assert (await moves(control))[0]["id"] == move["id"]


async def _enough(control: httpx.AsyncClient) -> bool:
    return await clean_pairs(control) >= WARM


async def _moved_back(control: httpx.AsyncClient) -> bool:
    newest: str = (await moves(control))[0]["cause"]
    return newest == "automatic"

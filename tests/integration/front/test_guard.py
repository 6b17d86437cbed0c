"""Guards of workers report with their side's keys; hosts that were met become incidents, secrets are never seen."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.front.reports import PREFIX, worker_app
from shadow.capture import Capture, HostDenied
from shadow.catalogue.model import Side
from shadow.containment.fingerprints import fingerprint, fingerprint_key
from shadow.containment.guard_reports import GuardReport, newest_report, reports_since
from shadow.model.ids import new_id
from shadow.store.database import Work
from tests.integration.fanout.serving import served
from tests.integration.fanout.stage import StageSet, stage
from tests.integration.outcomes.test_record import opened

CONDUCT = {"version": "v7", "gateway": "front", "denies_other_hosts": True, "allowed_hosts": ["inn.gs"]}
CANDIDATE = {"authorization": "Bearer candidate-reports"}


@pytest.fixture
async def world(database: Any) -> AsyncIterator[StageSet]:
    async with stage(database) as ready:
        yield ready


@pytest.fixture
async def url(world: StageSet) -> AsyncIterator[str]:
    app = FastAPI()
    app.mount(PREFIX, worker_app(world.catalogue, world.database))
    async with served(app) as address:
        yield address


@pytest.fixture
async def front(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


async def newest(world: StageSet, side: Side = Side.CANDIDATE, task: str = "welcome") -> GuardReport | None:
    async with world.database.connection(Work.CONTROL) as connection:
        return await newest_report(connection, side, task)


async def egress_key(world: StageSet, side: str, **more: str) -> dict[str, str]:
    key = f"shk_{new_id()}"
    columns = "".join(f", {name}" for name in more)
    values = "".join(f", {value}" for value in more.values())
    async with world.database.connection(Work.CONTROL) as connection:
        await connection.execute(
            f"INSERT INTO egress_keys (id, side, name, digest{columns}) VALUES (%s, %s, 'k', %s{values})".encode(),
            (new_id(), side, hashlib.sha256(key.encode()).digest()),
        )
    return {"authorization": f"Bearer {key}"}


async def test_a_report_is_kept_for_the_side_of_its_key(world: StageSet, front: httpx.AsyncClient) -> None:
    answer = await front.post("/shadow/guard", json={**CONDUCT, "fingerprints": ["aa"]}, headers=CANDIDATE)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "incidents": 0})
    kept = await newest(world)
    assert kept is not None
    assert (kept.version, kept.denies, kept.allowed, set(kept.fingerprints)) == ("v7", True, ("inn.gs",), {"aa"})
    assert await newest(world, Side.LEGACY) is None


async def test_an_egress_key_will_do_while_it_is_valid(world: StageSet, front: httpx.AsyncClient) -> None:
    report = {**CONDUCT, "fingerprints": ["aa"]}
    assert (await front.post("/shadow/guard", json=report, headers=await egress_key(world, "legacy"))).is_success
    assert await newest(world, Side.LEGACY) is not None
    for over in ({"revoked_at": "now()"}, {"expires_at": "now() - interval '1 second'"}):
        answer = await front.post("/shadow/guard", json=report, headers=await egress_key(world, "legacy", **over))
        assert answer.status_code == 401
    assert (await front.get("/shadow/guard")).status_code == 401


async def test_hosts_that_were_met_are_incidents_and_no_report_of_secrets(
    world: StageSet, front: httpx.AsyncClient
) -> None:
    hosts = [{"host": "evil.com", "denied": True, "run": "nobody", "task": "welcome", "attempt": 1, "event": "e"}]
    answer = await front.post("/shadow/guard", json={**CONDUCT, "hosts": hosts}, headers=CANDIDATE)
    assert answer.json() == {"accepted": 1, "incidents": 1}
    rows = await world.rows("SELECT kind, task, side, run_id, detail FROM incidents")
    assert rows == [("unguarded_host", "welcome", "candidate", None, "a call to evil.com was denied")]
    assert await newest(world) is None


async def test_a_worker_that_names_its_app_speaks_for_the_tasks_of_that_app(
    world: StageSet, front: httpx.AsyncClient
) -> None:
    report = {**CONDUCT, "fingerprints": ["aa"]}
    platform = world.catalogue.tasks["welcome"].candidate.platform
    answer = await front.post("/shadow/guard", json={**report, "app": platform}, headers=CANDIDATE)
    assert answer.is_success
    kept = await newest(world)
    assert kept is not None
    theirs = frozenset(task.id for task in world.catalogue.tasks.values() if task.candidate.platform == platform)
    assert kept.tasks == theirs
    seen = await world.rows("SELECT task, side, version FROM versions_seen ORDER BY task")
    assert seen == [(task, "candidate", "v7") for task in sorted(theirs)]
    refused = await front.post("/shadow/guard", json={**report, "app": "nobody"}, headers=CANDIDATE)
    assert refused.status_code == 422
    assert f"one of {platform}" in refused.text
    assert "found 'nobody'" in refused.text


async def test_a_host_that_was_reached_shows_that_nothing_is_denied(world: StageSet, front: httpx.AsyncClient) -> None:
    hosts = [{"host": "evil.com", "denied": False}]
    await front.post("/shadow/guard", json={**CONDUCT, "hosts": hosts}, headers=CANDIDATE)
    async with world.database.connection(Work.CONTROL) as connection:
        (kept,) = await reports_since(connection, Side.CANDIDATE, "welcome", datetime.now(UTC) - timedelta(minutes=1))
    assert (kept.denies, kept.reached) == (False, ("evil.com",))
    assert await newest(world) is None  # it says nothing of secrets


async def test_an_incident_names_the_run_that_is_known(world: StageSet, front: httpx.AsyncClient) -> None:
    event = await opened(world)
    await front.post(
        "/shadow/runs",
        json={"run": "run_1", "task": "welcome", "status": "completed", "output": None, "event": "order-1"},
        headers=CANDIDATE,
    )
    hosts = [{"host": "evil.com", "denied": True, "run": "run_1", "task": "welcome"}]
    await front.post("/shadow/guard", json={**CONDUCT, "hosts": hosts}, headers=CANDIDATE)
    query = "SELECT id FROM runs WHERE event_id = %s AND side = 'candidate' AND task = 'welcome'"
    assert await world.value("SELECT run_id FROM incidents") == await world.value(query, event)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "denies_other_hosts"),
        ({**CONDUCT, "secrets": ["sk_live_1"]}, "secrets"),
        ({**CONDUCT, "fingerprints": [1]}, "fingerprints"),
        ({**CONDUCT, "hosts": [{"host": "", "denied": True}]}, "hosts"),
        ([], "body"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_kept(
    world: StageSet, front: httpx.AsyncClient, body: Any, named: str
) -> None:
    answer = await front.post("/shadow/guard", json=body, headers=CANDIDATE)
    assert answer.status_code == 422
    assert named in answer.text
    assert "sk_live_1" not in answer.text
    assert await newest(world) is None


async def test_the_python_package_shows_its_secrets_by_fingerprint_and_denies(world: StageSet, url: str) -> None:
    capture = Capture(
        url, "shk_placeholder", {"api.stripe.com": "stripe"}, report_key="candidate-reports", version="v8"
    )
    environ = {"STRIPE_KEY": "sk_live_real", "SHADOW_EGRESS_KEY": "shk_placeholder"}
    assert await asyncio.to_thread(capture.report_guard, environ)
    async with world.database.connection(Work.CONTROL) as connection:
        key = await fingerprint_key(connection)
    kept = await newest(world)
    assert kept is not None
    assert (kept.version, kept.denies, set(kept.fingerprints)) == ("v8", True, {fingerprint(key, "sk_live_real")})
    async with capture.async_client() as http:
        with pytest.raises(HostDenied):
            await http.get("https://evil.com/")
    assert await world.rows("SELECT detail FROM incidents") == [("a call to evil.com was denied",)]
    capture.close()
    await capture.aclose()

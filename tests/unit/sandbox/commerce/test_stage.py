"""The stage brings everything up, also as a process of its own, and its books tell what happened."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import inngest
import inngest.fast_api
import orjson
import pytest
from fastapi import FastAPI

from sandbox.commerce import databases
from sandbox.commerce.catalogue import TASKS
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.serving import Served
from sandbox.stage import Stage
from tests.unit.sandbox.commerce.gateway import EGRESS, Gateway, catalogue_of
from tests.unit.sandbox.commerce.rehearsal import Front, staged

DATASET = Dataset.build()
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def urls(postgres_url: str) -> Iterator[DatabaseUrls]:
    """Both sides' databases, for all stages of this module."""
    yield databases.prepare(postgres_url, DATASET.rows, DATASET.rows, prefix="stage")
    databases.drop(postgres_url, prefix="stage")


@asynccontextmanager
async def _process(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    command = (sys.executable, "-m", "sandbox", *options)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield process, orjson.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_ended(http: httpx.AsyncClient, app_url: str, side: str, run_ids: set[str]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            books: dict[str, Any] = (await http.get(f"{app_url}/books")).json()
            runs = [run for run in books["runs"][side] if run["id"] in run_ids]
            if runs and all(run.get("finished_at") or run.get("ended_at") for run in runs):
                return books
            await asyncio.sleep(0.1)


async def test_the_stage_has_all_tasks_on_both_platforms(urls: DatabaseUrls) -> None:
    async with Stage(NOWHERE, EGRESS, urls, dataset=DATASET) as stage:
        assert {function.id for function in stage.inngest.functions()} == {f"commerce-{task}" for task in TASKS}
        assert {url.partition(":")[0] for url in vars(stage.urls).values()} == {"http"}
        assert stage.books()["runs"] == {"legacy": [], "candidate": []}


async def test_urls_are_known_only_while_the_stage_is_up(urls: DatabaseUrls) -> None:
    stage = Stage(NOWHERE, EGRESS, urls, dataset=DATASET)
    with pytest.raises(RuntimeError, match="not up"):
        _ = stage.urls


async def test_follow_ups_are_made_on_both_platforms_and_wait_for_days(postgres_url: str) -> None:
    order = next(iter(DATASET.shop_orders.values()))
    data = {"orderId": str(order["id"]), "tenantId": "tenant-01"}
    async with (
        staged(postgres_url, DATASET, stumbles=0) as (stage, front),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert front.gateway is not None
        headers = {"authorization": f"Bearer {stage.keys.trigger_platform}"}
        url = f"{stage.urls.trigger}/api/v1/tasks/sync-shopify-order/trigger"
        run_id = (await http.post(url, json={"payload": data}, headers=headers)).json()["id"]
        await _until_ended(http, stage.urls.app, "legacy", {run_id})
        front.gateway.twins = {"e-1": run_id}
        event = {"name": "shopify/order.created", "id": "e-1", "data": data}
        await http.post(f"{stage.urls.inngest}/e/{stage.keys.event_platform}", json=event)
        await _until_ended(http, stage.urls.app, "candidate", {stage.inngest.runs()[0].run_id})
        (parent, child) = stage.trigger.runs()
        assert (child.task, child.parent_id, child.status) == ("send-review-email", parent.id, "DELAYED")
        follow_up = next(
            run for run in stage.books()["runs"]["candidate"] if run["event_name"] == "review/email.scheduled"
        )
        assert follow_up["status"] == "Scheduled"
        assert follow_up["data"] == child.payload
        ((of, emitted),) = front.events
        assert of == stage.inngest.runs()[0].run_id
        assert isinstance(emitted.data, dict)
        due = datetime.fromisoformat(str(emitted.data["scheduledFor"]))
        assert due == child.delay_until
        assert due - datetime.now(UTC) > timedelta(days=5)


async def test_what_nobody_let_through_does_nothing(urls: DatabaseUrls) -> None:
    """The targets' hosts do not exist, and no worker has a credential: without a gateway nothing happens at all."""
    async with Stage(NOWHERE, EGRESS, urls, dataset=DATASET) as stage, httpx.AsyncClient(trust_env=False) as http:
        transfer = {"amount": 1, "currency": "EUR", "destination": "acct-1", "reference": "r-1"}
        for key in (EGRESS.legacy, EGRESS.candidate, "none"):
            headers = {"authorization": f"Bearer {key}"}
            answer = await http.post(f"{stage.urls.targets}/swiftpay/v1/transfers", json=transfer, headers=headers)
            assert answer.status_code == 401
        assert [call.authorized for call in stage.targets.books.calls()] == [False] * 3
        assert stage.targets.books.effects() == []


async def test_another_app_is_synced_on_demand(urls: DatabaseUrls) -> None:
    keys = Keys()
    async with (
        Stage(NOWHERE, EGRESS, urls, dataset=DATASET, keys=keys) as stage,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        client = inngest.Inngest(
            app_id="watcher",
            api_base_url=stage.urls.inngest,
            event_api_base_url=stage.urls.inngest,
            event_key=keys.event_platform,
            signing_key=keys.signing_key,
        )

        @client.create_function(fn_id="finished", trigger=inngest.TriggerEvent(event="inngest/function.finished"))
        async def finished(ctx: inngest.Context) -> None:
            return None

        app = FastAPI()
        inngest.fast_api.serve(app, client, [finished])
        async with Served(app) as served:
            answer = await http.post(f"{stage.urls.app}/sync", json={"url": f"{served.url}/api/inngest"})
            assert answer.status_code == 200
            assert "watcher-finished" in answer.json()["functions"]
            gone = f"{served.url}/nothing-here"
            assert (await http.post(f"{stage.urls.app}/sync", json={"url": gone})).status_code == 502
        assert (await http.post(f"{stage.urls.app}/sync", json=["x"])).status_code == 400


def _needed(urls: DatabaseUrls, front_url: str = NOWHERE) -> tuple[str, ...]:
    """The options without which no stage starts."""
    given = {
        "front-url": front_url,
        "egress-legacy": EGRESS.legacy,
        "egress-candidate": EGRESS.candidate,
        "database-legacy": urls.legacy,
        "database-candidate": urls.candidate,
    }
    return tuple(part for name, value in given.items() for part in (f"--{name}", value))


async def test_as_a_process_it_says_where_it_is_runs_tasks_and_ends_on_sigterm(
    urls: DatabaseUrls, tmp_path: Path
) -> None:
    ports_file = tmp_path / "ports.json"
    options = ("--faults", "type-drift", "--ports-file", str(ports_file))
    front = Front()
    async with (
        Served(front.app()) as served,
        httpx.AsyncClient(trust_env=False) as http,
        _process(*options, *_needed(urls, served.url)) as (process, told),
        httpx.AsyncClient(trust_env=False, base_url=f"{told['app']}/targets") as to_targets,
    ):
        front.gateway = Gateway(catalogue_of(DATASET, Keys()).targets, to_targets)
        assert orjson.loads(ports_file.read_bytes()) == told
        assert told["faults"] == {"sync-shopify-order": ["type-drift"]}
        headers = {"authorization": f"Bearer {Keys().trigger_app}"}
        url = f"{told['trigger']}/api/v1/tasks/process-payout/trigger"
        payload = {"payload": {"requestId": "request-00001"}}
        run_id = (await http.post(url, json=payload, headers=headers)).json()["id"]
        books = await _until_ended(http, told["app"], "legacy", {run_id})
        assert [run["id"] for run in books["runs"]["legacy"]] == [run_id]
        paid = [call for call in books["targets"] if call["path"] == "/v1/transfers" and call["status"] == 201]
        assert len(paid) == 1
        assert {run for run, _at, _effect in front.rows} == {run_id}
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_as_a_process_it_ends_when_its_standard_input_does(urls: DatabaseUrls) -> None:
    async with _process(*_needed(urls)) as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_as_a_process_it_refuses_an_unknown_fault() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", *_needed(DatabaseUrls("", "")), "--faults", "paid-thrice"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"unknown fault paid-thrice" in errors

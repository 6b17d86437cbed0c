"""The client package for Node, with the official SDKs and drivers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import psycopg
import pytest

from sandbox.inngest import PretendInngest, RunStatus
from shadow.capture import fingerprints
from shadow.store import embedded
from tests.acceptance.sandbox_inngest.conftest import serving
from tests.acceptance.sdks import drive, node_server
from tests.integration.capture.conftest import Front
from tests.integration.fanout.serving import served

TARGET = "http://stripe.test"
MARK = '{"run":"run_1","task":"pay","attempt":2,"event":"evt-1"}'
WAIT = (425, {"x-shadow-gateway": "wait", "retry-after": "7"})


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made


@pytest.fixture
async def target() -> AsyncIterator[Front]:
    """The target itself, which no call may reach but those of a worker without Shadow."""
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made


def environment(front: Front, **more: str) -> dict[str, str]:
    return {
        "SHADOW_GATEWAY_URL": front.url,
        "SHADOW_EGRESS_KEY": "shk_1",
        "SHADOW_TARGETS": "stripe.test=stripe",
        "SHADOW_REPORT_KEY": "rk",
        "SHADOW_VERSION": "v7",
        "TARGET": TARGET,
        **more,
    }


def marks(headers: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("x-shadow-"): value for name, value in headers.items() if name.startswith("x-shadow-")}


HEADERS = {
    "run": "run_1",
    "task": "pay",
    "attempt": "2",
    "event": "evt-1",
    "version": "v7",
    "key": "shk_1",
    "accepts": "wait",
}


async def test_fetch_and_undici_go_through_the_gateway_or_nowhere(front: Front) -> None:
    front.answers["/egress/stripe/v1/redirect"] = (302, {"location": "http://evil.test/"})
    front.answers["/egress/stripe/v1/wait"] = WAIT
    got = await drive("capture.mjs", "capture", environment(front))
    assert (got["active"], got["sameFetch"], got["undone"]) == (True, False, True)
    assert got["call"] == got["streamed"] == got["undici"]["call"] == {"status": 200}
    calls = {path: (headers, body) for path, headers, body in front.raw}
    headers, body = calls["POST /egress/stripe/v1/transfers?a=1%2F2"]
    assert (body, headers["x-a"], headers["host"]) == (b'{"amount":5}', "b", urlsplit(front.url).netloc)
    assert marks(headers) == HEADERS
    assert calls["POST /egress/stripe/v1/streamed"][1] == b"abc"
    assert (calls["POST /egress/stripe/v1/undici"][1], marks(calls["POST /egress/stripe/v1/undici"][0])) == (
        b"abc",
        HEADERS,
    )
    # a wait is an error that Inngest's SDKs know by its name; outside of runs it is what it is
    for waited in (got["waited"], got["undici"]["waited"]):
        assert (waited["name"], waited["after"], waited["retryAfter"]) == ("RetryAfterError", 7, "7")
    assert got["outside"] == {"run": None, "waited": {"status": 425}}
    # other hosts are denied, also by way of a redirect
    for denied in (got["denied"], got["undici"]["denied"], got["redirected"]):
        assert denied["name"] == "HostDenied"
        assert "SHADOW_TARGETS=evil.test=NAME" in denied["message"]
    assert got["manual"] == {"status": 302}
    told = [orjson.loads(body) for path, _, body in front.raw if path == "POST /shadow/guard"]
    assert [host["host"] for report in told for host in report.get("hosts", [])] == ["evil.test"]
    assert told[0]["hosts"][0] | {"denied": True, "run": "run_1"} == told[0]["hosts"][0]
    # the guard's evidence
    assert got["guard"] is True
    shown = next(report for report in told if "fingerprints" in report)
    assert shown["fingerprints"] == fingerprints({"KEY": "sk_live_1"}, b"kk", ["from-a-file"])
    assert (shown["version"], shown["denies_other_hosts"], shown["allowed_hosts"]) == ("v7", True, [])
    assert {report["covers"] for report in told if "hosts" in report} == {"process"}
    assert shown["covers"] == "clients"  # by then it was undone


async def test_both_packages_take_the_same_fingerprints(front: Front) -> None:
    got = await drive("capture.mjs", "capture", environment(front))
    held = {
        "DATABASE_URL": "postgresql://app:p%40ssword@db/shop?sslpassword=hidden-1",
        "AUTH": "Bearer sk_live_1",
        "BASIC": "Basic dXNlcjpzZWNyZXQtMQ==",
        "JSON": '{"stripe": {"keys": ["sk_live_2"]}}',
        "PADDED": " sk_live_3\n",
        "WORD": "pässwörd",
    }
    assert got["fingerprints"] == fingerprints(held, b"k" * 32, ["from-a-file"])


async def test_without_a_gateway_nothing_happens_at_all(front: Front, target: Front) -> None:
    everything = environment(front, TARGET=target.url, SHADOW_GATEWAY_URL="")
    target.answers["/v1/redirect"] = (302, {"location": f"{target.url}/v1/after"})
    target.answers["/v1/wait"] = WAIT
    got = await drive("capture.mjs", "capture", everything)
    assert (got["active"], got["sameFetch"], got["guard"]) == (False, True, False)
    assert got["call"] == got["redirected"] == got["undici"]["call"] == {"status": 200}
    assert got["waited"] == got["undici"]["waited"] == {"status": 425}
    assert front.raw == []
    assert not [name for _, headers, _ in target.raw for name in headers if "shadow" in name]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with logical decoding, listening on TCP."""
    monkeypatch.setattr(embedded, "_SETTINGS", f"{embedded._SETTINGS}\nwal_level = logical\n")
    folder = Path(tempfile.mkdtemp(prefix="shadow-capture-"))
    url, handle = embedded.start(folder, ephemeral=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
        connection.execute("CREATE PUBLICATION shadow FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot('shadow', 'pgoutput')")
    yield url
    handle.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def decoded(url: str) -> list[str]:
    query = (
        "SELECT data FROM pg_logical_slot_get_binary_changes('shadow', NULL, NULL, 'proto_version', '1',"
        " 'publication_names', 'shadow', 'messages', 'true')"
    )
    kinds = {b"I": "I", b"U": "U", b"D": "D", b"C": "|"}
    with psycopg.connect(url, autocommit=True) as connection:
        found = [
            data[data.index(b"{") :].decode() if data[:1] == b"M" else kinds.get(data[:1], "")
            for (data,) in connection.execute(query)
        ]
    return [each for each in found if each]


async def test_transactions_of_pg_say_whose_they_are(front: Front, database: str) -> None:
    got = await drive("capture.mjs", "capture", environment(front, DATABASE=database))
    assert (got["samePg"], got["wrong"]) == (True, "22P02")
    # one by itself; one with a savepoint that was rolled back; one by callback; one of no run; three runs in a pool
    changes = decoded(database)
    assert changes[:11] == [MARK, "I", "|", MARK, "I", MARK, "I", "|", MARK, "D", "|"]
    assert changes[11:13] == ["D", "|"]
    pooled = [orjson.loads(each)["run"] for each in changes[13:] if each.startswith("{")]
    assert pooled == ["run_2", "run_3", "run_4"]
    assert [each for each in changes[13:] if not each.startswith("{")] == ["I", "|"] * 3


async def test_pg_without_a_gateway_is_as_it_was(front: Front, target: Front, database: str) -> None:
    everything = environment(front, TARGET=target.url, SHADOW_GATEWAY_URL="", DATABASE=database)
    await drive("capture.mjs", "capture", everything)
    assert not [each for each in decoded(database) if each.startswith("{")]


# ---------------------------------------------------------------- Inngest


@asynccontextmanager
async def functions(generation: str, environ: dict[str, str]) -> AsyncIterator[tuple[str, list[Any]]]:
    """An app of that generation: its address, and what it saw once it was left."""
    seen: list[Any] = []
    async with node_server("capture_inngest.mjs", generation, environ) as server:
        yield f"{server.url}/api/inngest", seen
    seen.extend(orjson.loads(server.last_words)["seen"])


@pytest.mark.parametrize("generation", ["inngest-4", "inngest-3"])
@pytest.mark.parametrize("through_the_door", [True, False])
async def test_inngest_functions_are_known_in_their_body_and_steps(
    front: Front, generation: str, through_the_door: bool
) -> None:
    server = PretendInngest(retry_delay=30)
    front.once["/egress/stripe/v1/balance"] = (425, {"x-shadow-gateway": "wait", "retry-after": "1"})
    async with serving(server.app) as inngest:
        environ = environment(front, INNGEST_BASE_URL=inngest, INNGEST_EVENT_KEY="k")
        if through_the_door:
            environ["INNGEST_EVENT_API_BASE_URL"] = front.url
        async with functions(generation, environ) as (url, seen):
            await server.sync(url)
            await send(inngest, {"name": "go", "data": {}, "id": "evt-1"})
            await server.settled(120)
        runs = [run for run in server.runs() if run.function_id == "shop-pay"]
    (run,) = runs
    assert (run.status, run.output["answer"]) == (RunStatus.COMPLETED, 200)
    whose = {"run": run.run_id, "task": "pay", "event": "evt-1"}
    assert {each["where"] for each in seen} == {"one", "two", "three", "balance", "body"}
    assert all(each["run"] is not None and each["run"] | whose == each["run"] for each in seen), seen
    transfers = [headers for path, headers, _ in front.raw if path == "POST /egress/stripe/v1/transfers"]
    assert [marks(headers) for headers in transfers] == [
        {**HEADERS, "run": run.run_id, "attempt": "1"},
        {**HEADERS, "run": run.run_id, "attempt": "1"},
    ]
    # the wait was the platform's own retry, at its time: not the thirty seconds of a failure
    balances = [marks(headers)["attempt"] for path, headers, _ in front.raw if path == "GET /egress/stripe/v1/balance"]
    assert balances == ["1", "2"]
    emitted = [(headers, orjson.loads(body)) for path, headers, body in front.raw if path == "POST /e/k"]
    if through_the_door:
        ((headers, events),) = emitted
        assert (events[0]["name"], marks(headers)["run"], "key" in marks(headers)) == ("paid", run.run_id, False)
        assert front.effects() == []
    else:
        (paid,) = [event for event in server.events() if event.name == "paid"]
        told = {"kind": "event", "target": "events", "operation": "paid", "data": {"n": 1}}
        assert front.effects() == [{"id": f"event:{paid.internal_id}", **told}]


async def send(inngest: str, event: dict[str, Any]) -> None:
    async with httpx.AsyncClient() as producer:
        (await producer.post(f"{inngest}/e/k", json=[event])).raise_for_status()


@pytest.mark.parametrize("generation", ["inngest-4", "inngest-3"])
async def test_inngest_functions_without_a_gateway_are_as_they_were(
    front: Front, target: Front, generation: str
) -> None:
    server = PretendInngest()
    async with serving(server.app) as inngest:
        environ = environment(front, INNGEST_BASE_URL=inngest, TARGET=target.url, INNGEST_EVENT_KEY="k")
        del environ["SHADOW_GATEWAY_URL"]
        async with functions(generation, environ) as (url, seen):
            await server.sync(url)
            await send(inngest, {"name": "go", "data": {}})
            await server.settled(120)
    assert [run.status for run in server.runs()] == [RunStatus.COMPLETED]
    assert all(each["run"] is None for each in seen)
    assert front.raw == []
    assert not [name for _, headers, _ in target.raw for name in headers if "shadow" in name]


# ---------------------------------------------------------------- Trigger.dev


@pytest.mark.parametrize("generation", ["trigger-4.5", "trigger-4.0", "trigger-3.3"])
async def test_trigger_tasks_are_known_to_the_sdks_own_executor(front: Front, generation: str) -> None:
    front.answers["/egress/stripe/v1/wait"] = WAIT
    got = await drive("capture_trigger.mjs", generation, environment(front))
    assert got["fourth"] is not (generation == "trigger-3.3")
    assert (got["done"]["ok"], orjson.loads(got["done"]["output"])["json"]) == (True, {"status": 200})
    assert [(run["run"], run["task"], run["attempt"], run["event"]) for run in got["seen"]] == [
        ("run_1", "pay", 2, "wd-1"),
        ("run_1", "pay", 1, "wd-1"),
    ]
    first = next(headers for path, headers, _ in front.raw if path == "POST /egress/stripe/v1/transfers")
    assert marks(first) == {**HEADERS, "event": "wd-1"}
    # the wait is a retry at its time, not after the thirty seconds of the task's own policy
    assert got["waited"]["ok"] is False
    assert 6000 <= got["waited"]["retryDelay"] <= 7000
    assert got["outside"] is None


@pytest.mark.parametrize("generation", ["trigger-4.5", "trigger-4.0", "trigger-3.3"])
async def test_trigger_tasks_without_a_gateway_are_as_they_were(front: Front, target: Front, generation: str) -> None:
    target.answers["/v1/wait"] = WAIT
    got = await drive("capture_trigger.mjs", generation, environment(front, TARGET=target.url, SHADOW_GATEWAY_URL=""))
    assert [orjson.loads(got[each]["output"])["json"] for each in ("done", "waited")] == [
        {"status": 200},
        {"status": 425},
    ]
    assert got["seen"] == [None, None]
    assert front.raw == []
    assert not [name for _, headers, _ in target.raw for name in headers if "shadow" in name]

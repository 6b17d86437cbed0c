"""The recorded conversations of the real server, held again with the pretend one.

The app answers with what was recorded for the same function, memoised steps and attempt. What differs from
run to run (random ids, times) is replaced by its kind before comparing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest

from sandbox.inngest import PretendInngest
from sandbox.inngest.identifiers import function_uuid
from sandbox.inngest.signing import canonical

from .apps import SERVE_URL, ScriptedApp, on, recorded, registration, started

ULID_TEXT = re.compile(r"01[0-9A-HJKMNP-TV-Z]{24}")
TIME_TEXT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
VOLATILE = {"job_id", "qi_id", "sync_id", "cursor"}
DUE = "2026-11-24T01:38:00Z"
CALLS = [line for line in recorded("calls_to_app.jsonl") if line["method"] == "POST"]
TALKS = recorded("event_and_run_api.jsonl")
FUNCTIONS: list[dict[str, Any]] = [
    {"id": "sync-shopify-order", "triggers": on("shopify/order.created"), "retries": 3},
    {"id": "process-payout", "triggers": on("payout/approved"), "retries": 0},
    {"id": "send-review-email", "triggers": on("review/email.scheduled"), "retries": 1},
    {"id": "watch", "triggers": on("inngest/function.finished"), "retries": 3},
    {"id": "every-minute", "triggers": [{"cron": "* * * * *"}]},
]
RETRYING = "96c36a3a-db42-5d6d-bb5d-c69b50c46c0e"
"""A function of another app, since removed, whose calls failed while the transcript was recorded."""
GONE = function_uuid("gone", f"{SERVE_URL}?fnId=gone-gone&stepId=step")
RACED = "44fb4df1-553c-5044-bc1b-a17ae200623d"
"""The function for which the recorded server let the second of two duplicates win."""
SEEDED = "01M85HH3V3000G40R40M30E20A"
FIRST_LISTING = "n=1795484223.2366185"

Conversation = tuple[PretendInngest, httpx.AsyncClient, "RecordedApp"]


def identity(body: dict[str, Any]) -> tuple[str, ...]:
    """What a call is about: function, memoised steps, attempt, and whose end it tells."""
    return (
        body["ctx"]["fn_id"],
        ",".join(sorted(body["steps"])),
        str(body["ctx"]["attempt"]),
        str(body["event"]["data"].get("function_id")),
    )


def kinds(value: Any, key: str = "") -> Any:
    """The value with everything random or timely replaced by the name of its kind."""
    if key in VOLATILE:
        return f"<{key}>"
    if isinstance(value, dict):
        return {name: kinds(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [kinds(each) for each in value]
    if key == "ts" and isinstance(value, int):
        return "<ts>"
    if isinstance(value, str) and value != DUE:
        return TIME_TEXT.sub("<time>", ULID_TEXT.sub("<ulid>", value))
    return value


@dataclass
class RecordedApp(ScriptedApp):
    """Answers with the recorded answers; sends the event which the recorded step sent."""

    inngest: PretendInngest | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls are answered only while it is set."""

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = orjson.loads(request.content)
        await self.held.wait()
        if request.url.params["fnId"] == "gone-gone":
            headers = {"x-inngest-sdk": "inngest-py:v0.5.19", "retry-after": "86400"}
            return httpx.Response(500, json={"message": "gone"}, headers=headers)
        line = next(line for line in CALLS if identity(line["body"]) == identity(body))
        response = line["response"]
        if response["status"] == 206 and response["body"][0]["name"] == "schedule-review":
            assert self.inngest is not None
            sent = {"name": "review/email.scheduled", "data": {**body["event"]["data"], "sequence": 1}}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=self.inngest.app), base_url="http://inngest"
            ) as client:
                await client.post("/e/test", json=sent)
        headers = {key: value for key, value in response["headers"].items() if key != "content-length"}
        return httpx.Response(response["status"], json=response["body"], headers=headers)


@pytest.fixture
async def conversation() -> AsyncIterator[Conversation]:
    app = RecordedApp({})
    app.held.set()
    async with started(app, *FUNCTIONS) as (inngest, client):
        app.inngest = inngest
        yield inngest, client, app


async def hold(inngest: PretendInngest, client: httpx.AsyncClient) -> None:
    """Send the events of the transcript and let everything come of them."""
    for talk in TALKS:
        if talk["request"]["method"] == "POST":
            await replay(client, talk["request"], {})
    await inngest.settled(10)


async def replay(client: httpx.AsyncClient, request: dict[str, Any], ids: dict[str, str]) -> httpx.Response:
    await asyncio.sleep(0.002)  # as when it was recorded, no two fall into one millisecond, within which ids are random
    path = ULID_TEXT.sub(lambda match: ids.get(match[0], match[0]), request["path"])
    kept = ("content-type", "x-inngest-event-id-seed")
    headers = {key: value for key, value in request["headers"].items() if key in kept}
    return await client.request(request["method"], path, content=request["body"], headers=headers)


async def test_every_recorded_call_is_made_again_with_the_same_headers_and_body(
    conversation: Conversation,
) -> None:
    inngest, client, app = conversation
    await hold(inngest, client)
    inngest.tick("commerce-every-minute", datetime.fromisoformat(DUE))
    await inngest.settled(10)
    made = {identity(orjson.loads(request.content)): request for request in app.requests}
    assert len(app.requests) == len(CALLS)
    for line in CALLS:
        request = made[identity(line["body"])]
        assert f"{request.url.path}?{request.url.query.decode()}" == f"{line['path']}?{line['query']}"
        assert kinds(orjson.loads(request.content)) == kinds(line["body"])
        assert request.content == canonical(line_body := orjson.loads(request.content)), line_body
        left_out = {"connection", "content-length", "host"}
        assert set(request.headers) - {*left_out, "accept"} == set(line["headers"]) - left_out
        for header in ("user-agent", "account-id", "x-inngest-req-version", "x-inngest-generation-id"):
            assert request.headers[header] == line["headers"][header], header
        wanted = re.sub(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", "<tp>", line["headers"]["tracestate"])
        assert re.sub(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", "<tp>", request.headers["tracestate"]) == wanted


async def test_a_watcher_shares_the_trace_of_what_it_watches_and_a_sent_event_starts_a_new_one(
    conversation: Conversation,
) -> None:
    inngest, client, app = conversation
    await hold(inngest, client)
    traces: dict[str, set[str]] = {}
    for request in app.requests:
        traces.setdefault(request.headers["x-run-id"], set()).add(request.headers["traceparent"].split("-")[1])
    assert all(len(each) == 1 for each in traces.values())
    of = {run.run_id: run for run in inngest.runs()}
    events = {event.internal_id: event for event in inngest.events()}
    for run in of.values():
        if run.function_id == "commerce-watch":
            watched = of[(events[run.event_id].data or {})["run_id"]]
            assert run.trace_id == watched.trace_id
    roots = [run.trace_id for run in of.values() if run.function_id != "commerce-watch"]
    assert len(set(roots)) == len(roots)


async def test_every_recorded_request_gets_the_recorded_answer(conversation: Conversation) -> None:
    inngest, client, app = conversation
    failing = registration({"id": "gone", "triggers": on("shopify/order.created")}, app="gone")
    await client.post("/fn/register", json=failing)
    ids: dict[str, str] = {}
    app.held.clear()
    for talk in TALKS:
        request, expected = talk["request"], talk["response"]
        if request["path"].startswith(f"/v1/events/{SEEDED}"):
            inngest.traps.event_runs_stuck_scheduled = 1.0  # what the recorded server did to this run
        reply = await replay(client, request, ids)
        where = f"{request['method']} {request['path']}"
        assert reply.status_code == expected["status"], where
        for header in ("content-type", "cache-control", "allow", "vary", "x-inngest-server-kind"):
            assert reply.headers.get(header) == expected["headers"].get(header), f"{where}: {header}"
        body = reply.json() if reply.content else ""
        if request["path"].startswith("/v2"):
            assert shapes(body) == shapes(expected["body"])
        else:
            assert kinds(comparable(body, request["path"])) == kinds(comparable(expected["body"], request["path"])), (
                where
            )
        if request["method"] == "POST" or request["path"].startswith("/v1/events/"):
            texts = (orjson.dumps(expected["body"]).decode(), orjson.dumps(body).decode())
            ids.update(zip(*(ULID_TEXT.findall(text) for text in texts), strict=True))
        if "/v1/" not in request["path"]:
            continue
        app.held.set()
        await ended(inngest)
    assert ids[SEEDED] == SEEDED


async def ended(inngest: PretendInngest) -> None:
    """Wait until only the function that fails for ever is left."""
    deadline = asyncio.get_running_loop().time() + 10
    while not all(run.ended_at or run.is_retrying for run in inngest.runs()):
        assert asyncio.get_running_loop().time() < deadline, "runs did not end"
        await asyncio.sleep(0.01)


def comparable(body: Any, path: str) -> Any:
    """A body without what chance decided when it was recorded.

    Of the two duplicates the later one won there, so the first event's list lacks that run; the function
    that fails for ever was registered elsewhere; and the first listing came before its first call.
    """
    if not isinstance(body, dict):
        return body
    data = body.get("data")
    runs = data if isinstance(data, list) else [data]
    if isinstance(data, list):
        body["data"] = runs = [run for run in data if run.get("function_id") != RACED]
    for run in runs:
        if isinstance(run, dict) and run.get("function_id") in (RETRYING, GONE):
            run["function_id"] = "<gone>"
            if path.endswith(FIRST_LISTING):
                run["status"] = "<early>"
    return body


def shapes(body: Any) -> Any:
    """Keys and kinds of the parts of a v2 listing, whatever the order of its runs."""
    names = {run["function"]["id"]: sorted(run) for run in body["data"]}
    page = {key: type(value).__name__ for key, value in body["page"].items()}
    return sorted(body), page, {name: names[name] for name in ("watch",)}


async def test_syncing_twice_answers_as_recorded() -> None:
    app = ScriptedApp({})
    syncs = [line["response"]["body"] for line in recorded("calls_to_app.jsonl") if line["method"] == "PUT"]
    async with started(app) as (_, client):
        for expected in syncs:
            reply = await client.post(
                "/fn/register",
                json=registration(*FUNCTIONS),
                headers={"x-inngest-expected-server-kind": "dev"},
            )
            sync_id = re.compile(r"^[0-9a-f-]{36}$")
            assert sync_id.match(reply.json()["sync_id"])
            assert {**reply.json(), "sync_id": ""} == {**expected, "sync_id": ""}

"""The Trigger.dev door: what it refuses itself, in the platform's words, and what passes through.

What it records is in tests/integration/front, with a real database."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest

from api.front.known_keys import KnownKeys
from shadow.catalogue import parse
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase
from shadow.intake.arrival import Door, State
from shadow.intake.known_keys import Standing
from tests.unit.api.front.listener import NOW, Listener
from tests.unit.api.front.test_keys import token
from tests.unit.shadow.catalogues import TEXT

KEY = {"authorization": "Bearer tr_dev_producer"}
FORWARDING = TEXT.replace("keys: [tr_dev_producer]", "keys: [tr_dev_producer], unknown: forward")
WELCOME = "/api/v1/tasks/welcome/trigger"


@pytest.fixture(autouse=True)
def _without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of the keys of calls that come again: nothing."""

    async def nothing(_keys: KnownKeys, _asked: object) -> dict[UUID, Standing]:
        return {}

    monkeypatch.setattr(KnownKeys, "_standings", nothing)


def started(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "run_1", "isCached": False}, headers={"x-trigger-jwt": "jwt"})


@pytest.mark.parametrize(
    ("path", "headers", "content", "status", "error"),
    [
        # the transcripts' answers
        (WELCOME, {}, b"{}", 401, "No authorization header provided"),
        (WELCOME, {"authorization": "Bearer tr_dev_wrong"}, b"{}", 401, "Invalid API key"),
        (WELCOME, {"authorization": "Bearer garbage"}, b"{}", 401, "Invalid API key"),
        (WELCOME, {"authorization": "Bearer "}, b"{}", 401, "Invalid API key"),
        (WELCOME, {"authorization": "Basic abc"}, b"{}", 401, "Invalid API key"),
        (WELCOME, {"authorization": "Bearer a.b.c"}, b"{}", 401, "Public Access Token is invalid"),
        (WELCOME, KEY, b"", 400, "Request body is empty"),
        (WELCOME, KEY, b'{"payload":', 400, "Invalid JSON"),
        (WELCOME, KEY, b"[1]", 400, "Validation error: Expected object, received array"),
        (WELCOME, KEY, b" " * (3 * 1024 * 1024 + 1), 413, "Request body too large"),
        # Shadow's own
        ("/api/v1/tasks/nobody/trigger", KEY, b"{}", 404, "Task nobody is not in the catalogue"),
        # a task of the catalogue, but another source feeds it
        ("/api/v1/tasks/sync-order/trigger", KEY, b"{}", 404, "Task sync-order is not in the catalogue"),
        # batches
        ("/api/v2/tasks/batch", {}, b"{}", 401, "No authorization header provided"),
        ("/api/v2/tasks/batch", KEY, b'{"items":[{"task":"nobody"}]}', 404, "Task nobody is not in the catalogue"),
        ("/api/v1/tasks/batch", KEY, b'{"items":1}', 400, "Expected array, received number"),
        ("/api/v1/tasks/nobody/batch", KEY, b'{"items":[{}]}', 404, "Task nobody is not in the catalogue"),
        (
            "/api/v2/tasks/batch",
            KEY,
            orjson.dumps({"items": [{"task": "welcome"}] * 1001}),
            400,
            "Batch size of 1001 is too large",
        ),
        (
            "/api/v3/batches/batch_1/items",
            {**KEY, "content-type": "application/x-ndjson"},
            b'{"index":0,"task":"nobody"}\n',
            404,
            "Task nobody is not in the catalogue",
        ),
        (
            "/api/v3/batches/batch_1/items",
            {**KEY, "content-type": "application/x-ndjson"},
            b"{bad\n",
            400,
            "Invalid JSON at line 1",
        ),
    ],
)
async def test_a_bad_call_is_refused_in_the_platforms_words_and_nothing_is_stored(
    path: str, headers: dict[str, str], content: bytes, status: int, error: str
) -> None:
    front = Listener(upstream=started)
    answer = await front.client.post(path, headers=headers, content=content)
    assert answer.status_code == status
    assert error in answer.json()["error"]
    assert front.accepted == []
    assert front.requests == []


async def test_without_authorization_the_rate_limiters_problem_comes_first() -> None:
    answer = await Listener().client.post(WELCOME, content=b"")
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert answer.json() == {
        "title": "Unauthorized",
        "status": 401,
        "type": "https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401",
        "detail": "No authorization header provided",
        "error": "No authorization header provided",
    }


async def test_a_body_of_unknown_length_is_too_large_for_the_platform() -> None:
    async def chunks() -> Any:
        yield b"{}"

    answer = await Listener().client.post(WELCOME, headers=KEY, content=chunks())
    assert (answer.status_code, answer.json()) == (413, {"error": "Request body too large"})


async def test_the_intent_is_stored_before_the_call_goes_on_and_the_candidate_waits() -> None:
    stored_first = []

    def upstream(request: httpx.Request) -> httpx.Response:
        stored_first.append(len(front.accepted))
        return httpx.Response(503, json={})

    front = Listener(upstream=upstream)
    await front.client.post(
        WELCOME,
        headers={**KEY, "x-trigger-request-idempotency-key": "request-1", "cookie": "secret"},
        json={"payload": '{"json":{"name":"a"}}', "options": {"payloadType": "application/super+json", "delay": "1h"}},
    )
    assert stored_first == [1]
    (arrival,) = front.accepted
    assert (arrival.name, arrival.door, arrival.origin) == ("creator/applied", Door.TRIGGER, Origin.PRODUCER)
    assert orjson.loads(arrival.data) == {"name": "a"}
    assert arrival.scheduled_at is not None
    assert (arrival.scheduled_at - NOW).total_seconds() == 3600
    legacy, candidate = arrival.dispatches
    assert (legacy.side, legacy.state, legacy.delay.total_seconds()) == (Side.LEGACY, State.DUE, 60)
    assert (candidate.side, candidate.state) == (Side.CANDIDATE, State.HELD)
    kept = dict(arrival.headers)
    assert kept["x-trigger-request-idempotency-key"] == "request-1"
    assert not {"authorization", "cookie"} & kept.keys()


async def test_in_phase_legacy_there_is_no_candidate_to_hold() -> None:
    front = Listener(upstream=started, phase=Phase.LEGACY)
    await front.client.post(WELCOME, headers=KEY, json={})
    assert [item.side for item in front.accepted[0].dispatches] == [Side.LEGACY]


@pytest.mark.parametrize("phase", [Phase.LIVE, Phase.RETIRED])
async def test_after_the_switch_a_run_is_issued_and_legacy_gets_nothing(phase: Phase) -> None:
    front = Listener(upstream=started, phase=phase)
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert (answer.status_code, answer.json()["isCached"]) == (200, False)
    assert answer.json()["id"].startswith("run_")
    assert orjson.loads(answer.headers["x-trigger-jwt-claims"])["scopes"] == [f"read:runs:{answer.json()['id']}"]
    (arrival,) = front.accepted
    assert [(item.side, item.state) for item in arrival.dispatches] == [(Side.CANDIDATE, State.DUE)]
    assert front.requests == []


async def test_a_candidate_worker_starts_no_legacy_run() -> None:
    sources = TEXT.replace("keys: [tr_dev_producer]}", "keys: [tr_dev_producer], origin: candidate}")
    front = Listener(parse(sources, "candidate.yaml", {}), upstream=started)
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert answer.status_code == 403
    assert front.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/tasks/welcome/%74rigger",
        "/api/v1/tasks/welcome/trigger/",
        "/api//v1/tasks/welcome/trigger",
        "/api/V1/Tasks/welcome/Trigger",
        "/api/v1/runs/run_1/replay",
        "/api/v2/runs/run_1/cancel",
        "/api/v1/runs/run_1/tags",
        "/api/v1/schedules",
        "/realtime/v1/streams/run_1/x",
    ],
)
async def test_a_candidate_worker_changes_nothing_of_legacys_however_it_is_spelled(path: str) -> None:
    sources = TEXT.replace("keys: [tr_dev_producer]}", "keys: [tr_dev_producer], origin: candidate}")
    front = Listener(parse(sources, "candidate.yaml", {}), upstream=started)
    answer = await front.client.post(path, headers=KEY, json={})
    assert answer.status_code == 403
    assert "candidate workers cannot" in answer.json()["error"]
    assert front.requests == []
    assert (await front.client.get("/api/v1/runs/run_1/attempts", headers=KEY)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/tasks/welcome/%74rigger", "/api/v1/tasks/welcome/trigger/"])
async def test_a_call_that_is_spelled_otherwise_is_recorded_all_the_same(path: str) -> None:
    front = Listener(upstream=started)
    await front.client.post(path, headers=KEY, json={"payload": {}})
    assert [arrival.name for arrival in front.accepted] == ["creator/applied"]


@pytest.mark.parametrize("path", ["/api/v1/x/%2e%2e/tasks/welcome/trigger", "/api/v1/%2E/tasks/welcome/trigger"])
async def test_a_path_that_climbs_is_refused(path: str) -> None:
    front = Listener(upstream=started)
    answer = await front.client.post(path, headers=KEY, json={})
    assert front.requests == []
    assert (answer.status_code, answer.json()["error"]) == (400, "The path holds dot segments or backslashes")


async def test_a_key_is_added_only_where_the_producer_gave_none() -> None:
    front = Listener(upstream=started)
    body = b'{ "payload" : {"n": 1.10} }'
    await front.client.post(WELCOME, headers={**KEY, "x-trigger-request-idempotency-key": "r-1"}, content=body)
    await front.client.post(WELCOME, headers={**KEY, "x-trigger-request-idempotency-key": "r-1"}, content=body)
    await front.client.post(WELCOME, headers={**KEY, "idempotency-key": "mine"}, content=body)
    await front.client.post(WELCOME, headers=KEY, json={"options": {"idempotencyKey": "body"}})
    keys = [request.headers.get("idempotency-key") for request in front.requests]
    assert keys[0] is not None
    assert keys[0] == keys[1]  # the SDK came again
    assert keys[2:] == ["mine", None]
    assert front.requests[0].content == body
    assert front.requests[0].headers["content-length"] == str(len(body))
    assert [arrival.idempotency_key for arrival in front.accepted] == [keys[0], "mine", "body"]


async def test_a_public_token_is_taken_from_whoever_holds_a_sources_key() -> None:
    front = Listener(upstream=started)
    headers = {"authorization": "Bearer " + token("tr_dev_producer", pub=True, scopes=["trigger:tasks:welcome"])}
    assert (await front.client.post(WELCOME, headers=headers, json={})).status_code == 200
    assert front.requests[0].headers["authorization"] == headers["authorization"]


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["trigger:tasks:welcome"], True),
        (["trigger:tasks"], True),
        (["batchTrigger:tasks:welcome"], True),
        (["write:tasks"], True),
        (["read:runs", "admin"], True),
        (["read:runs"], False),
        (["trigger:tasks:other"], False),  # another task's
        (["write:runs:welcome"], False),
        ([], False),
        (None, False),
        ("admin", False),  # no list
    ],
)
@pytest.mark.parametrize("path", [WELCOME, "/api/v2/tasks/batch"])
async def test_a_public_token_starts_only_what_its_scopes_allow(path: str, scopes: Any, allowed: bool) -> None:
    # The intent would be sent again under the platform's own key, which may do everything.
    front = Listener(upstream=started)
    headers = {"authorization": "Bearer " + token("tr_dev_producer", pub=True, scopes=scopes)}
    answer = await front.client.post(path, headers=headers, json={"items": [{"task": "welcome"}]})
    assert len(front.accepted) == len(front.requests) == int(allowed)
    if not allowed:
        assert answer.status_code == 403
        assert answer.json() == {
            "error": "Unauthorized",
            "code": "unauthorized",
            "param": "access_token",
            "type": "authorization",
        }


async def test_the_producer_gets_the_platforms_answer_though_it_could_not_be_written_down() -> None:
    front = Listener(upstream=started)
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert (answer.status_code, answer.json()) == (200, {"id": "run_1", "isCached": False})
    assert answer.headers["x-trigger-jwt"] == "jwt"


async def test_an_unreachable_platform_is_a_502_that_asks_a_client_which_is_recognised_for_another_try() -> None:
    front = Listener()
    headers = {**KEY, "x-trigger-request-idempotency-key": "r-1"}
    answer = await front.client.post(WELCOME, headers=headers, json={})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "true")
    assert "error" in answer.json()
    assert len(front.accepted) == 1  # the workers will send it


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("broke off")


def down(request: httpx.Request) -> httpx.Response:
    return httpx.Response(503, json={}, headers={"x-should-retry": "true"})


@pytest.mark.parametrize(
    "upstream",
    [
        lost,
        down,
        # nothing was sent, but the intent cannot be taken back: this database is away
        None,
    ],
)
async def test_a_client_that_would_not_be_recognised_is_told_not_to_come_again(upstream: Any) -> None:
    front = Listener(upstream=upstream)
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert answer.status_code >= 500
    assert answer.headers.get_list("x-should-retry") == ["false"]
    assert len(front.requests) == 3


async def test_the_door_asks_no_more_when_the_platform_says_that_this_is_useless() -> None:
    front = Listener(upstream=lambda request: httpx.Response(500, json={}, headers={"x-should-retry": "false"}))
    answer = await front.client.post("/api/v2/tasks/batch", headers=KEY, json={"items": [{"task": "welcome"}]})
    assert answer.headers.get_list("x-should-retry") == ["false"]
    assert len(front.requests) == 1


@pytest.mark.parametrize(
    ("items", "again"),
    [
        (["nobody"], None),  # nothing is stored: whatever the platform says of it goes for the client
        (["nobody", "welcome"], "false"),
    ],
)
async def test_a_batch_with_items_that_have_no_key_is_sent_once(items: list[str], again: str | None) -> None:
    upstream = httpx.Response(503, json={})
    front = Listener(parse(FORWARDING, "forwarding.yaml", {}), upstream=lambda request: upstream)
    body = {"items": [{"task": task} for task in items]}
    answer = await front.client.post("/api/v2/tasks/batch", headers=KEY, json=body)
    assert answer.headers.get("x-should-retry") == again
    assert len(front.requests) == 1


async def test_what_nobody_foresaw_is_answered_in_the_platforms_shape() -> None:
    front = Listener(upstream=started)
    front.intake.breaking = True
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal Server Error"})
    assert front.requests == []


async def test_what_nobody_foresaw_in_writing_down_an_answer_is_not_the_producers_concern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overflow(*_arguments: Any) -> Any:
        raise OverflowError("date value out of range")

    front = Listener(upstream=started)
    monkeypatch.setattr(front.services.database, "connection", overflow)
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert (answer.status_code, answer.json()["id"]) == (200, "run_1")


async def test_a_long_batch_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    decode = orjson.loads

    def noted(content: Any) -> Any:
        if b"padding" in bytes(content):
            threads.append(threading.get_ident())
        return decode(content)

    monkeypatch.setattr("shadow.intake.trigger_calls.orjson.loads", noted)
    front = Listener(upstream=started)
    line = orjson.dumps({"index": 0, "task": "welcome", "payload": {"padding": "x" * 700_000}})
    headers = {**KEY, "content-type": "application/x-ndjson"}
    for lines in (line, line + b"\n" + line.replace(b'"index":0', b'"index":1')):
        await front.client.post("/api/v3/batches/batch_1/items", headers=headers, content=lines)
    assert threads[:2] == [threading.get_ident()] * 2  # read, and read again to add the key
    assert len(threads) == 6
    assert threading.get_ident() not in threads[2:]
    assert [len(orjson.loads(item.data)["padding"]) for item in front.accepted] == [700_000] * 2


async def test_while_nothing_can_be_stored_nothing_is_forwarded() -> None:
    front = Listener(upstream=started)
    front.intake.failing = True
    answer = await front.client.post(WELCOME, headers=KEY, json={})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
    assert int(answer.headers["retry-after"]) > 0
    assert front.requests == []


async def test_an_unknown_task_passes_through_unrecorded_where_the_source_says_so() -> None:
    front = Listener(parse(FORWARDING, "forwarding.yaml", {}), upstream=started)
    body = b'{ "payload": 1 }'
    answer = await front.client.post("/api/v1/tasks/a%2Fb/trigger", headers=KEY, content=body)
    assert answer.json()["id"] == "run_1"
    assert front.accepted == []
    assert front.requests[0].extensions["target"] == b"/api/v1/tasks/a%2Fb/trigger"
    assert front.requests[0].content == body
    assert "idempotency-key" not in front.requests[0].headers


async def test_of_a_mixed_batch_only_the_known_tasks_are_recorded_and_get_keys() -> None:
    front = Listener(parse(FORWARDING, "forwarding.yaml", {}), upstream=started)
    items = [{"task": "nobody", "payload": 1}, {"task": "welcome", "payload": {"n": 2}}]
    await front.client.post("/api/v2/tasks/batch", headers=KEY, json={"items": items})
    sent = orjson.loads(front.requests[0].content)["items"]
    assert sent[0] == items[0]
    assert sent[1]["options"]["idempotencyKey"] == front.accepted[0].idempotency_key
    assert len(front.accepted) == 1
    assert orjson.loads(front.accepted[0].request or b"") == {"payload": {"n": 2}}


async def test_a_batch_whose_items_have_keys_goes_on_byte_for_byte() -> None:
    front = Listener(upstream=started)
    body = b'{ "items": [ {"task":"welcome","payload":1.10,"options":{"idempotencyKey":"k"}} ] }'
    await front.client.post("/api/v2/tasks/batch", headers=KEY, content=body)
    assert front.requests[0].content == body


async def test_a_stream_sent_again_brings_the_same_events() -> None:
    front = Listener(upstream=started)
    lines = b'{"index":0,"task":"welcome"}\n{"index":1,"task":"welcome","payload":2}\n'
    for _ in range(2):
        await front.client.post(
            "/api/v3/batches/batch_1/items", headers={**KEY, "content-type": "application/x-ndjson"}, content=lines
        )
    assert len(front.accepted) == 2
    first, second = (request.content for request in front.requests)
    assert first == second


async def test_a_payload_that_makes_no_event_still_runs_on_legacy() -> None:
    front = Listener(upstream=started)
    answer = await front.client.post(WELCOME, headers=KEY, json={"payload": "just text"})
    assert answer.status_code == 200
    (arrival,) = front.accepted
    assert "candidate.data" in (arrival.mapping_error or "")
    assert [item.state for item in arrival.dispatches] == [State.DUE, State.DEAD]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v3/runs/run_1"),
        ("GET", "/api/v1/tasks/welcome/trigger"),  # 405 is theirs to say
        ("PUT", "/api/v2/packets/trigger%2Fhello%2F1-x%2Fpayload.json"),
        ("GET", "/realtime/v1/runs/run_1?live=true&offset=0_0"),
        ("OPTIONS", "/api/v1/tasks/welcome/trigger"),
    ],
)
async def test_everything_else_of_trigger_devs_passes_through_untouched(method: str, path: str) -> None:
    front = Listener(upstream=lambda request: httpx.Response(418, content=b"theirs", headers={"electric-handle": "h"}))
    answer = await front.client.request(method, path, headers=KEY)
    assert (answer.status_code, answer.content, answer.headers["electric-handle"]) == (418, b"theirs", "h")
    assert front.requests[0].extensions["target"] == path.encode()
    assert front.requests[0].headers["authorization"] == KEY["authorization"]


async def test_a_stream_of_another_type_is_the_platforms_to_refuse() -> None:
    front = Listener(upstream=lambda request: httpx.Response(415, json={"error": "Content-Type"}))
    answer = await front.client.post("/api/v3/batches/batch_1/items", headers=KEY, json={})
    assert answer.status_code == 415
    assert front.accepted == []

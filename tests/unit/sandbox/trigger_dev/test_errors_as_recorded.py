"""Every recorded error request, sent again: status, headers and body must be those of the real service."""

from __future__ import annotations

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev, RateLimit

from .conftest import DEV_KEY, PROD_KEY, Clients, new_platform, trigger
from .transcripts import VOLATILE, Exchange, read

# The recordings shorten secrets; this is what stood there.
AUTHORIZATION = {
    "e401-badkey-noprefix": "Bearer garbage",
    "e401-badkey-retrieve": "Bearer tr_dev_wrongwrongwrongwrongwron",
    "e401-badkey-trigger": "Bearer tr_dev_wrongwrongwrongwrongwron",
    "e401-basic": "Basic abcdef",
    "e401-emptybearer": "Bearer ",
    "e401-list": "Bearer tr_dev_wrongwrongwrongwrongwron",
    "e401-noauth-retrieve": None,
    "e401-noauth-trigger": None,
    "e401-pat-trigger": "Bearer tr_pat_0123456789",
    "e404-otherenv": f"Bearer {PROD_KEY}",
}

REFUSED = [
    "e-arraybody",
    "e-badjson",
    "e-emptybody",
    "e-list-badstatus",
    "e-list-size",
    "e-reschedule-notdelayed",
    *AUTHORIZATION,
    "e404-batch",
    "e404-cancel",
    "e404-replay",
    "e404-result",
    "e404-retrieve-malformed",
    "e404-retrieve",
    "e405-delete-run",
    "e405-get-trigger",
    "e422-bad-option-type",
    # Named 422, but the running service answers 500.
    "e422-lockversion",
    "e422-machine",
    "e422-tag-long",
    "e422-tags-11",
    "result-completed",
]

# Looks wrong, is accepted.
ACCEPTED = [
    "e-cancel-completed",
    "e422-delay-past",
    "e422-delay",
    "e422-idemttl",
    "e422-parent",
    "e422-queue",
    "e422-ttl",
    "hello-00-trigger",
    "meta-00-trigger",
    "unknown-task-dev",
]

_FINISHED = "run_cmwtzm1t1003czf7dy6s4z33d"


async def _send(pretend: PretendTriggerDev, clients: Clients, name: str) -> tuple[Exchange, httpx.Response]:
    recorded = read(name)
    finished = await trigger(clients(pretend), "hello")
    await pretend.settled()
    client = clients(pretend, None)
    headers = {k: v for k, v in recorded.headers.items() if k != "authorization"}
    authorization = AUTHORIZATION.get(name, f"Bearer {DEV_KEY}")
    if authorization is not None:
        headers["authorization"] = authorization
    path = recorded.path.replace(_FINISHED, finished).replace("run_cmwu0oq8y000fvz7djz5qkypp", finished)
    return recorded, await client.request(recorded.method, path, headers=headers, content=recorded.body)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_the_recorded_one(pretend: PretendTriggerDev, clients: Clients, name: str) -> None:
    recorded, answer = await _send(pretend, clients, name)
    assert (answer.status_code, answer.content) == (recorded.status, recorded.answer)
    assert set(answer.headers) - VOLATILE == recorded.stable_headers()
    for header in ("content-type", "etag", "x-should-retry", "access-control-expose-headers"):
        assert answer.headers.get(header) == recorded.answer_headers.get(header)


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_the_service_accepts_is_accepted(pretend: PretendTriggerDev, clients: Clients, name: str) -> None:
    recorded, answer = await _send(pretend, clients, name)
    assert answer.status_code == recorded.status == 200
    assert list(answer.json()) == list(recorded.json)
    assert answer.json().get("isCached") == recorded.json.get("isCached")
    assert set(answer.headers) - VOLATILE == recorded.stable_headers()


@pytest.mark.parametrize("name", ["e429-retrieve", "e429-trigger"])
async def test_the_limiter_refuses_as_recorded(clients: Clients, name: str) -> None:
    pretend = new_platform(rate_limit=RateLimit(burst=3, refill=3, interval=10.0))
    client = clients(pretend)
    recorded = read(name)
    for remaining in (2, 1, 0):
        allowed = await client.get("/api/v1/runs")
        assert allowed.headers["x-ratelimit-remaining"] == str(remaining)
    answer = await client.request(recorded.method, recorded.path, content=recorded.body)
    assert answer.status_code == 429
    assert set(answer.headers) - VOLATILE == recorded.stable_headers()
    assert "retry-after" not in answer.headers
    body = answer.json()
    assert list(body) == list(recorded.json)
    assert {k: body[k] for k in ("title", "status", "type", "limit", "remaining")} == {
        k: recorded.json[k] for k in ("title", "status", "type", "limit", "remaining")
    }
    assert body["detail"] == body["error"]
    seconds = body["secondsUntilReset"]
    assert body["detail"] == f"Rate limit exceeded 0/3 requests remaining. Retry in {seconds} seconds."
    assert 9 < seconds <= 10
    assert answer.headers["x-ratelimit-reset"] == str(body["reset"])


@pytest.mark.parametrize(
    "headers",
    [
        # Over the limit of 3 MiB.
        {"content-length": str(3 * 1024 * 1024 + 1)},
        # Without a length, as chunked bodies are sent.
        {"transfer-encoding": "chunked"},
    ],
)
async def test_a_body_too_large_or_without_a_length_is_413(
    pretend: PretendTriggerDev, clients: Clients, headers: dict[str, str]
) -> None:
    request = clients(pretend).build_request("POST", "/api/v1/tasks/hello/trigger", content=b"{}")
    del request.headers["content-length"]
    request.headers.update(headers)
    answer = await clients(pretend).send(request)
    recorded = read_413()
    assert (answer.status_code, answer.content) == (recorded[0], recorded[1])
    assert pretend.runs() == []


def read_413() -> tuple[int, bytes]:
    """The 413 recording has no request lines and an interim answer."""
    from .transcripts import FOLDER

    text = (FOLDER / "e413-payload-big.txt").read_text()
    final = text[text.index("HTTP/1.1 413") :]
    return int(final.split(" ")[1]), final.partition("\n\n")[2].strip().encode()


async def test_metadata_over_a_quarter_mebibyte_is_refused_as_recorded(dev: httpx.AsyncClient) -> None:
    # The recording cuts the request short.
    recorded = read("e422-metadata-big")
    body = {"payload": {}, "options": {"metadata": {"x": "y" * 262_144}}}
    answer = await dev.post("/api/v1/tasks/hello/trigger", json=body)
    assert (answer.status_code, answer.content) == (recorded.status, recorded.answer)


async def test_the_order_of_checks_puts_the_key_before_the_size(pretend: PretendTriggerDev, clients: Clients) -> None:
    client = clients(pretend, "tr_dev_wrongwrongwrongwrongwron")
    answer = await client.post("/api/v1/tasks/hello/trigger", content=b"x" * (3 * 1024 * 1024 + 1))
    assert answer.status_code == 401

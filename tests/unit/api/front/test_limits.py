"""What no door takes: bodies that are too long, nested too deeply, packed, or of too many items. Each is refused in the
words of whoever calls, and nothing of it is stored."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
import zstandard
from fastapi import FastAPI

from api.front.reports import PREFIX, worker_app
from comparators.nesting import DEEPEST, WRITABLE
from shadow.catalogue import parse
from tests.unit.api.front.listener import NOWHERE, AwayDatabase, Listener
from tests.unit.shadow.catalogues import TEXT

SMALL = parse(TEXT + "limits: {body_bytes: 300000, batch_bytes: 600000}\n", "limits.yaml", {})
TRIGGER_KEY = {"authorization": "Bearer tr_dev_producer"}
BRACKETS = [(b"[", b"]"), (b'{"a":', b"}")]


def deep(levels: int, brackets: tuple[bytes, bytes] = BRACKETS[0]) -> bytes:
    return brackets[0] * levels + b"1" + brackets[1] * levels


def webhook(body: bytes) -> tuple[str, dict[str, str]]:
    signature = base64.b64encode(hmac.digest(b"hush", body, hashlib.sha256)).decode()
    return "/webhooks/shopify", {"x-shopify-topic": "orders/create", "x-shopify-hmac-sha256": signature}


def inngest(_body: bytes) -> tuple[str, dict[str, str]]:
    return "/e/producer-key", {}


def trigger(_body: bytes) -> tuple[str, dict[str, str]]:
    return "/api/v1/tasks/welcome/trigger", TRIGGER_KEY


def batch(_body: bytes) -> tuple[str, dict[str, str]]:
    return "/api/v1/tasks/batch", TRIGGER_KEY


def items(_body: bytes) -> tuple[str, dict[str, str]]:
    return "/api/v3/batches/batch_1/items", {**TRIGGER_KEY, "content-type": "application/x-ndjson"}


WRAPPED: dict[Callable[[bytes], tuple[str, dict[str, str]]], bytes] = {
    webhook: b'{"id":1,"more":%s}',
    inngest: b'{"name":"payout/approved","data":{"requestId":"wd_1","more":%s}}',
    trigger: b'{"payload":%s}',
    batch: b'{"items":[{"task":"welcome","payload":%s}]}',
    items: b'{"index":0,"task":"welcome","payload":%s}\n',
}
Way = Callable[[bytes], tuple[str, dict[str, str]]]
WAYS = pytest.mark.parametrize("way", WRAPPED, ids=lambda way: way.__name__)


async def sent(front: Listener, way: Way, body: bytes, **headers: str) -> httpx.Response:
    path, needed = way(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await front.client.post(path, content=body, headers={**needed, **named})


def said(way: Way, answer: httpx.Response) -> str:
    """The reason, from where the caller's SDK takes it."""
    body: dict[str, Any] = answer.json()
    if way is webhook:
        assert answer.headers["content-type"] == "application/problem+json"
        return str(body["detail"])
    if way is inngest:
        assert (body["ids"], body["status"]) == ([""], answer.status_code)
    return str(body["error"])


@WAYS
@pytest.mark.parametrize("levels", [WRITABLE, 1023, 100_000])
@pytest.mark.parametrize("brackets", BRACKETS, ids=["arrays", "objects"])
async def test_deep_nesting_is_a_bad_request(way: Way, levels: int, brackets: tuple[bytes, bytes]) -> None:
    front = Listener(SMALL)
    levels = min(levels, 290_000 // len(b"".join(brackets)))
    answer = await sent(front, way, WRAPPED[way].replace(b"%s", deep(levels, brackets)))
    assert answer.status_code in (400, 422), answer.text
    assert said(way, answer)
    assert front.accepted == []


@WAYS
async def test_as_deep_as_documents_may_be_nested_is_taken(way: Way) -> None:
    front = Listener(SMALL)
    answer = await sent(front, way, WRAPPED[way].replace(b"%s", deep(DEEPEST - 4, BRACKETS[1])))
    # The batches of this listener are looked up in a database that is away.
    assert answer.status_code in (200, 202, 502, 503), answer.text


@WAYS
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_packed_bodies_are_refused_and_never_unpacked(way: Way, encoding: str) -> None:
    front = Listener(SMALL)
    bomb = bytes(5_000_000)
    packed = {
        "gzip": lambda: gzip.compress(bomb),
        "deflate": lambda: zlib.compress(bomb),
        "zstd": lambda: zstandard.compress(bomb),
        "br": lambda: b"\x1b" + bytes(500),
    }[encoding]()
    answer = await sent(front, way, packed, content_encoding=encoding)
    assert answer.status_code == 415
    assert said(way, answer) == "send the body without a content encoding: nothing is unpacked here"
    assert front.accepted == []


@WAYS
async def test_identity_is_no_encoding(way: Way) -> None:
    front = Listener(SMALL)
    answer = await sent(front, way, b"nothing", content_encoding="identity")
    assert answer.status_code in (400, 422)


@WAYS
async def test_a_body_that_is_too_long_is_refused(way: Way) -> None:
    front = Listener(SMALL)
    answer = await sent(front, way, b" " * 600_001)
    assert answer.status_code == 413
    assert said(way, answer)


@WAYS
async def test_a_body_that_does_not_say_how_long_it_is_is_counted(way: Way) -> None:
    front = Listener(SMALL)

    async def chunks() -> Any:
        for _ in range(70):
            yield b" " * 10_000

    path, headers = way(b" " * 700_000)
    answer = await front.client.post(path, content=chunks(), headers=headers)
    assert answer.status_code == 413


async def test_too_many_events_are_refused() -> None:
    front = Listener()
    answer = await sent(front, inngest, orjson.dumps([{"name": "payout/approved"}] * 5001))
    assert (answer.status_code, said(inngest, answer)) == (400, "a request may hold at most 5000 events, found 5001")


async def test_too_many_items_are_refused() -> None:
    front = Listener()
    answer = await sent(front, batch, orjson.dumps({"items": [{"task": "welcome"}] * 1001}))
    assert answer.status_code == 400
    assert "Maximum allowed batch size is 1000" in said(batch, answer)


@pytest.mark.parametrize("what", ["runs", "effects", "guard"])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (deep(DEEPEST + 1), {}, 422),
        (deep(1000, BRACKETS[1]), {}, 422),
        (deep(100_000), {}, 422),
        (b'"\\ud800",' + deep(5000), {}, 422),
        (gzip.compress(b"[]", mtime=0), {"content-encoding": "gzip"}, 415),
        (b"[" + b"1," * 200_000 + b"1]", {}, 413),
    ],
)
async def test_reports_have_the_same_limits(what: str, body: bytes, headers: dict[str, str], status: int) -> None:
    app = FastAPI()
    app.mount(PREFIX, worker_app(SMALL, AwayDatabase(NOWHERE)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
        key = {"authorization": "Bearer report-legacy"}
        answer = await client.post(f"/shadow/{what}", content=body, headers={**key, **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_watcher_reads_no_more_than_a_door() -> None:
    database = AwayDatabase(NOWHERE)
    front = Listener(SMALL, extra=[(PREFIX, worker_app(SMALL, database))])
    path = "/shadow/inngest"
    assert (await front.client.put(path, content=b"x" * 300_001)).status_code == 413
    assert (await front.client.post(path, content=deep(5000))).status_code == 400
    packed = await front.client.post(path, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    assert packed.status_code == 415

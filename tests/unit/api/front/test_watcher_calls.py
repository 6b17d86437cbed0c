"""Calls to the watcher are checked and answered as the official SDK would, which gets whatever is not plain."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import inngest
import inngest.fast_api
import orjson
import pytest
from fastapi import FastAPI

from api.front.watcher_calls import UNKNOWN_SENDER, Finished, Signed, WatcherCalls
from tests.unit.sandbox.inngest.apps import recorded

KEY = "signkey-prod-0a1b2c"
OLD = "signkey-prod-9f8e7d"
MOST = 100_000
PATH = "/inngest?fnId=shadow-watch&stepId=step"


def recorded_call() -> dict[str, Any]:
    """As a running server made it."""
    return next(
        line["body"]
        for line in recorded("calls_to_app.jsonl")
        if line["direction"] == "inngest->app" and "fnId=commerce-watch" in line["query"]
    )


def signature(body: bytes, key: str, at: float | None = None) -> dict[str, str]:
    moment = str(round(time.time() if at is None else at))
    secret = key.removeprefix("signkey-prod-").encode()
    return {
        "x-inngest-signature": f"t={moment}&s={hmac.new(secret, body + moment.encode(), hashlib.sha256).hexdigest()}"
    }


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class Taken:
    """What was taken, here and by the SDK."""

    def __init__(self) -> None:
        self.here: list[tuple[Finished, int]] = []
        self.by_the_sdk: list[str | None] = []
        self.wait: timedelta | None = None
        self.error: Exception | None = None

    async def take(self, finished: Finished, attempt: int) -> timedelta | None:
        self.here.append((finished, attempt))
        if self.error is not None:
            raise self.error
        return self.wait


@asynccontextmanager
async def served(taken: Taken, *keys: str) -> AsyncIterator[httpx.AsyncClient]:
    """The calls, with the SDK behind them."""
    app = FastAPI()
    client = inngest.Inngest(
        app_id="shadow",
        is_production=bool(keys),
        signing_key=keys[0] if keys else None,
        event_key="k",
    )

    @client.create_function(fn_id="watch", trigger=inngest.TriggerEvent(event="inngest/function.finished"))
    async def watch(ctx: inngest.Context) -> None:
        taken.by_the_sdk.append(ctx.event.id)
        if taken.wait is not None:
            raise inngest.RetryAfterError(UNKNOWN_SENDER, taken.wait, quiet=True)

    inngest.fast_api.serve(app, client, [watch], serve_path="/inngest")
    calls = WatcherCalls(taken.take, Signed.of(*keys) if keys else None, app, MOST)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=calls), base_url="http://front") as http:
        yield http


async def test_a_recorded_call_brings_its_event() -> None:
    taken, call = Taken(), recorded_call()
    async with served(taken) as http:
        answer = await http.post(PATH, content=orjson.dumps(call))
    assert (answer.status_code, answer.json()) == (200, None)
    ((finished, attempt),) = taken.here
    assert attempt == 0
    assert (finished.id, finished.data, finished.ts) == (
        call["event"]["id"],
        call["event"]["data"],
        call["event"]["ts"],
    )


@pytest.mark.parametrize("wait", [None, timedelta(seconds=8)])
async def test_the_answer_is_the_sdks_own(wait: timedelta | None) -> None:
    taken, call = Taken(), recorded_call()
    taken.wait = wait
    body = canonical(call)
    async with served(taken, KEY) as http:
        ours = await http.post(PATH, content=body, headers=signature(body, KEY))
        # An unknown parameter is nothing plain.
        theirs = await http.post(PATH + "&syncId=1", content=body, headers=signature(body, KEY))
    assert (len(taken.here), len(taken.by_the_sdk)) == (1, 1)
    assert ours.status_code == theirs.status_code == (200 if wait is None else 500)
    own = {"server-timing", "x-inngest-signature", "content-length", "retry-after"}
    assert {name: value for name, value in ours.headers.items() if name not in own} == {
        name: value for name, value in theirs.headers.items() if name not in own
    }
    if wait is None:
        assert ours.content == theirs.content
    else:
        assert [answer.json()["message"] for answer in (ours, theirs)] == [UNKNOWN_SENDER] * 2
        moments = [datetime.fromisoformat(answer.headers["retry-after"]) for answer in (ours, theirs)]
        assert all(timedelta(0) < moment - datetime.now(UTC) <= timedelta(seconds=9) for moment in moments)
        assert len(ours.headers["retry-after"]) == len(theirs.headers["retry-after"])


async def test_the_answer_is_signed_by_the_key_that_signed_the_call() -> None:
    taken, body = Taken(), canonical(recorded_call())
    async with served(taken, KEY, OLD) as http:
        for key in (KEY, OLD):
            answer = await http.post(PATH, content=body, headers=signature(body, key))
            moment = answer.headers["x-inngest-signature"].removeprefix("t=").partition("&")[0]
            assert answer.headers["x-inngest-signature"] == signature(b"null", key, int(moment))["x-inngest-signature"]
    assert len(taken.here) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-inngest-signature": "nonsense"},
        {"x-inngest-signature": "t=&s="},
        {"x-inngest-signature": "t=%C2%B2&s=00"},
        {"x-inngest-signature": f"t={'9' * 5000}&s=00"},
        signature(canonical(recorded_call()), "signkey-prod-other"),
        signature(b"another body", KEY),
    ],
)
async def test_what_is_not_signed_by_the_platform_is_refused(headers: dict[str, str]) -> None:
    taken, body = Taken(), canonical(recorded_call())
    async with served(taken, KEY) as http:
        answer = await http.post(PATH, content=body, headers=headers)
    assert answer.status_code == 401
    assert taken.here == [] and taken.by_the_sdk == []


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_an_old_call_sent_again_is_refused(minutes: int) -> None:
    taken, body = Taken(), canonical(recorded_call())
    async with served(taken, KEY) as http:
        headers = signature(body, KEY, time.time() + minutes * 60)
        answer = await http.post(PATH, content=body, headers=headers)
    assert answer.status_code == 401
    assert taken.here == [] and taken.by_the_sdk == []


@pytest.mark.parametrize("now_is", ["first", "last", "another header, before", "another header, after"])
async def test_an_old_call_is_not_fresh_by_a_second_moment(now_is: str) -> None:
    taken, body = Taken(), canonical(recorded_call())
    old, now = signature(body, KEY, time.time() - 3600)["x-inngest-signature"], f"t={round(time.time())}"
    told = {
        "first": [f"{now}&{old}"],
        "last": [f"{old}&{now}"],
        "another header, before": [f"{now}&s=00", old],
        "another header, after": [old, f"{now}&s=00"],
    }[now_is]
    async with served(taken, KEY) as http:
        answer = await http.post(PATH, content=body, headers=[("x-inngest-signature", one) for one in told])
    assert answer.status_code == 401
    assert taken.here == [] and taken.by_the_sdk == []


async def test_a_body_of_another_canonical_form_is_checked_by_the_sdk() -> None:
    taken, call = Taken(), recorded_call()
    call["event"]["data"]["result"] = 1.0  # RFC 8785 writes 1
    body = orjson.dumps(call)
    async with served(taken, KEY) as http:
        answer = await http.post(PATH, content=body, headers=signature(canonical(call).replace(b":1.0", b":1"), KEY))
    assert answer.status_code == 200
    assert (taken.here, taken.by_the_sdk) == ([], [call["event"]["id"]])


@pytest.mark.parametrize(
    "change",
    [
        {"use_api": True, "events": None},
        {"event": None},
        {"ctx": {}},
        {"event": {"name": "inngest/function.finished", "data": [1], "ts": 1}},
    ],
)
async def test_what_is_not_plain_is_the_sdks(change: dict[str, Any]) -> None:
    taken = Taken()
    async with served(taken) as http:
        answer = await http.post(PATH, content=orjson.dumps({**recorded_call(), **change}))
    assert taken.here == []
    assert answer.headers["x-inngest-sdk-handled"] == "true"


async def test_what_could_not_be_written_down_is_told_again() -> None:
    taken = Taken()
    taken.error = RuntimeError("no database")
    async with served(taken) as http:
        answer = await http.post(PATH, content=orjson.dumps(recorded_call()))
    assert answer.status_code == 500
    assert "no database" not in answer.text


async def test_a_call_that_is_too_long_is_refused() -> None:
    taken, call = Taken(), recorded_call()
    call["event"]["data"]["result"] = "x" * MOST
    async with served(taken) as http:
        assert (await http.post(PATH, content=orjson.dumps(call))).status_code == 413

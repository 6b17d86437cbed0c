"""Registering the watcher: with an address that the platform or the catalogue names, and none of a stranger's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import orjson
import pytest

from api.front.reports import worker_app
from sandbox.inngest.signing import signature
from shadow.catalogue import parse
from shadow.store.database import Database
from tests.unit.shadow.catalogue.generated import ENVIRON, small

KEY = "abcdef0123456789"


class Registering:
    """The platform's API, which is told where the app is, and the application that tells it."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        told = orjson.loads(await reader.readexactly(length))
        self.registered += [told["url"], told["functions"][0]["steps"]["step"]["runtime"]["url"]]
        writer.write(b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{"ok":true}')
        writer.close()

    async def ask(self, more: str, host: str, *, signed: bool, kind: str | None = None) -> httpx.Response:
        named = f"    api_url: http://127.0.0.1:{self.port}\n{more}    app: commerce\n"
        catalogue = parse(small(("    app: commerce\n", named), ("abcdef", KEY)), "c.yaml", ENVIRON)
        app = worker_app(catalogue, cast(Database, None))
        body = orjson.dumps({"url": f"https://{host}/shadow/inngest"})
        headers = {"host": host, "content-type": "application/json", "x-inngest-server-kind": "cloud"}
        if signed:
            headers["x-inngest-signature"] = signature(body, KEY, int(time.time()))
        if kind:
            headers["x-inngest-sync-kind"] = kind
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, root_path="/shadow"), base_url="https://x"
        ) as http:
            return await http.put("/shadow/inngest", content=body, headers=headers)


@asynccontextmanager
async def _registering() -> AsyncIterator[Registering]:
    made = Registering()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@pytest.fixture
async def registering() -> AsyncIterator[Registering]:
    async with _registering() as made:
        yield made


@pytest.mark.parametrize("kind", [None, "in_band", "out_of_band"])
async def test_a_stranger_registers_nothing(registering: Registering, kind: str | None) -> None:
    answer = await registering.ask("", "stranger.example", signed=False, kind=kind)
    assert (answer.status_code, registering.registered) == (401, [])
    assert "`front_url` of the platform" in answer.json()["message"]


async def test_the_platform_registers_it_where_it_asks(registering: Registering) -> None:
    answer = await registering.ask("", "shadow.example", signed=True)
    assert answer.status_code == 200
    assert registering.registered[0] == "https://shadow.example/shadow/inngest"


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("https://shadow.example:8443", "https://shadow.example:8443/shadow/inngest"),
        ("https://shadow.example/front/", "https://shadow.example/front/shadow/inngest"),
    ],
)
async def test_an_address_that_is_declared_is_registered_whoever_asks(
    registering: Registering, front: str, expected: str
) -> None:
    answer = await registering.ask(f"    front_url: {front}\n", "stranger.example", signed=False)
    assert answer.status_code == 200
    assert registering.registered[0] == expected
    assert registering.registered[1].partition("?")[0] == expected


async def test_in_band_the_declared_address_is_answered(registering: Registering) -> None:
    more = "    front_url: https://shadow.example\n"
    answer = await registering.ask(more, "stranger.example", signed=True, kind="in_band")
    told: dict[str, Any] = answer.json()
    assert told["url"] == "https://shadow.example/shadow/inngest"
    assert registering.registered == []

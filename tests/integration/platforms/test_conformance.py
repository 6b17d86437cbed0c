"""Each adapter against the suite that every adapter must pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.chaos.line import Line
from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.trigger_dev import PretendTriggerDev
from shadow.catalogue import ResolvedCatalogue, ResolvedTask, parse
from shadow.outcomes.collector import reader_of
from shadow.outcomes.reader import Reader
from shadow.platforms.adapter import Adapter
from shadow.platforms.client import carrying_client
from shadow.platforms.registry import adapters
from tests.integration.fanout.serving import served
from tests.integration.fanout.stage import CATALOGUE, SECRET, functions
from tests.integration.platforms.conformance import Conformance


def _catalogue(**urls: str) -> ResolvedCatalogue:
    known = {"trigger": "http://127.0.0.1:9", "inngest": "http://127.0.0.1:9", "app": "http://127.0.0.1:9"}
    return parse(CATALOGUE.format(**(known | urls), secret=SECRET), "conformance.yaml", {})


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    """A line that leads there."""
    line = Line(free_port(), urlsplit(url))
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


@dataclass
class _Trigger:
    adapter: Adapter
    task: ResolvedTask
    catalogue: ResolvedCatalogue
    pretend: PretendTriggerDev
    line: Line
    seeded: bool = False
    tells: bool = True

    def started(self) -> int:
        return len(self.pretend.runs())

    async def settled(self) -> None:
        await self.pretend.settled()

    def lose_answers(self, count: int) -> None:
        self.pretend.traps.lose_responses = count

    def throttle(self, seconds: int) -> None:
        self.pretend.traps.limit_per_window = 0

    def hang(self) -> None:
        self.pretend.traps.slow_ms = 60_000

    def reader(self) -> Reader | None:
        return reader_of("trigger", self.adapter, self.catalogue)


class TestTriggerDev(Conformance):
    @pytest.fixture
    async def subject(self) -> AsyncIterator[_Trigger]:
        async def done(payload: Any, context: Any) -> Any:
            return {"done": payload}

        pretend = PretendTriggerDev(secret_keys=[SECRET])
        pretend.task("sync-order", done)
        async with pretend, line_to(pretend.url) as line, carrying_client() as http:
            catalogue = _catalogue(trigger=line.url)
            adapter = adapters(catalogue, http)["trigger"]
            yield _Trigger(adapter, catalogue.tasks["sync-order"], catalogue, pretend, line)


@dataclass
class _Inngest:
    adapter: Adapter
    task: ResolvedTask
    catalogue: ResolvedCatalogue
    pretend: PretendInngest
    hanging: dict[str, bool]
    line: Line
    seeded: bool = True
    tells: bool = True

    def started(self) -> int:
        return sum(run.function_id == "shop-pay-out" for run in self.pretend.runs())

    async def settled(self) -> None:
        await self.pretend.settled(5)

    def lose_answers(self, count: int) -> None:
        self.pretend.traps.answers_lost = count

    def throttle(self, seconds: int) -> None:
        self.pretend.traps.sends_rate_limited = 1
        self.pretend.traps.retry_after = seconds

    def hang(self) -> None:
        self.hanging["now"] = True

    def reader(self) -> Reader | None:
        return reader_of("inngest", self.adapter, self.catalogue)


class TestInngest(Conformance):
    @pytest.fixture
    async def subject(self) -> AsyncIterator[_Inngest]:
        pretend = PretendInngest(retry_delay=0.01)
        hanging = {"now": False}

        async def gate(scope: Any, receive: Any, send: Any) -> None:
            if hanging["now"]:
                await asyncio.sleep(60)
            await pretend.app(scope, receive, send)

        async with (
            pretend,
            served(gate) as url,
            line_to(url) as line,
            served(functions(url)) as app,
            carrying_client() as http,
        ):
            await pretend.sync(f"{app}/api/inngest")
            catalogue = _catalogue(inngest=line.url)
            adapter = adapters(catalogue, http)["inngest"]
            yield _Inngest(adapter, catalogue.tasks["pay-out"], catalogue, pretend, hanging, line)


@dataclass
class _Endpoint:
    """An app that dedupes by the key it is sent, as the platform's contract asks of it."""

    task: ResolvedTask
    adapter: Adapter
    line: Line
    taken: set[str] = field(default_factory=set)
    losing: int = 0
    throttled: int = 0
    hanging: bool = False
    seeded: bool = False
    tells: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if self.hanging:
            await asyncio.sleep(60)
        status, headers = 202, []
        if self.throttled:
            status, headers = 429, [(b"retry-after", str(self.throttled).encode())]
        else:
            self.taken.add(dict(scope["headers"])[b"idempotency-key"].decode())
            if self.losing:
                self.losing -= 1
                status = 502
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def started(self) -> int:
        return len(self.taken)

    async def settled(self) -> None:
        return

    def lose_answers(self, count: int) -> None:
        self.losing = count

    def throttle(self, seconds: int) -> None:
        self.throttled = seconds

    def hang(self) -> None:
        self.hanging = True

    def reader(self) -> Reader | None:
        return None


class TestHttpEndpoint(Conformance):
    @pytest.fixture
    async def subject(self) -> AsyncIterator[_Endpoint]:
        task = _catalogue().tasks["sync-order"]
        async with carrying_client() as http:
            endpoint = _Endpoint(task, _unserved(http), Line(free_port(), urlsplit("http://127.0.0.1:9")))
            async with served(endpoint) as url, line_to(url) as endpoint.line:
                endpoint.adapter = adapters(_catalogue(app=endpoint.line.url), http)["app"]
                yield endpoint


def _unserved(http: httpx.AsyncClient) -> Adapter:
    return adapters(_catalogue(), http)["app"]

"""The whole service between two live workers of one task, `pay`, before a bank that keeps books of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev import PretendTriggerDev
from sandbox.trigger_dev.tasks import Handler
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.egress import keys as egress_keys
from shadow.service import Listener, Service
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.integration.causes.chain import up
from tests.integration.fanout.serving import until

TASK = "pay"
HOST = "api.bank.example"
"""Where workers believe the bank to be. There is no such host: only by way of the gateway is anything there."""
SECRET = "sk_live_0123456789"
ROOT = "tr_prod_PayingRoot00000000000000"

CATALOGUE = """
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{trigger}", secret_key: {root}, poll_every: 300ms}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "{inngest}", api_url: "{inngest}", event_key: shadows-key, dev: true,
     app: shop, poll_every: 300ms}}
sources:
  app: {{kind: inngest, keys: [app-key]}}
  candidate-worker: {{kind: inngest, keys: [candidate-key], origin: candidate}}
report_keys: {{legacy: [legacy-reports], candidate: [candidate-reports]}}
defaults: {{deadline: 60s, settle: 200ms, sequence: {sequence}}}
targets:
  bank:
    url: "{bank}"
    private: true
    credential: {{header: authorization, secret: "Bearer {secret}"}}
    witness: {{request: "GET /v1/transfers", items: "$.data[*]"}}
    operations:
      - {{match: POST /v1/transfers, identity: [$.body.request]}}
      - {{match: "GET /v1/transfers/{{id}}"}}
      - {{match: POST /v1/notes, stub: {{status: 201, body: {{id: {{value: note_stub}}}}}}}}
tasks:
  pay:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""


@dataclass(frozen=True)
class Call:
    """One call as the bank saw it."""

    asked: str
    headers: dict[str, str]
    body: Any


@dataclass
class Bank:
    """Knows who asks by its secret; every transfer is a new one."""

    calls: list[Call] = field(default_factory=list)
    transfers: dict[str, Any] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        call = Call(f"{scope['method']} {scope['path']}", headers, orjson.loads(body) if body else None)
        if headers.get("authorization") == f"Bearer {SECRET}":
            status, answer = self._answer(call)
        else:
            status, answer = 401, {"error": "unauthorized"}
        self.calls.append(call)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": orjson.dumps(answer)})

    def _answer(self, call: Call) -> tuple[int, Any]:
        if call.asked == "GET /v1/transfers":
            return 200, {"data": list(self.transfers.values())}
        if call.asked.startswith("GET /v1/transfers/"):
            found = self.transfers.get(call.asked.rpartition("/")[2])
            return (200, found) if found else (404, {"error": "no such transfer"})
        number = next(self._numbers)
        if call.asked == "POST /v1/transfers":
            made = {"id": f"tr_{number:04}", **call.body}
            self.transfers[made["id"]] = made
            return 201, made
        return 201, {"id": f"note_{number:04}"}

    @property
    def writes(self) -> list[str]:
        return [call.asked for call in self.calls if not call.asked.startswith("GET")]


@dataclass
class Paying:
    """All of it, running."""

    front: str
    text: str
    """The catalogue as it is written."""
    catalogue: ResolvedCatalogue
    database: Database
    bank: Bank
    trigger: PretendTriggerDev
    inngest: PretendInngest
    inngest_url: str
    client: httpx.AsyncClient
    keys: dict[Side, str]

    def environment(self, side: Side, version: str) -> dict[str, str]:
        """Of a worker of that side with the client package."""
        given = {
            "SHADOW_GATEWAY_URL": self.front,
            "SHADOW_EGRESS_KEY": self.keys[side],
            "SHADOW_TARGETS": f"{HOST}=bank",
            "SHADOW_REPORT_KEY": f"{side.value}-reports",
            "SHADOW_VERSION": version,
        }
        if side is Side.CANDIDATE:
            given |= {
                "INNGEST_BASE_URL": self.inngest_url,
                "INNGEST_EVENT_API_BASE_URL": self.front,
                "INNGEST_EVENT_KEY": "candidate-key",
            }
        return given

    def legacy(self, handler: Handler) -> None:
        """Deploy legacy's task."""
        self.trigger.task(TASK, handler)

    async def candidate(self, url: str) -> None:
        """Sync the candidate's app, and the watcher."""
        await self.inngest.sync(url)
        await self.inngest.sync(f"{self.front}/shadow/inngest")

    async def to_shadow(self, *, declared: bool = True) -> None:
        """Into the dual run; returns when every process knows."""
        if declared:
            await declare(self.database, TASK, actor="tests", reason="its bank is pretended")
        await move(self.database, self.catalogue, TASK, Phase.SHADOW, actor="tests", reason="the dual run")
        async with self.database.connection(Work.CONTROL) as conn:  # at once, instead of in a while
            await conn.execute("UPDATE phases SET effective_at = now(), version = version + 1")
            await conn.execute("NOTIFY shadow_routing")
        await asyncio.sleep(0.3)

    async def send(self, *requests: str) -> None:
        """What the producer does."""
        events = [
            {"name": "payout/approved", "id": request, "data": {"request": request, "amount": 1200}}
            for request in requests
        ]
        answer = await self.client.post("/e/app-key", json=events)
        assert answer.status_code == 200, answer.text

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as conn:
            return await (await conn.execute(query.encode(), parameters)).fetchall()

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str, within: float = 60) -> None:
        try:
            await until(holds, within=within, every=0.1)
        except TimeoutError:
            state = await self.rows("SELECT task, side, state, status, error_message, platform_run_id FROM runs")
            seen = await self.rows("SELECT side, operation, disposition, status FROM effects ORDER BY id")
            raise AssertionError(f"{what} was waited for; runs: {state}; effects: {seen}") from None

    async def judged(self, pairs: int) -> list[tuple[str, str | None]]:
        """The verdict and reason of each pair, once there are so many."""

        async def all_are() -> bool:
            return len(await self.rows("SELECT FROM pairs WHERE verdict IS NOT NULL")) >= pairs

        await self.until(all_are, f"{pairs} verdicts")
        return [(verdict, reason) for verdict, reason in await self.rows("SELECT verdict, reason FROM pairs")]

    async def ended(self, side: Side, runs: int) -> None:
        """Until so many runs of that side are known to have ended."""

        async def all_have() -> bool:
            query = "SELECT FROM runs WHERE side = %s AND state = 'finished'"
            return len(await self.rows(query, side.value)) >= runs

        await self.until(all_have, f"the end of {runs} runs of {side.value}")


@asynccontextmanager
async def paying(database: Database, folder: Path, *, sequence: str = "after") -> AsyncIterator[Paying]:
    """Everything but the workers, as long as the block lasts."""
    port = free_port()
    front = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        bank = Bank()
        bank_served = await stack.enter_async_context(Served(bank))
        trigger = await stack.enter_async_context(PretendTriggerDev(secret_keys=[ROOT]))
        # What waits for its twin asks to be tried again at once; a failure would be tried again too late.
        pretend = await stack.enter_async_context(PretendInngest(retry_delay=600))
        inngest_served = await stack.enter_async_context(Served(pretend.app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=front, timeout=60, trust_env=False))
        text = CATALOGUE.format(
            trigger=trigger.url,
            inngest=inngest_served.url,
            root=ROOT,
            bank=bank_served.url,
            secret=SECRET,
            sequence=sequence,
        )
        catalogue = parse(text, "paying.yaml", {})
        await database.prepare()
        keys = {side: (await egress_keys.issue(database, side, f"{side.value}-workers"))[0] for side in Side}
        stop = asyncio.Event()
        service = Service(catalogue, database, front=Listener("127.0.0.1", port), control=None, loops=True, data=folder)
        running = asyncio.create_task(service.run(stop))

        async def end() -> None:
            stop.set()
            await running

        stack.push_async_callback(end)
        await up(client, running)
        yield Paying(front, text, catalogue, database, bank, trigger, pretend, inngest_served.url, client, keys)

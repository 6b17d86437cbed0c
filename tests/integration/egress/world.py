"""The gateway behind its real edge, before a target that keeps books, on a real database with pairs in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import psycopg

from api.front.egress import EgressEdge
from sandbox.serving import Served
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Decision, Phase, decide
from shadow.effects.record import AttributedBy
from shadow.egress import keys
from shadow.egress.calls import Call
from shadow.egress.disposition import Disposition
from shadow.egress.gateway import Gateway
from shadow.model.ids import derived_id, new_id
from shadow.outcomes.inngest_runs import InngestRuns
from shadow.outcomes.trigger_children import Discovery
from shadow.outcomes.trigger_traces import TriggerTraces
from shadow.platforms.client import carrying_client
from shadow.spool.replay import SpoolReplay, spooling
from shadow.store import codec
from shadow.store.database import Database

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{trigger}", secret_key: {secret}, timeout: 1s,
            budget: {{requests_per_minute: 60000, burst: 1000}}}}
  inngest: {{kind: inngest, side: candidate, event_url: "{trigger}", api_url: "{trigger}", event_key: k, app: shop}}
sources:
  app: {{kind: inngest, keys: [producer]}}
targets:
  pay:
    url: "{target}/base"
    private: true
    timeout: 2s
    recorded_bytes: 20000
    credential: {{header: authorization, secret: "Bearer sk_live_real"}}
    headers: {{x-account: acct_1}}
    operations:
      - match: POST /v1/transfers
        identity: [$.body.requestId]
        stub: {{status: 201, body: {{id: tr_stub, requestId: $.body.requestId}}}}
      - match: POST /v1/search
        effect: read
      - match: GET /v1/transfers/{{id}}
      - match: POST /v1/refunds
  shop:
    url: "{target}/shop"
    private: true
    timeout: 2s
    undeclared: refuse
    credential: {{query: api_key, secret: real}}
    reads_quota: {{requests_per_minute: 60, burst: 2}}
    operations:
      - match: GET /orders/{{id}}
      - match: POST /orders
  public:
    url: "{target}"
  open: {{url: "{target}/open", private: true, stub: {{status: 200}}}}
  dead: {{url: "http://127.0.0.1:9", private: true, timeout: 1s}}
tasks:
  payout:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger, task: process-payout}}
    candidate: {{platform: inngest, function: process-payout}}
  digest:
    event: digest/due
    sources: [app]
    sequence: together
    reads: forward
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""


@dataclass
class Books:
    """A target: remembers all that it was asked, answers as told."""

    calls: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    """Method, path with query, headers, body."""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    pause: float = 0.0
    number: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _headers, _body in self.calls if method not in ("GET", "HEAD")]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append((scope["method"], path, headers, body))
        self.number += 1
        self.called.set()
        number = self.number
        if self.pause:
            await asyncio.sleep(self.pause)
        status, given, content = (
            self.answers.pop(0)
            if self.answers
            else (201 if scope["method"] == "POST" else 200, {"x-target": "1"}, orjson.dumps({"id": f"tr_{number}"}))
        )
        if status in (204, 304):
            content = b""
        elif "transfer-encoding" not in given:
            given = {**given, "content-length": str(len(content))}
        sent = [(name.encode(), value.encode()) for name, value in given.items() if name != "transfer-encoding"]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


@dataclass
class Twins:
    """One event with its pair of runs."""

    world: World
    event: UUID
    delivery: str
    task: str

    def run(self, side: Side) -> UUID:
        return derived_id(self.event, self.task, side)

    @property
    def pair(self) -> UUID:
        return derived_id(self.event, self.task)

    def headers(self, side: Side, attempt: int = 1) -> dict[str, str]:
        """As the client packages send them."""
        named = {"x-shadow-run": f"run_{self.delivery}"} if side is Side.LEGACY else {"x-shadow-event": self.delivery}
        return {**named, "x-shadow-task": self.task, "x-shadow-attempt": str(attempt)}

    async def call(
        self,
        side: Side,
        method: str = "POST",
        path: str = "pay/v1/transfers",
        *,
        attempt: int = 1,
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.world.keys[side]}", **self.headers(side, attempt), **(headers or {})}
        return await self.world.client.request(method, f"/egress/{path}", headers=sent, **arguments)

    async def finish(self, side: Side) -> None:
        await self.world.execute(
            "UPDATE runs SET state = 'finished', status = 'completed', finished_at = now() WHERE id = %s",
            self.run(side),
        )


@dataclass
class ToldRouting:
    phase: Phase = Phase.SHADOW

    def decision(self, route: str, key: str | None = None) -> Decision:
        return decide(route, self.phase)


@dataclass
class World:
    client: httpx.AsyncClient
    database: Database
    catalogue: ResolvedCatalogue
    gateway: Gateway
    books: Books
    routing: ToldRouting
    keys: dict[Side, str]
    trigger: dict[str, dict[str, Any]]
    """The runs that Trigger.dev tells of."""
    replay: SpoolReplay
    url: str
    traces: TriggerTraces
    inngest: dict[str, Any]
    """What Inngest's API tells, by path."""

    async def execute(self, query: str, *parameters: Any) -> None:
        async with self.database.direct() as connection:
            await connection.execute(query.encode(), parameters)

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.direct() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def effects(self) -> list[tuple[Any, ...]]:
        """(side, operation, disposition, status, identity) in order."""
        return await self.rows("SELECT side, operation, disposition, status, identity FROM effects ORDER BY sequence")

    async def body(self, part: str, where: str = "true") -> Any:
        """The newest stored body of that part; of part data what stands in the effect's row."""
        if part == "data":
            kept = await self.rows(f"SELECT data FROM effects WHERE {where} ORDER BY sequence DESC LIMIT 1")
            return codec.decode(kept[0][0]) if kept else None
        rows = await self.rows(
            f"SELECT id, part, content FROM bodies JOIN effects USING (id) WHERE part = %s AND {where}"
            " ORDER BY effects.sequence DESC LIMIT 1",
            part,
        )
        (opened,) = await self.database.vault.open(rows) if rows else (None,)
        return opened

    async def twins(
        self, task: str = "payout", *, real: Side | None = Side.LEGACY, delivery: str | None = None
    ) -> Twins:
        """A pair, as fan-out leaves it; legacy's run is named."""
        event = new_id()
        twins = Twins(self, event, delivery or f"d{event.hex[-12:]}", task)
        await self.execute(
            "INSERT INTO events (id, source, door, origin, name, delivery_id, route, phase, authority)"
            " VALUES (%s, 'app', 'inngest', 'producer', %s, %s, %s, 'shadow', %s)",
            event,
            self.catalogue.tasks[task].event,
            twins.delivery,
            task,
            real,
        )
        for side in Side:
            name = f"run_{twins.delivery}" if side is Side.LEGACY else None
            platform = "trigger" if side is Side.LEGACY else "inngest"
            await self.execute(
                "INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority, state)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'sent')",
                twins.run(side),
                event,
                twins.pair,
                task,
                side,
                platform,
                name,
                "real" if side is real else "none",
            )
            if name is not None:
                await self.execute("INSERT INTO run_aliases VALUES (%s, %s, %s)", platform, name, twins.run(side))
        await self.execute(
            "INSERT INTO pairs (id, event_id, task, legacy_run, candidate_run, state, deadline_at, due_at)"
            " VALUES (%s, %s, %s, %s, %s, 'open', now() + interval '1 hour', now() + interval '1 hour')",
            twins.pair,
            event,
            task,
            twins.run(Side.LEGACY),
            twins.run(Side.CANDIDATE),
        )
        return twins


def forwarded(twins: Twins) -> Call:
    """A call of legacy's, before it leaves."""
    return Call(
        id=new_id(),
        side=Side.LEGACY,
        run_id=twins.run(Side.LEGACY),
        platform_run_id=None,
        task=twins.task,
        sequence=1,
        attempt=1,
        kind="http",
        target="pay",
        operation="POST /v1/transfers",
        identity=None,
        idempotency_key=None,
        occurred_at=datetime.now(UTC),
        attributed_by=AttributedBy.HEADERS,
        disposition=Disposition.FORWARD,
        writes=True,
        digest=None,
        document=b"{}",
        of_tenant=True,
        pair=twins.pair,
    )


async def until(check: Callable[[], Awaitable[object]], seconds: float = 30) -> None:
    """Wait until something is so."""
    for _ in range(int(seconds / 0.05)):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it did not come about within {seconds} s")


@asynccontextmanager
async def outage(server_url: str) -> AsyncIterator[None]:
    """Nobody can connect, and who was connected is thrown out."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE shadow_tests WITH ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shadow_tests'")
        try:
            yield
        finally:
            connection.execute("ALTER DATABASE shadow_tests WITH ALLOW_CONNECTIONS true")


@asynccontextmanager
async def world_of(
    database: Database, folder: Path, *, trigger_url: str | None = None, secret: str = "tr_dev_secret"
) -> AsyncIterator[World]:
    """
    Args:
        trigger_url: of a pretend Trigger.dev, in place of one that tells what `World.trigger` holds.
    """
    async with AsyncExitStack() as stack:
        books = Books()
        target = await stack.enter_async_context(Served(books))
        told: dict[str, dict[str, Any]] = {}
        inngest: dict[str, Any] = {}

        async def trigger(scope: Any, receive: Any, send: Any) -> None:
            run = told.get(scope["path"].partition("/runs/")[2])
            if scope["path"] in inngest:
                run = {"data": inngest[scope["path"]]}
            content = orjson.dumps(run or {"error": "Run not found"})
            headers = [(b"content-length", str(len(content)).encode())]
            await send({"type": "http.response.start", "status": 200 if run else 404, "headers": headers})
            await send({"type": "http.response.body", "body": content})

        platform = await stack.enter_async_context(Served(trigger))
        catalogue = parse(
            CATALOGUE.format(target=target.url, trigger=trigger_url or platform.url, secret=secret), "egress.yaml", {}
        )
        held = {side: (await keys.issue(database, side, f"{side} workers"))[0] for side in Side}
        routing = ToldRouting()
        http = await stack.enter_async_context(carrying_client())
        discovery = Discovery(catalogue, database, http)
        traces = TriggerTraces(catalogue, database, http, discovery.discover, fresh_seconds=0, again_seconds=0.1)
        identify = InngestRuns(catalogue, database, http).identify
        replay = await stack.enter_async_context(spooling(folder / "spool", database))
        gateway = Gateway(catalogue, database, routing, http, replay.spool, traces=traces, identify=identify)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        edge = EgressEdge(gateway)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await edge(scope, receive, send)

        front = await stack.enter_async_context(Served(application))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=front.url, timeout=30))
        yield World(
            client,
            database,
            catalogue,
            gateway,
            books,
            routing,
            held,
            told,
            replay,
            front.url,
            traces,
            inngest,
        )

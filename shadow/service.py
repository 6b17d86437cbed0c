"""The processes: which parts run in one, in which order they start and stop.

This is the one module of `shadow` that reaches into `api`, and only when a listener is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
import uvicorn
import uvloop

from shadow.archive.keeping import ArchiveLoop
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Limits, Side
from shadow.containment.watch import ContainmentWatch
from shadow.costs.sampling import ExecutionSampler
from shadow.costs.tallying import CostLoop
from shadow.cutover.last_known import LastKnown, NotKnown
from shadow.cutover.routing import Routing
from shadow.drain import drain_time
from shadow.effects.probes import ProbeLoop
from shadow.effects.reattribution import Reattribution
from shadow.effects.row_changes import RowChangesLoop
from shadow.egress.attendance import Attendance
from shadow.egress.gateway import Gateway
from shadow.egress.mail_relay import MailRelay
from shadow.egress.reading import TargetReads
from shadow.egress.smtp_sink import SmtpSink
from shadow.fanout.loop import DeliveryLoop
from shadow.fanout.opening import Openings
from shadow.fanout.spooled_handoffs import SpooledHandoffs
from shadow.gate.counting import CountingLoop
from shadow.gate.evaluating import GateLoop
from shadow.gate.legacy_shapes import LegacyShapes
from shadow.intake.intake import Intake
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop
from shadow.notices.delivering import NoticeLoop
from shadow.observe import logs
from shadow.outcomes.collector import Collector
from shadow.outcomes.inngest_runs import InngestRuns
from shadow.outcomes.spooled_reports import SpooledReports
from shadow.outcomes.trigger_children import Discovery
from shadow.outcomes.trigger_traces import TriggerTraces
from shadow.platforms.client import carrying_client
from shadow.platforms.registry import adapters
from shadow.platforms.tls import contexts
from shadow.sealing import master
from shadow.spool.replay import spooling
from shadow.steering.watching import CutoverWatch
from shadow.store import embedded
from shadow.store.away import is_away
from shadow.store.database import Database
from shadow.store.upkeep import Upkeep
from shadow.ticks.candidate_runs import take_ticks
from shadow.ticks.discovery import Discover, first_of
from shadow.ticks.expecting import TickLoop
from shadow.ticks.legacy_runs import LegacyTicks, tick_sweep
from shadow.ticks.queue_loop import QueueLoop
from shadow.world.sequencing import Sequencer

if TYPE_CHECKING:
    import httpx

    from api.front.opening import Opening

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 10
"""How long requests under way may take once a listener is told to stop, unless its catalogue says more."""
IDLE_SECONDS = Limits().idle.total_seconds()
"""How long a connection is kept between two requests, unless its catalogue says otherwise."""
_LOOK_SECONDS = 5.0
"""How long the database is waited for at start before the process goes on without it."""
_LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server listens."""

    host: str
    port: int
    names: Sequence[str] = ()
    """By which it may be called where no token is needed, beside addresses and `localhost`."""


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener there; a name other than localhost may be anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Part(Protocol):
    """Something that runs for as long as the process does."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the process, which stops its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_settings(listener: Listener, drain: float = DRAIN_SECONDS, idle: float = IDLE_SECONDS) -> dict[str, Any]:
    """The uvicorn settings of every listener (the benchmarks use them too).

    Args:
        idle: seconds that a connection is kept between two requests.
    """
    return {
        "host": listener.host,
        "port": listener.port,
        "loop": "uvloop",
        "http": "api.connection:Connection",  # uvicorn's of httptools, with limits
        "ws": "none",
        "lifespan": "off",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "date_header": False,  # the doors pass answers of the platforms on, which have their own
        "timeout_keep_alive": idle,
        "timeout_graceful_shutdown": math.ceil(drain),
        "backlog": 2048,
    }


class Service:
    """One process of Shadow: HTTP, loops, or both."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        *,
        front: Listener | None,
        control: Listener | None,
        loops: bool,
        data: Path | None = None,
        smtp: Listener | None = None,
        drain: timedelta | None = None,
    ) -> None:
        """
        Args:
            drain: how long what is under way may take once the process is told to stop; the catalogue says it by
                default (`shadow/drain.py`).
            smtp: where workers send mail, with the front listener only.
            data: the folder below which is spooled while the database is away; `.shadow` by default.
        """
        self._data = data or Path(".shadow")
        self._catalogue = catalogue
        self._database = database
        self._front = front
        self._control = control
        self._loops = loops
        database.vault.redaction = catalogue.catalogue.redaction
        self._smtp = smtp
        self._drain = drain_time(catalogue, drain)
        self._on_drain: list[Callable[[], None]] = []
        self._steps: deque[Callable[[], Awaitable[None]]] = deque()
        """What is still to be started once the database is there, in this order."""
        self._opening: Opening | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then drain: servers first, then what they feed. While the database is away, what can
        do without it runs, and the rest once it is there.

        Raises:
            WrongSealingKey: the database's keys were wrapped by another master key.
        """
        async with contextlib.AsyncExitStack() as stack:
            is_here = await self._prepared()
            http = await stack.enter_async_context(carrying_client(tls_of=contexts(self._catalogue)))
            self._on_database(stack, http)
            if is_here:
                await self._begin()
            servers = []
            if self._front is not None:
                servers.append(await self._front_server(stack, http, is_here))
            if self._control is not None:
                servers.append(self._control_server(stack))
            if is_here:
                await self._begin()
            # What is loaded by now stays: the collector need not walk it again, which takes a tenth of a second.
            gc.collect()
            gc.freeze()
            # A request makes some hundred containers and leaves none: looking less often gains 3 % of accepts.
            gc.set_threshold(50_000, 20, 50)
            serving = [asyncio.create_task(server.serve()) for server in servers]
            log.info(
                "service.started",
                front=self._front and self._front.port,
                control=self._control and self._control.port,
                pages=self._control and f"http://{self._control.host}:{self._control.port}/pages/",
                loops=self._loops,
            )
            stopped = asyncio.create_task(stop.wait())
            arriving = asyncio.create_task(self._arrive(is_here), name="database-awaited")
            await asyncio.wait([stopped, *serving, arriving], return_when=asyncio.FIRST_COMPLETED)
            if arriving.done() and arriving.exception() is None:
                await asyncio.wait([stopped, *serving], return_when=asyncio.FIRST_COMPLETED)
            if any(task.done() for task in serving):
                log.error("service.listener_ended")
            arriving.cancel()
            (problem,) = await asyncio.gather(arriving, return_exceptions=True)
            log.info("service.draining", seconds=self._drain.total_seconds())
            for begin in self._on_drain:
                begin()
            for server, task in zip(servers, serving, strict=True):
                # The front first: while it drains, the control listener says that the process lives and is not ready.
                server.should_exit = True
                await task
            stopped.cancel()
            if isinstance(problem, Exception):
                raise problem
        log.info("service.stopped")

    async def _prepared(self) -> bool:
        """Have the schema be the newest; False while the database is away. Nobody in this process gets at it then: what
        it holds may be of an older version."""
        self._database.held = True
        try:
            if not await self._database.answers(_LOOK_SECONDS):
                return False
            if self._opening is not None:
                # Others reach it too, and may move routes from now on.
                self._opening.shut("the database is back, and is being read")
            await self._database.prepare()
        except Exception as error:
            if not is_away(error):
                raise
            return False
        return True

    async def _begin(self) -> None:
        """Start what waits for the database, one after the other."""
        while self._steps:
            await self._steps[0]()
            self._steps.popleft()

    async def _arrive(self, is_here: bool) -> None:
        """Wait for a database that was away when the process started, and start what waits for it.

        Raises:
            WrongSealingKey: the database's keys were wrapped by another master key.
        """
        if is_here:
            return
        log.warning("service.waits_for_database")
        while True:
            try:
                if await self._prepared():
                    await self._begin()
                    log.info("service.database_here")
                    return
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("service.database_away_again", error=type(error).__name__)
            if self._opening is not None:
                self._opening.reopen()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def _part(self, stack: contextlib.AsyncExitStack, part: _Part) -> None:
        """Start it once the database is there; stop it at the end."""

        async def start() -> None:
            await part.start()
            stack.push_async_callback(part.stop)

        self._steps.append(start)

    def _on_database(self, stack: contextlib.AsyncExitStack, http: httpx.AsyncClient) -> None:
        """What can do nothing without the database."""
        retention = self._catalogue.catalogue.retention
        self._part(stack, self._database.vault)
        self._part(
            stack,
            Upkeep(
                self._database,
                originals=retention.originals,
                evidence=retention.evidence,
                notices=retention.notices,
            ),
        )
        if self._loops:
            self._start_loops(stack, http)

    def _start_loops(self, stack: contextlib.AsyncExitStack, http: httpx.AsyncClient) -> None:
        known = adapters(self._catalogue, http)
        reads = TargetReads(self._catalogue)
        traces = TriggerTraces(self._catalogue, self._database, http, self._discover(http))
        collector = Collector(self._catalogue, self._database, known)
        stack.push_async_callback(reads.close)
        openings = Openings()
        parts: list[_Part] = [
            *(DeliveryLoop(side, self._catalogue, self._database, known, openings) for side in Side),
            collector,
            TickLoop(self._database, self._catalogue),
            QueueLoop(self._database, self._catalogue),
            tick_sweep(self._catalogue, self._database, known, collector),
            Sequencer(self._database, self._catalogue),
            JudgeLoop(self._database, self._catalogue),
            Reattribution(self._database, self._catalogue, traces),
            AllowanceLoop(self._database),
            CountingLoop(self._database, self._catalogue),
            RowChangesLoop(self._database, self._catalogue),
            ProbeLoop(self._database, self._catalogue, reads),
            ContainmentWatch(self._database),
            GateLoop(self._database, self._catalogue),
            LegacyShapes(self._database, self._catalogue),
            NoticeLoop(self._database, self._catalogue),
            CutoverWatch(self._database, self._catalogue),
            ArchiveLoop(self._database, self._catalogue),
            CostLoop(self._database),
            ExecutionSampler(self._database, self._catalogue, http),
        ]
        for part in parts:
            self._part(stack, part)

    async def _front_server(self, stack: contextlib.AsyncExitStack, http: httpx.AsyncClient, is_here: bool) -> _Server:
        from api.front.afterwards import Afterwards
        from api.front.application import FrontApp
        from api.front.opening import Opening
        from api.front.reports import PREFIX, worker_app
        from api.front.services import FrontServices
        from api.front.straight import Straight

        assert self._front is not None
        limits, opening = self._catalogue.limits, Opening()
        last_known = LastKnown(self._data, self._database.url, self._database.vault, limits.last_known)
        routing = Routing(self._catalogue, self._database, last_known)
        stack.push_async_callback(routing.stop)
        spools = spooling(self._data / "spool", self._database, most_bytes=limits.spool_bytes)
        spool = (await stack.enter_async_context(spools)).spool
        intake = Intake(self._database, spool)
        await intake.start()
        stack.push_async_callback(intake.stop)
        discover = self._discover(http)
        identify = InngestRuns(
            self._catalogue, self._database, http, partial(take_ticks, self._database, self._catalogue)
        ).identify
        gateway = None
        if self._catalogue.targets:
            gateway = Gateway(
                self._catalogue,
                self._database,
                routing,
                http,
                spool,
                discover=discover,
                identify=identify,
                traces=TriggerTraces(self._catalogue, self._database, http, discover),
            )
            stack.push_async_callback(gateway.stop)
            self._on_drain.append(gateway.drain)
        reports = SpooledReports(self._catalogue, self._database, spool)
        stack.push_async_callback(reports.stop)
        afterwards = Afterwards()
        handoffs = SpooledHandoffs(self._catalogue, self._database, spool)
        await handoffs.recall()
        straight = Straight(handoffs, adapters(self._catalogue, http), afterwards, routing.steady)
        services = FrontServices(
            catalogue=self._catalogue,
            intake=intake,
            routing=routing,
            database=self._database,
            http=http,
            gateway=gateway,
            discover=discover,
            identify=identify,
            straight=straight,
            afterwards=afterwards,
            extra=[(PREFIX, worker_app(self._catalogue, self._database, identify, reports))],
        )
        stack.push_async_callback(services.afterwards.finish, DRAIN_SECONDS)
        doors = FrontApp(services)
        self._opening = opening

        async def begin() -> None:
            await routing.start()
            if gateway is not None:
                await gateway.start()

        async def open_all() -> None:
            opening.whole(doors)

        self._steps.append(begin)
        if self._smtp is not None:
            self._part(stack, self._mail_sink(gateway, self._smtp))
        self._steps.append(open_all)
        if gateway is not None:
            attendance = Attendance(self._database)
            self._on_drain.append(attendance.close)
            self._part(stack, attendance)
        if not is_here:
            try:
                await routing.start_from(await asyncio.to_thread(last_known.found, datetime.now(UTC)))
                opening.decided(doors)
            except NotKnown as why:
                log.warning("front.shut", why=str(why))
                opening.undecided(str(why))
        return _Server(uvicorn.Config(opening, **self._settings(self._front, self._drain.total_seconds())))

    def _settings(self, listener: Listener, drain: float = DRAIN_SECONDS) -> dict[str, Any]:
        return server_settings(listener, drain, self._catalogue.limits.idle.total_seconds())

    def _discover(self, http: httpx.AsyncClient) -> Discover:
        """Finds legacy's runs that passed no door: children of others, and those that its scheduler started."""
        children = Discovery(self._catalogue, self._database, http)
        ticks = LegacyTicks(self._catalogue, self._database, http)
        return first_of(children.discover, ticks.discover)

    def _mail_sink(self, gateway: Gateway | None, listener: Listener) -> SmtpSink:
        if gateway is None:
            raise ValueError("a mail sink needs a target whose url begins with smtp:// or smtps://")
        return SmtpSink(
            self._catalogue,
            gateway.keys,
            gateway.callers,
            gateway.journal,
            gateway.containing,
            MailRelay(self._catalogue),
            host=listener.host,
            port=listener.port,
            rates=gateway.rates,
        )

    def _control_server(self, stack: contextlib.AsyncExitStack) -> _Server:
        from api.control.app import control_app
        from api.control.services import ControlServices

        assert self._control is not None
        services = ControlServices(
            database=self._database,
            catalogue=self._catalogue,
            metrics_open=_is_loopback(self._control.host),
            names=self._control.names,
        )
        stack.push_async_callback(services.proofs.stop)
        self._on_drain.append(partial(setattr, services, "draining", True))
        services.waiting = True

        async def ready() -> None:
            services.waiting = False

        self._steps.append(ready)
        return _Server(uvicorn.Config(control_app(services), **self._settings(self._control)))


def run(
    catalogue: ResolvedCatalogue,
    *,
    data: Path,
    database_url: str | None,
    direct_url: str | None,
    front: Listener | None,
    control: Listener | None,
    loops: bool,
    smtp: Listener | None = None,
    drain: timedelta | None = None,
) -> None:
    """Run a process until SIGTERM or SIGINT.

    Raises:
        NoSealingKey: the database is an external one, and nobody gave the master key of its bodies.
        BadSealingKey: what was given is no key.
        WrongSealingKey: the database's keys were wrapped by another one.
    """
    logs.configure()
    key = master.given(data if database_url is None else None)
    server = None
    if database_url is None:
        database_url, server = embedded.start(data)
    database = Database(database_url, direct_url or "", lambda: key)

    async def main() -> None:
        logs.follow(asyncio.get_running_loop())
        stop = asyncio.Event()

        def told(number: signal.Signals) -> None:
            log.info("service.told_to_stop", signal=number.name)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told, number)
        service = Service(
            catalogue, database, front=front, control=control, loops=loops, data=data, smtp=smtp, drain=drain
        )
        try:
            await service.run(stop)
        finally:
            await database.close()

    try:
        uvloop.run(main())
    finally:
        if server is not None:
            server.cleanup()

"""The one object of a worker, by which it captures what it does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from shadow.capture.errors import Misconfigured
from shadow.capture.guard import Guard
from shadow.capture.process import ProcessGuard
from shadow.capture.reports import Reports
from shadow.capture.routes import Routes
from shadow.capture.row_effects import RowEffects
from shadow.capture.rows import Rows
from shadow.capture.run import Run, at_hand
from shadow.capture.settings import OtherHosts, Settings, platform_hosts, settings_from

if TYPE_CHECKING:
    import httpx
    import inngest
    import psycopg

Task = TypeVar("Task", bound=Callable[..., Any])
Connection = TypeVar("Connection", "psycopg.Connection[Any]", "psycopg.AsyncConnection[Any]")


class Capture:
    """Captures what runs do. Without a gateway's URL it is inert: everything is exactly as if it were not there."""

    def __init__(
        self,
        gateway_url: str | None = None,
        key: str = "",
        targets: Mapping[str, str] | None = None,
        *,
        report_key: str | None = None,
        version: str | None = None,
        app: str | None = None,
        allow: Sequence[str] = (),
        other_hosts: OtherHosts = "deny",
        report_patience: float = 30.0,
    ) -> None:
        """`targets`: host (or `host:port`, or base URL) to the target's name in the catalogue. `allow`: hosts that
        may be reached beside; the platforms' own, as the environment names them, always may.

        Raises:
            Misconfigured: there is a gateway, and the rest contradicts itself.
        """
        settings = None
        if gateway_url:
            settings = Settings(
                gateway_url,
                key,
                dict(targets or {}),
                report_key,
                version,
                app,
                (*allow, *platform_hosts(os.environ)),
                other_hosts,
                report_patience,
            )
        self._equip(settings)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Capture:
        """As the variables `SHADOW_GATEWAY_URL`, `SHADOW_EGRESS_KEY`, `SHADOW_TARGETS`, `SHADOW_ALLOW`,
        `SHADOW_REPORT_KEY`, `SHADOW_VERSION`, `SHADOW_APP` and `SHADOW_OTHER_HOSTS` say; inert without the first.

        Raises:
            Misconfigured: there is a gateway, and the rest contradicts itself.
        """
        made = cls()
        made._equip(settings_from(environ))
        return made

    def _equip(self, settings: Settings | None) -> None:
        self.settings = settings
        self._equipment: _Equipment | None = None if settings is None else _Equipment(settings)

    @property
    def active(self) -> bool:
        """Whether anything is captured at all."""
        return self._equipment is not None

    @property
    def lost(self) -> int:
        """Effects that could not be reported: not 0 means that a ledger is incomplete."""
        return 0 if self._equipment is None else self._equipment.reports.lost

    # -- runs ---------------------------------------------------------------------------------------

    @contextmanager
    def run(self, run: str, task: str, *, attempt: int = 1, event: str | None = None) -> Iterator[Run]:
        """Whatever happens in the block is done by that run; what it reports is told before the block ends."""
        made = Run(run, task, attempt, event)
        if self._equipment is None:
            yield made
            return
        with at_hand(made):
            try:
                yield made
            finally:
                self._equipment.reports.flush(made)

    @asynccontextmanager
    async def arun(self, run: str, task: str, *, attempt: int = 1, event: str | None = None) -> AsyncIterator[Run]:
        """As `run`, without blocking the event loop."""
        made = Run(run, task, attempt, event)
        if self._equipment is None:
            yield made
            return
        with at_hand(made):
            try:
                yield made
            finally:
                await self._equipment.reports.flush_async(made)

    def task(self, name: str, *, run: Callable[..., Run] | None = None) -> Callable[[Task], Task]:
        """A decorator for a plain callable, synchronous or not, that some platform runs as a task.

        Which run it is is read from the argument that has a `run_id` (or a `run` with an `id`), an `attempt` and,
        maybe, an `idempotency_key`; else `run` makes it of the arguments.
        """
        if self._equipment is None:
            return _as_it_is
        from shadow.capture.tasks import task

        return task(self._equipment.reports, name, run)

    def middleware(self) -> Callable[[inngest.Inngest, object], inngest.MiddlewareSync]:
        """For `inngest.Inngest(middleware=[...])`: functions and steps of either kind."""
        from shadow.capture import inngest as ours

        if self._equipment is None:
            return ours.inert
        return ours.middleware(self._equipment.settings, self._equipment.routes, self._equipment.reports)

    # -- HTTP ---------------------------------------------------------------------------------------

    def client(self, **options: Any) -> httpx.Client:
        """An `httpx.Client` with these options whose calls are captured."""
        import httpx

        if self._equipment is None:
            return httpx.Client(**options)
        from shadow.capture.http import client

        return client(self._equipment.routes, self._equipment.guard, options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """An `httpx.AsyncClient` with these options whose calls are captured."""
        import httpx

        if self._equipment is None:
            return httpx.AsyncClient(**options)
        from shadow.capture.http import async_client

        return async_client(self._equipment.routes, self._equipment.guard, options)

    def transport(self, inner: httpx.BaseTransport) -> httpx.BaseTransport:
        """That transport, captured; the very same when inert."""
        if self._equipment is None:
            return inner
        from shadow.capture.http import CapturedTransport

        return CapturedTransport(inner, self._equipment.routes, self._equipment.guard)

    def async_transport(self, inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        """That transport, captured; the very same when inert."""
        if self._equipment is None:
            return inner
        from shadow.capture.http import AsyncCapturedTransport

        return AsyncCapturedTransport(inner, self._equipment.routes, self._equipment.guard)

    def install(self) -> Callable[[], None]:
        """Guard the whole process; returns what takes that out again.

        Every httpx client is captured, those inside of providers' SDKs too. Whatever else is called with (urllib,
        requests, aiohttp, smtplib) can reach the gateway and what is allowed, nothing more: databases and caches have
        to be allowed by host and port, unless their driver is written in C.
        """
        if self._equipment is None:
            return _nothing
        return self._equipment.process.install()

    # -- databases ----------------------------------------------------------------------------------

    def connection(
        self,
        connection: Connection,
        *,
        messages: bool = True,
        report_rows: bool = False,
        database: str | None = None,
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> Connection:
        """The same psycopg connection; in runs, each transaction that may write says whose it is.

        Args:
            messages: say it to the server, for logical decoding, by `pg_logical_emit_message`.
            report_rows: say it to Shadow, for databases without logical decoding: committed rows become effects of
                kind `sql`. Statements whose rows only the server knows get a RETURNING of their own.
            database: the target of these effects, as the catalogue names the database; by default as the server does.
            keys: table to the columns that identify a row of it, where that is not the key it is written by.
        """
        if self._equipment is None:
            return connection
        from shadow.capture.postgres import captured

        rows = None
        if report_rows:
            rows = RowEffects(database or connection.info.dbname, dict(keys or {}))
            self._equipment.expect_reports("report_rows")
        return captured(connection, messages=messages, rows=rows)

    def rows(self, database: str, *, keys: Mapping[str, Sequence[str]] | None = None) -> Rows:
        """Rows to be told by hand, where no wrapper sees them."""
        if self._equipment is None:
            return Rows(None)
        self._equipment.expect_reports("rows")
        return Rows(RowEffects(database, dict(keys or {})))

    # -- the guard ----------------------------------------------------------------------------------

    def report_guard(self, environ: Mapping[str, str] = os.environ, *, secrets: Iterable[str] = ()) -> bool:
        """Show Shadow that other hosts are denied here and which secrets there are, by fingerprints alone.

        For the containment proof: call it when the worker starts. Blocks for as long as it takes.

        Args:
            secrets: what the worker holds beside its environment, as from files.

        Returns:
            whether Shadow took it; False when inert.
        """
        return False if self._equipment is None else self._equipment.guard.report(environ, secrets)

    def close(self) -> None:
        """Close the connections of synchronous reports."""
        if self._equipment is not None:
            self._equipment.reports.close()

    async def aclose(self) -> None:
        """Close the connections of reports."""
        if self._equipment is not None:
            await self._equipment.reports.aclose()


class _Equipment:
    """What an active capture works with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.routes = Routes(settings)
        self.reports = Reports(settings)
        self.guard = Guard(settings, self.reports)
        self.process = ProcessGuard(self.routes, self.guard)

    def expect_reports(self, what: str) -> None:
        if not self.reports.possible:
            raise Misconfigured(f"{what} reports to Shadow, so SHADOW_REPORT_KEY must hold a report key of the side")


def _nothing() -> None:
    """There is nothing to take out."""


def _as_it_is(work: Task) -> Task:
    return work

"""Cancel, reschedule and replay: written down as expected, passed on to Trigger.dev, confirmed by its answer.

Expected first, because of what cannot be made good afterwards: a change that went through and is not known makes
evidence against the candidate of what the producer did. So a door that can't write says 503 before anything is
forwarded, and the SDK comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front import trigger_shape
from api.front.exchange import BodyTooLarge, fields, pairs, pass_back, problem, read_body, respond, target
from api.front.services import FrontServices
from api.front.trigger_source import CallingSources
from shadow.catalogue.model import TriggerPlatform
from shadow.intake import run_changes
from shadow.intake.run_changes import Expected, ExpectedReplay
from shadow.model.moments import moment
from shadow.platforms.client import Answer, TooLarge, carry
from shadow.platforms.trigger_api import API_VERSION
from shadow.store.database import Connection, Work

log = structlog.get_logger(__name__)

_WITHIN = timedelta(seconds=45)
_PATIENCE = timedelta(seconds=60)
"""How long the workers leave the twin to the door: longer than that waits for the platform."""
_LOOKUP_WITHIN = timedelta(seconds=5)
_AGAIN_SECONDS = (0.2, 1.0)
"""Pauses before what the platform did is tried to be written down once more."""
_YOUNG = timedelta(seconds=30)
"""How old a run may be for another process to have answered its call, and not to have written that down yet."""
_UNTIL_SETTLED_SECONDS = (0.0, 0.1, 0.5)
"""Pauses before it is looked for."""
_AMBIGUOUS = 408
_CREDENTIALS = frozenset({"authorization", "x-trigger-branch"})


_Coming = Expected | ExpectedReplay


@dataclass(frozen=True, slots=True)
class _Change:
    """What a path does to a run."""

    expect: Callable[[Connection, str, str], Awaitable[_Coming | None]]
    """Writes down what is about to happen: connection, platform, run."""
    confirm: Callable[[Connection, str, str, _Coming | None, Any], Awaitable[None]]
    """Writes down that it happened: the same, what was expected, and the answer's JSON."""


class RunChangeDoor:
    """What producers do to runs that were started."""

    def __init__(self, services: FrontServices, sources: CallingSources) -> None:
        self._services = services
        self._sources = sources

    async def cancel(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v2/runs/{id}/cancel`."""
        await self._change(scope, receive, send, run, _Change(self._expect_cancelled, _cancelled))

    async def reschedule(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v1/runs/{id}/reschedule`."""
        await self._change(scope, receive, send, run, _Change(run_changes.expect_rescheduled, self._rescheduled))

    async def replay(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v1/runs/{id}/replay`."""
        await self._change(scope, receive, send, run, _Change(run_changes.expect_replayed, self._replayed))

    async def _change(self, scope: Scope, receive: Receive, send: Send, run: str, change: _Change) -> None:
        found = self._sources.platform_of(fields(scope))
        if found is None:
            await problem(send, 404, "the catalogue has no platform of kind trigger.dev")
            return
        name, platform = found
        try:
            body = await read_body(scope, receive, self._services.catalogue.limits.body_bytes)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        sent = list(pairs(scope))
        await self._services.afterwards.of(run)
        try:
            told = await self._learn_name(name, platform, run, sent)
            async with self._services.database.connection(Work.ACCEPT) as connection:
                expected = await change.expect(connection, name, run)
        except psycopg.Error as error:
            log.error("front.not_stored", door="trigger.dev", platform=name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        try:
            answer = await self._forward(platform, scope, sent, body)
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            log.warning("front.passthrough_failed", platform=name, error=type(error).__name__)
            if isinstance(error, httpx.ConnectError):
                await self._take_back(name, expected)
            await trigger_shape.unreachable(send, type(error).__name__)
            return
        if 200 <= answer.status < 300:
            if not told:
                expected = await self._expected_at_last(name, platform, run, sent, change)
            await self._write(name, lambda conn: change.confirm(conn, name, run, expected, _json(answer.body)))
        elif answer.status < 500 and answer.status != _AMBIGUOUS:
            await self._take_back(name, expected)
        await respond(send, answer.status, answer.body, pass_back(answer.headers))

    async def _forward(
        self, platform: TriggerPlatform, scope: Scope, sent: list[tuple[str, str]], body: bytes
    ) -> Answer:
        headers = [(key, value) for key, value in sent if key != "accept-encoding"]
        headers.append(("accept-encoding", "identity"))
        url = target(scope, platform.url)
        return await carry(self._services.http, scope["method"], url, headers, body, within=_WITHIN)

    async def _expected_at_last(
        self, name: str, platform: TriggerPlatform, run: str, sent: list[tuple[str, str]], change: _Change
    ) -> _Coming | None:
        """What should have been written down before, had the run been known: a new one is not to be read for a while
        (reference 3.1), or another process has yet to write it down."""
        try:
            for pause in _UNTIL_SETTLED_SECONDS:
                await asyncio.sleep(pause)
                if await self._learn_name(name, platform, run, sent):
                    async with self._services.database.connection(Work.ACCEPT) as connection:
                        return await change.expect(connection, name, run)
            log.warning("front.run_not_named", platform=name)
            return None
        except psycopg.Error as error:
            log.error("front.change_not_recorded", platform=name, error=type(error).__name__)
            return None

    async def _take_back(self, platform: str, expected: _Coming | None) -> None:
        if expected is not None:
            await self._write(platform, lambda conn: run_changes.refused(conn, expected))

    async def _write(self, platform: str, write: Callable[[Connection], Awaitable[None]]) -> None:
        """Write what the platform did, tried again; what was expected stands where it can't be."""
        for pause in (*_AGAIN_SECONDS, None):
            try:
                async with self._services.database.connection(Work.ACCEPT) as connection:
                    await write(connection)
                return
            except psycopg.Error as error:
                log.error("front.change_not_recorded", platform=platform, error=type(error).__name__)
            if pause is not None:
                await asyncio.sleep(pause)

    async def _learn_name(self, name: str, platform: TriggerPlatform, run: str, sent: list[tuple[str, str]]) -> bool:
        """Runs of a batch whose answer named none are known by their keys: the platform is asked for this one's.

        With the producer's own credential, so that nobody learns or changes here what they could not there.

        Returns:
            False when nobody knows, yet, what run it is.

        Raises:
            psycopg.Error: the database is away.
        """
        async with self._services.database.connection(Work.ACCEPT) as connection:
            if await run_changes.is_known(connection, name, run):
                return True
        headers = [(key, value) for key, value in sent if key in _CREDENTIALS]
        headers += [("accept-encoding", "identity"), ("x-trigger-api-version", API_VERSION)]
        url = f"{platform.url.rstrip('/')}/api/v3/runs/{quote(run, safe='')}"
        try:
            answer = await carry(self._services.http, "GET", url, headers, b"", within=_LOOKUP_WITHIN)
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            log.warning("front.run_not_read", platform=name, error=type(error).__name__)
            return False
        read = _json(answer.body)
        if answer.status != 200 or not isinstance(read, dict):
            return False
        task = self._services.catalogue.task_of_legacy(name, str(read.get("taskIdentifier")))
        key, created_at = read.get("idempotencyKey"), moment(read.get("createdAt"))
        if task is None or not isinstance(key, str) or created_at is None:
            return True
        async with self._services.database.connection(Work.ACCEPT) as connection:
            named = await run_changes.name_run(connection, name, run, task.id, key, created_at)
        return named is not None or created_at < self._services.clock() - _YOUNG

    async def _expect_cancelled(self, conn: Connection, platform: str, run: str) -> Expected | None:
        return await run_changes.expect_cancelled(conn, self._services.catalogue, platform, run, _PATIENCE)

    async def _rescheduled(
        self, conn: Connection, platform: str, run: str, expected: _Coming | None, answer: Any
    ) -> None:
        if isinstance(expected, Expected):
            starts_at: datetime | None = moment(answer.get("delayedUntil")) if isinstance(answer, dict) else None
            now = self._services.clock()
            await run_changes.rescheduled(conn, self._services.catalogue, expected, starts_at, now)

    async def _replayed(self, conn: Connection, platform: str, run: str, expected: _Coming | None, answer: Any) -> None:
        new_run = answer.get("id") if isinstance(answer, dict) else None
        if isinstance(new_run, str):
            services = self._services
            replay = expected if isinstance(expected, ExpectedReplay) else None
            decides = services.routing.decision
            await run_changes.replayed(conn, services.catalogue, decides, platform, run, new_run, replay)


async def _cancelled(conn: Connection, platform: str, run: str, expected: _Coming | None, answer: Any) -> None:
    if isinstance(expected, Expected):
        await run_changes.cancelled(conn, expected)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

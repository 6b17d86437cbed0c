"""`GET /api/v1/runs`: Trigger.dev's own runs and those that were issued in its stead, as one list, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import list_query, run_shape, trigger_shape
from api.front.ever_issued import EverIssued
from api.front.exchange import fields, pairs, pass_back, respond
from api.front.intents import Intents, read_json
from api.front.list_query import ListQuery, Position
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.causes import batches
from shadow.fanout import issued_list
from shadow.fanout.issued import IssuedRun
from shadow.model.ids import first_id_at
from shadow.platforms.client import Answer, TooLarge
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_MOST_PAGES = 20
"""Of Trigger.dev's, for one of ours: runs of one millisecond may have to be gone through again."""

_ENVIRONMENTS = {"stg": "staging"}
"""Names of environments, where a key calls them otherwise (reference 1.1)."""

Shown = Mapping[str, Any]
"""A run as the list shows it."""


class _Refused(Exception):
    """Trigger.dev would not list its part."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class RunListDoor:
    """Lists runs. While none was ever issued, Trigger.dev does."""

    def __init__(
        self,
        services: FrontServices,
        sources: CallingSources,
        intents: Intents,
        ever_issued: EverIssued,
        pass_through: ASGIApp,
    ) -> None:
        self._services = services
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through
        self._ever_issued = ever_issued

    async def runs(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        source = self._sources.holder(fields(scope))
        given = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        asked = list_query.list_query(given, self._services.clock())
        try:
            if source is None or asked is None or not await self._ever_issued.look():
                await self._pass_through(scope, receive, send)
                return
            source = await self._sources.authenticate(fields(scope), send)
            if source is None:
                return
            if not source.may_read("runs", ""):
                await trigger_shape.unauthorized(send)
                return
            await trigger_shape.found(send, await self._page(source, scope, asked))
        except psycopg.Error as error:
            log.error("front.issued_unread", error=type(error).__name__)
            await self._pass_through(scope, receive, send)
        except _Refused as error:
            answer = error.answer
            await respond(send, answer.status, answer.body, pass_back(answer.headers))
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            await trigger_shape.unreachable(send, type(error).__name__)

    async def _page(self, source: CallingSource, scope: Scope, asked: ListQuery) -> dict[str, Any]:
        wanted, is_theirs = asked.wanted, True
        async with self._services.database.connection(Work.CAUSES) as connection:
            if asked.batch is not None:
                batch = await batches.find(connection, source.platform_name, asked.batch)
                wanted = replace(wanted, events=tuple(batch.events) if batch is not None else ())
                if batch is not None and batch.issued:
                    is_theirs = batch.upstream is not None
                    renamed = tuple(
                        (name, batch.upstream or "" if name == "filter[batch]" else value)
                        for name, value in asked.passed_on
                    )
                    asked = replace(asked, passed_on=renamed)
            ours = await issued_list.page(
                connection,
                self._services.catalogue,
                source.platform_name,
                wanted,
                asked.cursor.position.below,
                asked.size + 1,
            )
        theirs = await self._theirs(source, scope, asked) if is_theirs else []
        environment = next((run["env"] for run in theirs if isinstance(run.get("env"), dict)), _environment(source))
        return _joined(asked, ours, theirs, environment, self._services.clock())

    async def _theirs(self, source: CallingSource, scope: Scope, asked: ListQuery) -> list[Shown]:
        """One more of Trigger.dev's runs than a page has, where there are so many."""
        runs: list[Shown] = []
        after: str | None = None
        found = False
        for _ in range(_MOST_PAGES):
            query = urlencode(list_query.upstream_query(asked, after))
            answer = await self._intents.forward(source.platform, scope, pairs(scope), b"", f"/api/v1/runs?{query}")
            document = read_json(answer.body)
            listed = document.get("data") if isinstance(document, dict) else None
            if answer.status != 200 or not isinstance(listed, list):
                raise _Refused(answer)
            new, found = list_query.unseen(listed, asked.cursor.position, found=found)
            runs += new
            after = (document.get("pagination") or {}).get("next")
            if len(runs) > asked.size or not after:
                break
        return runs


def _joined(
    asked: ListQuery, ours: Sequence[IssuedRun], theirs: Sequence[Shown], environment: Shown, now: datetime
) -> dict[str, Any]:
    """A page of both lists, and the cursors to its neighbours."""
    data: list[Shown] = []
    mine, other = list(ours), list(theirs)
    position = asked.cursor.position
    while len(data) < asked.size and (mine or other):
        is_theirs = bool(other) and (not mine or (list_query.created_at(other[0]) or 0) >= _created(mine[0]))
        if is_theirs:
            run = other.pop(0)
            data.append(run)
            position = replace(position, last=str(run.get("id")))
        else:
            issued = mine.pop(0)
            data.append({**run_shape.listed(issued, now, seen=issued.execution.state == "sent"), "env": environment})
            position = replace(position, below=issued.event)
    pagination: dict[str, str] = {}
    if data and (mine or other):
        pagination["next"] = asked.cursor.after(_below(position, data[-1])).text()
    if (before := asked.cursor.before()) is not None:
        pagination["previous"] = before.text()
    return {"data": data, "pagination": pagination}


def _environment(source: CallingSource) -> Shown:
    """What a run is in, as far as the platform's key tells."""
    kind = source.platform.secret_key.get_secret_value().removeprefix("tr_").partition("_")[0]
    return {"id": source.platform_name, "name": _ENVIRONMENTS.get(kind, kind)}


def _below(position: Position, last: Shown) -> Position:
    """What comes after a page that ends there: nothing newer, on either side."""
    until = list_query.created_at(last)
    if until is None:
        return position
    below = position.below
    if below is None:
        below = first_id_at(datetime.fromtimestamp(until / 1000, UTC) + timedelta(milliseconds=1))
    return replace(position, until=until, below=below)


def _created(run: IssuedRun) -> int:
    return round(run.accepted_at.timestamp() * 1000)

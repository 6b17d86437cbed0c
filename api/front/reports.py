"""`POST /shadow/runs` and `POST /shadow/effects`: what workers tell, with their side's report key.

Both speak ASGI themselves, as the doors do, and what many tell at the same time is written by one transaction: at the
end of its run every worker reports a little.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.bounded import Bounded
from api.front.exchange import ENCODED, BodyTooLarge, header, is_encoded, read_body, respond
from api.front.guard import guard_router
from api.front.report import MOST_PROBLEMS, Refusal, key_of, report_keys, side_of, too_large, unstored
from api.front.watcher import watchers
from api.front.watcher_calls import Registration
from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.record import SeenEffect, record_each
from shadow.intake.group_commit import GroupCommit, Overloaded
from shadow.model.giving_way import giving_way
from shadow.model.ids import new_id
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.outcomes.outcome import LearnedBy, RunOutcome
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.repeated import in_turns
from shadow.outcomes.reported import ReportRefused, effects_in_steps, runs_in_steps
from shadow.outcomes.spooled_reports import SpooledReports, named
from shadow.outcomes.straight import Identify
from shadow.spool.spool import Kind
from shadow.store.database import Database, Work
from shadow.store.pace import Pace
from shadow.store.patience import patience

log = structlog.get_logger(__name__)

PREFIX = "/shadow"
"""Where `worker_app` is to be mounted."""
_PATIENCE_SECONDS = 10.0
"""How long a worker waits for the database before its report is spooled."""

_MOST_AT_ONCE = 1000
"""Effects or outcomes in one transaction, of reports that are smaller than that."""
_MOST_WAITING = 50_000
_PACE_SECONDS = 0.01
"""Between two transactions of one side's effects, or outcomes."""
_SIZE = 400
"""Bytes of an effect or outcome beside its data."""

Item = TypeVar("Item")


def worker_app(
    catalogue: ResolvedCatalogue,
    database: Database,
    identify: Identify | None = None,
    spooled: SpooledReports | None = None,
) -> ASGIApp:
    """All that platforms and workers call, to be mounted at `PREFIX`: the watcher and the reports.

    Args:
        identify: asks the candidate's platform which run of ours has that name.
        spooled: where reports go while the database is away. (What the watcher is told its platform keeps, and tells
            again for hours.)
    """
    app = FastAPI(title="Shadow, for workers", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(guard_router(catalogue, database))

    @app.exception_handler(Refusal)
    async def refused(_request: Request, error: Refusal) -> Response:
        return _problem(error.status, str(error), error.errors, error.headers)

    @app.exception_handler(HTTPException)
    async def unserved(_request: Request, error: HTTPException) -> Response:
        return _problem(HTTPStatus(error.status_code), str(error.detail), (), error.headers)

    reports = Reports(catalogue, database, spooled)
    hot: dict[str, ASGIApp] = {"/runs": reports.runs, "/effects": reports.effects}
    for path, endpoint in hot.items():  # what is no POST is told so
        app.router.routes.append(Route(path, _Endpoint(endpoint), methods=["POST"]))
    watched = watchers(app, catalogue, database, identify)
    hot |= watched
    # The SDK reads bodies whole; guards are answered more clearly than that.
    others = dict.fromkeys(watched, Registration(Bounded(app, catalogue.limits.body_bytes)))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = None
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            endpoint = (hot if scope["method"] == "POST" else others).get(path)
        await (endpoint or app)(scope, receive, send)

    return application


class Reports:
    """The two reports. Each is taken whole or not at all, and durable when it is answered."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, spooled: SpooledReports | None = None) -> None:
        self._catalogue = catalogue
        self._database = database
        self._spooled = spooled
        self._keys = report_keys(catalogue)
        self._rates = Rates.of(catalogue.limits.requests_per_second)
        self._effects: dict[Side, _Together[SeenEffect]] = {
            side: _Together(partial(self._store_effects, side), _effect_size) for side in Side
        }
        self._runs: dict[Side, _Together[RunOutcome]] = {
            side: _Together(partial(self._store_runs, side), _run_size) for side in Side
        }

    async def runs(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Outcomes of one run or several."""
        await self._answer(self._take_runs, scope, receive, send)

    async def effects(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One effect or several, of one run or several."""
        await self._answer(self._take_effects, scope, receive, send)

    async def _answer(
        self, take: Callable[[Side, bytes], Awaitable[dict[str, int]]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            side = side_of(self._keys, key_of(header(scope, b"authorization")), self._rates)
            answer = await take(side, await self._body(scope, receive))
        except ReportRefused as error:
            refusal = _unreadable(error)
        except Refusal as error:
            refusal = error
        else:
            await respond(send, 200, orjson.dumps(answer))
            return
        await _problem(refusal.status, str(refusal), refusal.errors, refusal.headers)(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if is_encoded(scope):
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, ENCODED, headers={"accept-encoding": "identity"})
        most = self._catalogue.limits.body_bytes
        try:
            return await read_body(scope, receive, most)
        except BodyTooLarge:
            raise too_large(most) from None

    async def _take_runs(self, side: Side, body: bytes) -> dict[str, int]:
        outcomes = await giving_way(runs_in_steps(body, side, self._catalogue))
        answer = {"accepted": len(outcomes)}
        if self._spooled is not None and self._spooled.away and await self._spooled.keep(Kind.RUNS, side, body):
            return answer
        try:
            await self._runs[side].write(outcomes)
        except (psycopg.Error, Overloaded) as error:
            if not await self._spools(Kind.RUNS, side, body, error):
                raise unstored("runs", error) from None
        return answer

    async def _take_effects(self, side: Side, body: bytes) -> dict[str, int]:
        reported = await giving_way(effects_in_steps(body))
        answer = {"accepted": len(reported), "new": len(reported)}
        report = new_id()
        if self._spooled is not None:
            if self._spooled.away and await self._spooled.keep(Kind.EFFECTS, side, body):
                return answer
            named(report, reported)
        try:
            new = sum(await self._effects[side].write(reported))
        except (psycopg.Error, Overloaded) as error:
            if not await self._spools(Kind.EFFECTS, side, body, error, report):
                raise unstored("effects", error) from None
            return answer
        metrics.effects(side.value, new)
        return {**answer, "new": new}

    async def _spools(
        self, kind: Kind, side: Side, body: bytes, error: psycopg.Error | Overloaded, report: UUID | None = None
    ) -> bool:
        """Whether a report that could not be stored is on the local disk."""
        if self._spooled is None or isinstance(error, Overloaded):
            return False
        return await self._spooled.keep(kind, side, body, error, report)

    async def _store_effects(self, side: Side, effects: Sequence[SeenEffect]) -> Sequence[bool]:
        async with self._database.connection(Work.OUTCOMES) as conn, patience(conn, _PATIENCE_SECONDS):
            new = await record_each(conn, side, effects)
        reach("effects.stored")
        return new

    async def _store_runs(self, side: Side, outcomes: Sequence[RunOutcome]) -> Sequence[bool]:
        kept = 0
        async with self._database.connection(Work.OUTCOMES) as conn, patience(conn, _PATIENCE_SECONDS):
            for turn in in_turns(outcomes):
                kept += await record_outcomes(conn, self._catalogue, turn)
        reach("outcomes.recorded")
        metrics.learned(side.value, LearnedBy.REPORT.value, kept)
        return [True] * len(outcomes)


class _Together(Generic[Item]):
    """A group commit that begins when it is first needed. It runs only while somebody waits: nothing has to stop it."""

    def __init__(
        self, store: Callable[[Sequence[Item]], Awaitable[Sequence[bool]]], size: Callable[[Item], int]
    ) -> None:
        self._store = store
        self._size = size
        self._pace = Pace(_PACE_SECONDS)
        self._commit: GroupCommit[Item, bool] | None = None

    async def write(self, items: Sequence[Item]) -> Sequence[bool]:
        """What was told of each item, once they are stored, together.

        Raises:
            psycopg.Error: they are not, or it is not known.
            Overloaded: too much waits.
        """
        if self._commit is None:
            self._commit = GroupCommit(
                self._paced,
                size=self._size,
                splits=_may_be_an_items_fault,
                max_batch=_MOST_AT_ONCE,
                max_waiting=_MOST_WAITING,
            )
            await self._commit.start()
        return await self._commit.submit(items)

    async def _paced(self, items: Sequence[Item]) -> Sequence[bool]:
        await self._pace.turn()
        return await self._store(items)


class _Endpoint:
    """An ASGI application as a route takes it: not a function, which it would call with a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _effect_size(effect: SeenEffect) -> int:
    return _SIZE + len(effect.data)


def _run_size(outcome: RunOutcome) -> int:
    return _SIZE + len(outcome.output or b"") + len(outcome.error_message or "")


def _may_be_an_items_fault(error: Exception) -> bool:
    if not isinstance(error, psycopg.Error):
        # What cannot even be written down: it must not take along what others told.
        return isinstance(error, ValueError | TypeError | LookupError | ArithmeticError | RecursionError)
    return isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded)


def _unreadable(error: ReportRefused) -> Refusal:
    more = len(error.problems) - MOST_PROBLEMS
    detail = "; ".join(error.problems[:3]) + (f"; and {more} more" if more > 0 else "")
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=error.problems)


def _problem(status: HTTPStatus, detail: str, errors: Sequence[str], headers: Mapping[str, str] | None) -> JSONResponse:
    """Problem details as in RFC 9457."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if errors:
        body["type"] = "/problems/invalid-report"
        body["title"] = "Invalid report"
        body["errors"] = [{"detail": error} for error in errors]
    return JSONResponse(body, status.value, headers=dict(headers or {}), media_type="application/problem+json")

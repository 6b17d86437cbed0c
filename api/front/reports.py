"""`POST /shadow/runs` and `POST /shadow/effects`: what workers tell, with their side's report key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.front.guard import guard_router
from api.front.report import MOST_PROBLEMS, Refusal, bearer, body_of, report_keys, side_of, unstored
from api.front.watcher import add_watchers
from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.effects.record import record_effects
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.outcomes.outcome import LearnedBy
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.reported import ReportRefused, effects_of, runs_of
from shadow.outcomes.spooled_reports import SpooledReports
from shadow.outcomes.straight import Identify
from shadow.spool.spool import Kind
from shadow.store.database import Database, Work
from shadow.store.patience import patience

log = structlog.get_logger(__name__)

PREFIX = "/shadow"
"""Where `worker_app` is to be mounted."""
_PATIENCE_SECONDS = 10.0
"""How long a worker waits for the database before its report is spooled."""


def worker_app(
    catalogue: ResolvedCatalogue,
    database: Database,
    identify: Identify | None = None,
    spooled: SpooledReports | None = None,
) -> FastAPI:
    """All that platforms and workers call, to be mounted at `PREFIX`: the watcher and the reports.

    Args:
        identify: asks the candidate's platform which run of ours has that name.
        spooled: where reports go while the database is away. (What the watcher is told its platform keeps, and tells
            again for hours.)
    """
    app = FastAPI(title="Shadow, for workers", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(reports_router(catalogue, database, spooled))
    app.include_router(guard_router(catalogue, database))
    add_watchers(app, catalogue, database, identify)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, error: Refusal) -> Response:
        return _problem(error.status, str(error), error.errors, error.headers)

    @app.exception_handler(HTTPException)
    async def unserved(_request: Request, error: HTTPException) -> Response:
        return _problem(HTTPStatus(error.status_code), str(error.detail), (), error.headers)

    return app


def reports_router(
    catalogue: ResolvedCatalogue, database: Database, spooled: SpooledReports | None = None
) -> APIRouter:
    """The two reports. Each is taken whole or not at all, and durable when it is answered."""
    router = APIRouter()
    keys = report_keys(catalogue)
    rates = Rates.of(catalogue.limits.requests_per_second)

    @router.post("/runs")
    async def runs(request: Request) -> dict[str, int]:
        """Outcomes of one run or several."""
        side = side_of(keys, bearer(request), rates)
        body = await body_of(request, catalogue.limits.body_bytes)
        try:
            outcomes = runs_of(body, side, catalogue)
        except ReportRefused as error:
            raise _unreadable(error) from None
        if spooled is not None and spooled.away and await spooled.keep(Kind.RUNS, side, body):
            return {"accepted": len(outcomes)}
        try:
            async with database.connection(Work.OUTCOMES) as conn, patience(conn, _PATIENCE_SECONDS):
                kept = await record_outcomes(conn, catalogue, outcomes)
        except psycopg.Error as error:
            if spooled is not None and await spooled.keep(Kind.RUNS, side, body, error):
                return {"accepted": len(outcomes)}
            raise unstored("runs", error) from None
        reach("outcomes.recorded")
        metrics.learned(side.value, LearnedBy.REPORT.value, kept)
        return {"accepted": len(outcomes)}

    @router.post("/effects")
    async def effects(request: Request) -> dict[str, int]:
        """One effect or several, of one run or several."""
        side = side_of(keys, bearer(request), rates)
        body = await body_of(request, catalogue.limits.body_bytes)
        try:
            reported = effects_of(body)
        except ReportRefused as error:
            raise _unreadable(error) from None
        if spooled is not None and spooled.away and await spooled.keep(Kind.EFFECTS, side, body):
            return {"accepted": len(reported), "new": len(reported)}
        try:
            async with database.connection(Work.OUTCOMES) as conn, patience(conn, _PATIENCE_SECONDS):
                new = await record_effects(conn, side, reported)
        except psycopg.Error as error:
            if spooled is not None and await spooled.keep(Kind.EFFECTS, side, body, error):
                return {"accepted": len(reported), "new": len(reported)}
            raise unstored("effects", error) from None
        reach("effects.stored")
        metrics.effects(side.value, new)
        return {"accepted": len(reported), "new": new}

    return router


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

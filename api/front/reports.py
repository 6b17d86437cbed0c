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

from api.front.keys import KeyRing
from api.front.watcher import add_watchers
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.record import record_effects
from shadow.observe import metrics
from shadow.outcomes.outcome import LearnedBy
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.reported import ReportRefused, effects_of, runs_of
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

PREFIX = "/shadow"
"""Where `worker_app` is to be mounted."""
_MOST_PROBLEMS = 20
_RETRY_SECONDS = 2


class _Refusal(Exception):
    """A report that is answered with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors[:_MOST_PROBLEMS]
        self.headers = headers


def worker_app(catalogue: ResolvedCatalogue, database: Database) -> FastAPI:
    """All that platforms and workers call, to be mounted at `PREFIX`: the watcher and the reports."""
    app = FastAPI(title="Shadow, for workers", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(reports_router(catalogue, database))
    add_watchers(app, catalogue, database)

    @app.exception_handler(_Refusal)
    async def refused(_request: Request, error: _Refusal) -> Response:
        return _problem(error.status, str(error), error.errors, error.headers)

    @app.exception_handler(HTTPException)
    async def unserved(_request: Request, error: HTTPException) -> Response:
        return _problem(HTTPStatus(error.status_code), str(error.detail), (), error.headers)

    return app


def reports_router(catalogue: ResolvedCatalogue, database: Database) -> APIRouter:
    """The two reports. Each is taken whole or not at all, and durable when it is answered."""
    router = APIRouter()
    keys: KeyRing[Side] = KeyRing(
        ((Side.LEGACY, catalogue.report_keys.legacy), (Side.CANDIDATE, catalogue.report_keys.candidate))
    )

    @router.post("/runs")
    async def runs(request: Request) -> dict[str, int]:
        """Outcomes of one run or several."""
        side = _side(keys, request)
        body = await _body(request, catalogue.limits.body_bytes)
        try:
            outcomes = runs_of(body, side, catalogue)
        except ReportRefused as error:
            raise _unreadable(error) from None
        try:
            async with database.connection(Work.OUTCOMES) as conn:
                kept = await record_outcomes(conn, catalogue, outcomes)
        except psycopg.Error as error:
            raise _unstored("runs", error) from None
        metrics.learned(side.value, LearnedBy.REPORT.value, kept)
        return {"accepted": len(outcomes)}

    @router.post("/effects")
    async def effects(request: Request) -> dict[str, int]:
        """One effect or several, of one run or several."""
        side = _side(keys, request)
        body = await _body(request, catalogue.limits.body_bytes)
        try:
            reported = effects_of(body)
        except ReportRefused as error:
            raise _unreadable(error) from None
        try:
            async with database.connection(Work.OUTCOMES) as conn:
                new = await record_effects(conn, side, reported)
        except psycopg.Error as error:
            raise _unstored("effects", error) from None
        metrics.effects(side.value, new)
        return {"accepted": len(reported), "new": new}

    return router


def _side(keys: KeyRing[Side], request: Request) -> Side:
    """The side whose key the request carries."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    side = keys.holder(key.strip()) if scheme.lower() == "bearer" and key else None
    if side is None:
        raise _Refusal(
            HTTPStatus.UNAUTHORIZED,
            "expected `Authorization: Bearer KEY` with a key of `report_keys` in the catalogue",
            headers={"www-authenticate": "Bearer"},
        )
    return side


async def _body(request: Request, most: int) -> bytes:
    announced = request.headers.get("content-length", "")
    chunks: list[bytes] = []
    size = int(announced) if announced.isdigit() else 0
    if size <= most:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                break
            chunks.append(chunk)
    if size > most:
        raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a report may have at most {most} bytes")
    return b"".join(chunks)


def _unreadable(error: ReportRefused) -> _Refusal:
    more = len(error.problems) - _MOST_PROBLEMS
    detail = "; ".join(error.problems[:3]) + (f"; and {more} more" if more > 0 else "")
    return _Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=error.problems)


def _unstored(what: str, error: psycopg.Error) -> _Refusal:
    log.error("reports.not_stored", what=what, error=type(error).__name__)
    return _Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the report could not be stored; send it again",
        headers={"retry-after": str(_RETRY_SECONDS)},
    )


def _problem(status: HTTPStatus, detail: str, errors: Sequence[str], headers: Mapping[str, str] | None) -> JSONResponse:
    """Problem details as in RFC 9457."""
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if errors:
        body["type"] = "/problems/invalid-report"
        body["title"] = "Invalid report"
        body["errors"] = [{"detail": error} for error in errors]
    return JSONResponse(body, status.value, headers=dict(headers or {}), media_type="application/problem+json")

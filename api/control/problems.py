"""Errors as problem details (RFC 9457): one shape for whatever goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, JsonValue
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from shadow.reports.paging import BadCursor

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_LONGEST_FOUND = 200


class FieldProblem(BaseModel):
    """One thing wrong with a request."""

    field: str = Field(description="Where: `query.limit`, `path.pair`, `body.phase`.")
    found: JsonValue = Field(None, description="What was there; left out when nothing was.")
    expected: str


class Problem(BaseModel):
    """Problem details as in RFC 9457."""

    type: str = Field("about:blank", description="A URI reference that names the kind of problem.")
    title: str = Field(description="The same for every problem of that type.")
    status: int
    detail: str | None = Field(None, description="What was wrong this time, and what to do.")
    errors: list[FieldProblem] | None = Field(None, description="Of an invalid request: each field.")


class Refusal(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        title: str | None = None,
        errors: list[FieldProblem] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        self.problem = Problem(
            type=f"/problems/{kind}" if kind else "about:blank",
            title=title or HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            errors=errors,
        )


def not_found(what: str, name: object) -> Refusal:
    """The answer when there is no such thing."""
    return Refusal(404, f"there is no {what} {str(name)[:_LONGEST_FOUND]!r}")


def invalid(errors: Sequence[FieldProblem]) -> Refusal:
    """The answer to a request with these things wrong."""
    named = ", ".join(error.field for error in errors)
    return Refusal(
        422,
        f"wrong in this request: {named}",
        kind="invalid-request",
        title="Invalid request",
        errors=list(errors),
    )


def install(app: FastAPI) -> None:
    """Let every error of that app be a problem."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(BadCursor, _on_cursor)
    for unreachable in (
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
        sqlalchemy.exc.TimeoutError,
        psycopg.OperationalError,
    ):
        app.add_exception_handler(unreachable, _on_unreachable)
    for refused in (sqlalchemy.exc.DataError, psycopg.DataError):
        app.add_exception_handler(refused, _on_refused)
    app.add_exception_handler(Exception, _on_bug)


def _answer(refusal: Refusal) -> JSONResponse:
    return JSONResponse(
        refusal.problem.model_dump(mode="json", exclude_none=True),
        refusal.problem.status,
        refusal.headers,
        media_type=MEDIA_TYPE,
    )


async def _on_refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return _answer(error)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    details = {
        404: f"nothing is served at {request.url.path[:_LONGEST_FOUND]}; /openapi.json lists what is",
        405: f"{request.method} is not allowed at {request.url.path[:_LONGEST_FOUND]}",
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Starlette names those of the first route of that path alone.
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return _answer(Refusal(error.status_code, details.get(error.status_code, str(error.detail)), headers=headers))


def _methods_at(request: Request) -> set[str]:
    """What a path may be asked for."""
    paths: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    found: set[str] = set()
    for template, methods in paths.items():
        if compile_path(template)[0].match(request.url.path):
            found |= {method.upper() for method in methods}
    return found


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _answer(invalid([_field(found) for found in error.errors()]))


async def _on_cursor(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadCursor)
    found = FieldProblem(field="query.cursor", found=error.found, expected="the `next_cursor` of a page")
    return _answer(invalid([found]))


async def _on_refused(_request: Request, error: Exception) -> JSONResponse:
    log.info("control.value_refused", error=type(error).__name__)
    return _answer(
        Refusal(
            422,
            "something in this request is no value that the database can hold, such as text with a NUL",
            kind="invalid-request",
            title="Invalid request",
        )
    )


async def _on_unreachable(_request: Request, error: Exception) -> JSONResponse:
    log.warning("control.database_unreachable", error=type(error).__name__)
    return _answer(Refusal(503, "the database can't be reached; try again", headers={"Retry-After": "1"}))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    log.error(
        "control.failed",
        method=request.method,
        path=request.url.path,
        error=type(error).__name__,
        exc_info=error,
    )
    return _answer(Refusal(500, "the service failed; its log says more"))


def _field(error: Mapping[str, Any]) -> FieldProblem:
    """One of pydantic's errors in our words."""
    found = error.get("input")
    if error["type"] == "missing" or not isinstance(found, str | int | float | bool | None):
        found = None
    if isinstance(found, str):
        found = found[:_LONGEST_FOUND]
    expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return FieldProblem(field=".".join(str(part) for part in error["loc"]), found=found, expected=expected)

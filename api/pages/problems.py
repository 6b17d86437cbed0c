"""Errors, as pages too: each says what was wrong and how to go on."""

from __future__ import annotations

from http import HTTPStatus

import psycopg
import sqlalchemy.exc
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shadow.reports.paging import BadCursor

log = structlog.get_logger(__name__)

UNREACHABLE = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    psycopg.OperationalError,
)
UNREADABLE = (sqlalchemy.exc.DataError, psycopg.DataError)


class PageProblem(Exception):
    """A request that is answered with a page that says what was wrong."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.says = says


def not_found(what: str, name: object) -> PageProblem:
    """There is no such thing."""
    return PageProblem(404, f"There is no {what} {str(name)[:200]}.")


def problem_page(request: Request, status: int, says: str) -> Response:
    from api.pages.rendering import render  # it knows this module

    phrase = HTTPStatus(status).phrase
    return render(request, "problem.html", status=status, title=phrase, number=status, says=says)


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, PageProblem)
    return problem_page(request, error.status, error.says)


async def on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    says = {404: "There is no such page.", 405: "This page can't be used like that."}
    return problem_page(request, error.status_code, says.get(error.status_code, error.detail))


async def on_cursor(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadCursor)
    return problem_page(request, 422, f"There is no page after {error.found}: start from the first one again.")


async def on_unreadable(request: Request, error: Exception) -> Response:
    log.info("pages.value_refused", error=type(error).__name__)
    return problem_page(request, 422, "Something in this request is no value that the database can hold.")


async def on_unreachable(request: Request, error: Exception) -> Response:
    log.warning("pages.database_unreachable", error=type(error).__name__)
    answer = problem_page(request, 503, "The database can't be reached just now. Nothing is lost; load the page again.")
    answer.headers["Retry-After"] = "1"
    return answer


async def on_bug(request: Request, error: Exception) -> Response:
    log.error("pages.failed", method=request.method, path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem_page(request, 500, "The service failed; its log says more.")

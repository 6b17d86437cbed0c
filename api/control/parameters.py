"""What operations take, and the refusal of what they do not."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.routing import APIRoute

from api.control.problems import FieldProblem, invalid
from api.control.services import ControlServices, services_of
from shadow.reports.paging import LARGEST_LIMIT

Services = Annotated[ControlServices, Depends(services_of)]
TaskName = Annotated[str, Path(description="The task's id in the catalogue.", examples=["order-sync"])]
TaskFilter = Annotated[str | None, Query(description="Only of this task.", examples=["order-sync"])]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="Items on a page.")]


async def known_parameters(request: Request) -> None:
    """Part of every operation: a misspelt filter must not be silently without effect.

    Whoever needs a token is asked for it first (bearer.py); operations without one depend on this.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = [field.alias for field in route.dependant.query_params]
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "no parameters"
        raise invalid(
            [
                FieldProblem(field=f"query.{name[:60]}", found=request.query_params[name][:60], expected=expected)
                for name in unknown
            ]
        )

"""What operations take, and the refusal of what they do not."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BeforeValidator, StringConstraints, WithJsonSchema

from api.control.problems import FieldProblem, invalid
from api.control.services import ControlServices, services_of
from shadow.reports.paging import LARGEST_LIMIT

VISIBLE = r"^[^\x00]*[^\s\x00-\x1f\x7f][^\x00]*$"
"""Of a text for people: something to read in it, and nothing that the database can't hold."""
STORABLE = r"^[^\x00]*$"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CURSOR = {"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}
"""As it is documented; what is no cursor is refused with a reason of its own."""


def _written_as(form: re.Pattern[str], expected: str) -> BeforeValidator:
    """Refuse what pydantic would guess at: a number, which might be seconds or milliseconds."""

    def check(value: object) -> object:
        if not isinstance(value, str) or form.match(value) is None:
            raise ValueError(expected)
        return value

    return BeforeValidator(check)


Moment = Annotated[AwareDatetime, _written_as(_MOMENT, "a datetime with its timezone, such as 2026-05-01T00:00:00Z")]
Day = Annotated[date, _written_as(_DAY, "a day, such as 2026-05-01")]
Reason = Annotated[str, StringConstraints(min_length=1, pattern=VISIBLE)]
Services = Annotated[ControlServices, Depends(services_of)]
TaskName = Annotated[str, Path(description="The task's id in the catalogue.", examples=["order-sync"])]
TaskFilter = Annotated[str | None, Query(description="Only of this task.", examples=["order-sync"])]
CursorText = Annotated[str, WithJsonSchema({"type": "string", **_CURSOR})]
Cursor = Annotated[CursorText | None, Query(description="`next_cursor` of the page before.")]
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

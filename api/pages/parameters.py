"""What pages are asked for in their address: named filters, each checked; a misspelt one is an error."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time
from uuid import UUID

from starlette.requests import Request

from api.pages.problems import PageProblem


class Parameters:
    """The query of a request; empty fields of a filter form count as not given."""

    def __init__(self, request: Request, known: Collection[str]) -> None:
        unknown = sorted(set(request.query_params) - set(known))
        if unknown:
            raise PageProblem(422, f"This page knows no {unknown[0][:60]}; expected some of {', '.join(known)}.")
        self._given = {name: value for name, value in request.query_params.items() if value}

    def text(self, name: str) -> str | None:
        return self._given.get(name)

    def one_of(self, name: str, choices: Collection[str]) -> str | None:
        found = self._given.get(name)
        if found is not None and found not in choices:
            raise PageProblem(422, f"Found {found[:60]} for {name}, expected one of {', '.join(choices)}.")
        return found

    def id(self, name: str) -> UUID | None:
        found = self._given.get(name)
        try:
            return None if found is None else UUID(found)
        except ValueError:
            raise PageProblem(422, f"Found {found!r:.60} for {name}, expected an id.") from None

    def start_of_day(self, name: str) -> datetime | None:
        found = self._given.get(name)
        try:
            return None if found is None else datetime.combine(date.fromisoformat(found), time(), UTC)
        except ValueError:
            raise PageProblem(422, f"Found {found!r:.60} for {name}, expected a day such as 2026-05-01.") from None

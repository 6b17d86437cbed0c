"""Pairs: lists with filters, one pair as two runs side by side, and how the judge came to its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from api.control.services import services_of
from api.pages.parameters import Parameters
from api.pages.problems import not_found
from api.pages.rendering import render
from api.pages.visitors import tenant_visitor
from comparators import Verdict
from shadow.access.tokens import Tenants
from shadow.reports import pairs as reported
from shadow.reports.explanation import as_text, with_explanation
from shadow.reports.shapes import PairDetail
from shadow.reports.timeline import beside, timeline

_VERDICTS = (*(verdict.value for verdict in Verdict), reported.PENDING)
_FILTERS = ("task", "verdict", "signature", "tenant", "since", "until", "replay")


async def pairs(request: Request) -> Response:
    """A page of pairs, newest first."""
    session = await tenant_visitor(request)
    asked = Parameters(request, (*_FILTERS, "cursor"))
    services = services_of(request)
    wanted = reported.PairFilter(
        task=asked.one_of("task", services.catalogue.tasks),
        verdict=asked.one_of("verdict", _VERDICTS),
        signature=asked.text("signature"),
        tenant=asked.text("tenant"),
        since=asked.start_of_day("since"),
        until=asked.start_of_day("until"),
        replay=asked.id("replay"),
        tenants=session.token.tenants,
    )
    page = await reported.page(services.engine, wanted, cursor=asked.text("cursor"))
    given = {name: asked.text(name) for name in _FILTERS}
    return render(
        request,
        "pairs.html",
        page=page,
        given=given,
        tasks=list(services.catalogue.tasks),
        verdicts=_VERDICTS,
        following={**given, "cursor": page.next_cursor},
    )


async def pair(request: Request) -> Response:
    """One pair."""
    session = await tenant_visitor(request)
    found = await _explained(request, session.token.tenants)
    steps = timeline(found)
    views = {} if found.explanation is None or found.explanation.stages is None else _views(found)
    return render(
        request,
        "pair.html",
        pair=found,
        steps=[(step, diff_lines(step.view)) for step in steps],
        others=beside(found, steps),
        output=diff_lines(views.get('$["output"]') or views.get("$['output']")),
    )


async def explanation(request: Request) -> Response:
    """What each stage of judging did."""
    session = await tenant_visitor(request)
    found = await _explained(request, session.token.tenants)
    return render(request, "explanation.html", pair=found, text=as_text(found))


async def _explained(request: Request, tenants: Tenants) -> PairDetail:
    services = services_of(request)
    identifier = request.path_params["pair"]
    found = await reported.detail(services.engine, identifier, tenants=tenants)
    if found is None:
        raise not_found("pair", identifier)
    return await with_explanation(services.database, services.rulebook, found)


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of both values at once."""

    kind: str
    """plus, minus or same."""
    text: str


def diff_lines(view: str | None) -> list[DiffLine]:
    """A text with `-` before legacy's lines and `+` before the candidate's, taken apart."""
    return [] if view is None else list(_lines(view))


def _lines(view: str) -> Iterator[DiffLine]:
    kinds = {"-": "minus", "+": "plus"}
    for line in view.split("\n"):
        yield DiffLine(kinds.get(line[:1], "same"), line)


def _views(pair: PairDetail) -> dict[str, str]:
    assert pair.explanation is not None
    assert pair.explanation.stages is not None
    views = pair.explanation.stages["views"]
    assert isinstance(views, list)
    return {str(view["place"]): str(view["text"]) for view in views if isinstance(view, dict)}

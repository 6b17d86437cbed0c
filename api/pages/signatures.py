"""Signatures: the same difference over many pairs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.control.services import services_of
from api.pages.parameters import Parameters
from api.pages.problems import not_found
from api.pages.rendering import render
from api.pages.visitors import visitor
from shadow.reports import pairs, replays
from shadow.reports import signatures as reported

_MOST = 200
_SOME = 20


async def signatures(request: Request) -> Response:
    """What differs, those that most pairs show first."""
    await visitor(request)
    asked = Parameters(request, ("task",))
    services = services_of(request)
    task = asked.one_of("task", services.catalogue.tasks)
    found = await reported.worst(services.engine, task=task, limit=_MOST)
    return render(
        request, "signatures.html", signatures=found.items, task=task, tasks=list(services.catalogue.tasks), most=_MOST
    )


async def signature(request: Request) -> Response:
    """One of them."""
    await visitor(request)
    Parameters(request, ("done",))
    return await signature_page(request)


async def signature_page(request: Request, *, status: int = 200, **form: Any) -> Response:
    """The page, with what was wrong about a form that was sent in."""
    services = services_of(request)
    name = request.path_params["signature"]
    found = await reported.detail(services.engine, name)
    if found is None:
        raise not_found("signature", name)
    shown = await pairs.page(services.engine, pairs.PairFilter(signature=name), limit=_SOME)
    return render(
        request,
        "signature.html",
        status=status,
        signature=found,
        page=shown,
        replays=(await replays.newest(services.engine, signature=name, limit=_SOME)).items,
        **form,
    )

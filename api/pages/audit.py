"""The audit: what was decided and what happened, in order of time."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.control.services import services_of
from api.pages.parameters import Parameters
from api.pages.rendering import render
from api.pages.visitors import visitor
from shadow.reports import audit as reported


async def audit(request: Request) -> Response:
    """A page of it, of all tasks or of one."""
    await visitor(request)
    asked = Parameters(request, ("task", "kind", "cursor"))
    services = services_of(request)
    task = asked.one_of("task", services.catalogue.tasks)
    kind = asked.one_of("kind", reported.KINDS)
    kinds = None if kind is None else reported.KINDS[kind]
    page = await reported.page(services.engine, task=task, kinds=kinds, cursor=asked.text("cursor"))
    return render(
        request,
        "audit.html",
        page=page,
        task=task,
        kind=kind,
        kinds=list(reported.KINDS),
        tasks=list(services.catalogue.tasks),
        following={"task": task, "kind": kind, "cursor": page.next_cursor},
    )

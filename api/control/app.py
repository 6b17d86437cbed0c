"""The control listener: what operators, CI and Prometheus reach."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from api.bounded import Bounded
from api.control import (
    allowances,
    board,
    containment,
    costs,
    draining,
    epochs,
    events,
    evidence,
    gates,
    incidents,
    judgements,
    notices,
    originals,
    pairs,
    phases,
    process,
    proposals,
    replays,
    signatures,
    tasks,
    ticks,
    viewer,
)
from api.control.documented import DESCRIPTION, document
from api.control.headers import WithHeaders
from api.control.problems import install
from api.control.services import ControlServices

MOST_BYTES = 4 * 1024 * 1024
"""Of a request's body: a ramp's lists of keys are the largest."""


async def _to_pages(_request: Request) -> Response:
    """Whoever asks for nothing in particular is a person."""
    return RedirectResponse("/pages/")


def control_app(services: ControlServices) -> FastAPI:
    """The ASGI app of the control port; its OpenAPI document is at `/openapi.json`, to be read at `/docs`."""
    app = FastAPI(
        title="Shadow control API",
        version=metadata.version("shadow-parity"),
        description=DESCRIPTION,
        docs_url=None,  # the one of FastAPI loads its script from a CDN
        redoc_url=None,
    )
    app.state.services = services
    app.add_middleware(Bounded, most=MOST_BYTES)
    # Around Starlette's own outermost layer, which answers what nobody foresaw.
    stack = app.build_middleware_stack
    app.build_middleware_stack = lambda: WithHeaders(stack())  # type: ignore[method-assign]
    install(app)
    parts = (
        tasks,
        ticks,
        board,
        costs,
        judgements,
        containment,
        evidence,
        pairs,
        signatures,
        allowances,
        proposals,
        replays,
        events,
        originals,
        gates,
        epochs,
        phases,
        draining,
        incidents,
        notices,
        process,
    )
    routers = [part.router for part in parts]
    for router in routers:
        app.include_router(router)
    # Mounted late: the pages know this package, too.
    from api.pages.application import pages_app

    app.mount("/pages", pages_app(services))
    viewer.install(app)
    app.add_route("/", _to_pages, include_in_schema=False)
    app.openapi = lambda: document(app, routers)  # type: ignore[method-assign]  # FastAPI's documented way
    return app

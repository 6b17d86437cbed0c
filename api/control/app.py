"""The control listener: what operators, CI and Prometheus reach."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI

from api.control import (
    allowances,
    board,
    containment,
    costs,
    draining,
    events,
    incidents,
    judgements,
    notices,
    pairs,
    phases,
    process,
    proposals,
    replays,
    signatures,
    tasks,
)
from api.control.documented import DESCRIPTION, document
from api.control.problems import install
from api.control.services import ControlServices


def control_app(services: ControlServices) -> FastAPI:
    """The ASGI app of the control port; its OpenAPI document is at `/openapi.json`, to be read at `/docs`."""
    app = FastAPI(
        title="Shadow control API",
        version=metadata.version("shadow-parity"),
        description=DESCRIPTION,
        redoc_url=None,
    )
    app.state.services = services
    install(app)
    parts = (
        tasks,
        board,
        costs,
        judgements,
        containment,
        pairs,
        signatures,
        allowances,
        proposals,
        replays,
        events,
        phases,
        draining,
        incidents,
        notices,
        process,
    )
    routers = [part.router for part in parts]
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: document(app, routers)  # type: ignore[method-assign]  # FastAPI's documented way
    return app

"""Health and metrics of the process, and the figures of the whole installation."""

from __future__ import annotations

import asyncio
from typing import Literal

from alembic.script import ScriptDirectory
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from api.control import examples
from api.control.bearer import scraper
from api.control.documented import answers
from api.control.parameters import Services, known_parameters
from api.control.problems import Refusal
from shadow.observe.metrics import exposition
from shadow.reports.figures import gauges
from shadow.store.database import alembic_config

router = APIRouter(tags=["process"])

_METRICS = "text/plain; version=0.0.4"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The process can do its work."""

    status: Literal["ready"] = "ready"
    migration: str


@router.get("/healthz", summary="Alive", responses=answers(examples.ALIVE), dependencies=[Depends(known_parameters)])
async def healthz() -> Alive:
    """Whether the process answers at all. Needs no token and no database."""
    return Alive()


@router.get("/readyz", summary="Ready", responses=answers(examples.READY), dependencies=[Depends(known_parameters)])
async def readyz(services: Services) -> Ready:
    """Whether the database can be reached and has the newest schema, and the process is not stopping. Needs no
    token."""
    if services.draining:
        raise Refusal(503, "the process is stopping; what is under way goes on")
    if services.waiting:
        detail = "the database has been away since the process started, which goes on by itself once it is there"
        raise Refusal(503, detail, headers={"Retry-After": "1"})
    newest = await asyncio.to_thread(_newest_migration)
    try:
        async with services.engine.connect() as connection:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        found = None
    if found is None or found != newest:
        raise Refusal(503, f"the schema is at migration {found or 'none'}, expected {newest}")
    return Ready(migration=newest)


def _newest_migration() -> str | None:
    return ScriptDirectory.from_config(alembic_config("")).get_current_head()


@router.get(
    "/metrics",
    summary="Metrics of this process",
    response_class=Response,
    responses=answers(examples.METRICS, 401, 403, 421, media_type=_METRICS),
    dependencies=[Depends(scraper)],
)
async def metrics(request: Request) -> Response:
    """What this process did since it started, for Prometheus. Needs no token where metrics are open."""
    content, content_type = exposition(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})


@router.get(
    "/metrics/parity",
    summary="Figures of the installation",
    response_class=Response,
    responses=answers(examples.PARITY_METRICS, 401, 403, 421, media_type=_METRICS),
    dependencies=[Depends(scraper)],
)
async def parity_metrics(request: Request, services: Services) -> Response:
    """Parity, queue and phases as gauges of one logical target: every process gives the same."""
    installation = await services.figures.read()
    content, content_type = exposition(request.headers.get("accept", ""), gauges(installation))
    return Response(content, headers={"Content-Type": content_type})

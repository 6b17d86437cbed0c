"""Evidence packs: what a task's migration rests on."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.control import examples_of_evidence as examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Services, TaskName
from api.control.problems import not_found
from api.control.services import ControlServices
from shadow.archive.keeping import composed, kept
from shadow.archive.rendering import Files
from shadow.archive.shapes import EvidencePack
from shadow.cutover.decision import Phase
from shadow.reports import parity

router = APIRouter(tags=["tasks"], dependencies=[Depends(reader)])

_PAGE = "text/html; charset=utf-8"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@router.get(
    "/v1/tasks/{task}/evidence",
    summary="A task's evidence pack",
    response_model=EvidencePack,
    responses=answers(examples.EVIDENCE, 401, 403, 404, 422),
)
async def get_evidence(task: TaskName, services: Services) -> Response:
    """All that the migration of a task rests on: the one that was kept where its route is retired, else as of now. The
    `ETag` is the SHA-256 of these bytes."""
    found = await pack_of(services, task)
    return Response(found.json, media_type="application/json", headers={"ETag": f'"{found.digest}"'})


@router.get(
    "/v1/tasks/{task}/evidence.html",
    summary="The same as a page",
    response_class=Response,
    responses=answers(examples.EVIDENCE_PAGE, 401, 403, 404, 422, media_type=_PAGE),
)
async def get_evidence_page(task: TaskName, services: Services) -> Response:
    """The same as one self-contained page, which shows the SHA-256 of the JSON. A pack that is made on demand is made
    anew each time."""
    found = await pack_of(services, task)
    return Response(found.html, headers={"Content-Type": _PAGE, **_PAGE_HEADERS})


async def pack_of(services: ControlServices, task: str) -> Files:
    """The pack that was kept where the task's route is retired, else one as of now."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    summary = await parity.task(services.engine, services.catalogue, task)
    found = await kept(services.database, task) if summary.phase is Phase.RETIRED else None
    return found or await composed(services.database, services.catalogue, task)

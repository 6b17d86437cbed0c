"""What is still in flight on legacy after the candidate took over."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.control import examples_of_notices as examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Services, TaskName
from api.control.problems import not_found
from shadow.reports.drain_shapes import Drain
from shadow.reports.draining import drain

router = APIRouter(tags=["phases"], dependencies=[Depends(reader)])


@router.get(
    "/v1/phases/{task}/drain",
    summary="What legacy still has to finish",
    responses=answers(examples.DRAIN, 401, 403, 404, 422),
)
async def get_drain(task: TaskName, services: Services) -> Drain:
    """Runs that legacy still does with authority for events that were accepted before the candidate took over, and
    events that are on their way to it. A route moves to `retired` once nothing is left."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await drain(services.engine, services.catalogue, task)

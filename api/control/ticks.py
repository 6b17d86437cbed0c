"""The ticks of scheduled tasks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.control import examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Limit, Moment, Services, TaskName
from api.control.problems import not_found
from shadow.reports import ticks
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.ticks import Ticks

router = APIRouter(tags=["tasks"], dependencies=[Depends(reader)])


@router.get(
    "/v1/tasks/{task}/ticks",
    summary="Ticks of a task",
    responses=answers(examples.TICKS, 401, 403, 404, 422),
)
async def get_ticks(
    task: TaskName,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    before: Annotated[
        Moment | None,
        Query(description="Only of nominal times before, for the page after.", examples=["2026-05-01T02:00:00Z"]),
    ] = None,
) -> Ticks:
    """The newest nominal times of a scheduled task: whose each was, and whether it was run, late, missed or doubled.

    A tick is of the side that had authority at its nominal time, whenever its runs started.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    if services.catalogue.tasks[task].cron is None:
        raise not_found("schedule of the task", task)
    return await ticks.newest(services.engine, services.catalogue, task, limit=limit, before=before)

"""What runs cost."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.control import examples_of_boards as examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Services, TaskName
from api.control.problems import not_found
from shadow.reports import costs
from shadow.reports.cost_shapes import Costs, CostsOfTask

router = APIRouter(tags=["costs"], dependencies=[Depends(reader)])


@router.get("/v1/costs", summary="Costs", responses=answers(examples.COSTS, 401, 403, 422))
async def get_costs(services: Services) -> Costs:
    """What a month of every task costs on either side, at the volume of the last days, and what moving it saves."""
    return await costs.costs(services.engine, services.catalogue)


@router.get(
    "/v1/tasks/{task}/costs",
    summary="Costs of a task",
    responses=answers(examples.COSTS_OF_TASK, 401, 403, 404, 422),
)
async def get_task_costs(task: TaskName, services: Services) -> CostsOfTask:
    """What a month of it costs on either side, and what its runs used up day by day."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await costs.of_task(services.engine, services.catalogue, task)

"""Tasks and their parity."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.control import examples
from api.control.bearer import Reader, check_tenant, reader
from api.control.documented import answers
from api.control.parameters import Day, Services, TaskName
from api.control.problems import FieldProblem, invalid, not_found
from shadow.reports import parity, rules
from shadow.reports.shapes import Parity, TaskRules, Tasks, TaskSummary

router = APIRouter(tags=["tasks"])


@router.get("/v1/tasks", summary="All tasks", responses=answers(examples.TASKS, 401, 403, 422))
async def list_tasks(services: Services, token: Reader) -> Tasks:
    """Every task of the catalogue with its phase and how its pairs were judged so far."""
    return await parity.tasks(services.engine, services.catalogue, tenants=token.tenants)


@router.get("/v1/tasks/{task}", summary="One task", responses=answers(examples.TASK, 401, 403, 404, 422))
async def get_task(task: TaskName, services: Services, token: Reader) -> TaskSummary:
    """One task with its phase and how its pairs were judged so far."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await parity.task(services.engine, services.catalogue, task, tenants=token.tenants)


@router.get(
    "/v1/tasks/{task}/parity",
    summary="Parity of a task",
    responses=answers(examples.PARITY, 401, 403, 404, 422),
)
async def get_parity(
    task: TaskName,
    services: Services,
    token: Reader,
    since: Annotated[Day | None, Query(description="First UTC day.", examples=["2026-05-01"])] = None,
    until: Annotated[Day | None, Query(description="Last UTC day.", examples=["2026-05-07"])] = None,
    tenant: Annotated[
        str | None, Query(description="Only of this tenant; empty: of events without one.", examples=["acme"])
    ] = None,
) -> Parity:
    """match / (match + mismatch + missing), with all the counts behind it, over whole days of acceptance.

    Pairs that can't be compared and pairs without a verdict are shown apart; neither is ever counted as a match.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    if since is not None and until is not None and since > until:
        raise invalid([FieldProblem(field="query.until", found=until.isoformat(), expected=f"a day from {since} on")])
    if tenant is not None:
        check_tenant(token, tenant)
    return await parity.parity(
        services.engine, services.catalogue, task, since=since, until=until, tenant=tenant, tenants=token.tenants
    )


@router.get(
    "/v1/tasks/{task}/rules",
    summary="Rules of a task",
    responses=answers(examples.TASK_RULES, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def get_rules(task: TaskName, services: Services) -> TaskRules:
    """What the judge is told of a task, what each rule did in the last 30 days, and which of them are dead.

    Also what legacy's runs always did in one order, which may be an order that matters: a person says so.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await rules.of_task(services.engine, services.catalogue, task)

"""Whether tasks are contained: proving it, declaring it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import Limit, Reason, Services, TaskName
from api.control.problems import FieldProblem, Refusal, invalid, not_found
from shadow.access.tokens import Token
from shadow.containment.record import DeclarationRefused, declare, end_outdated, withdraw
from shadow.reports import containments
from shadow.reports.shapes import ContainmentReport
from shadow.store.database import Work

router = APIRouter(tags=["phases"])
SHOWN = 10
"""How much of a task's record is shown by default."""


class ContainmentRequest(BaseModel):
    """What to do about a task's containment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "if": {"properties": {"action": {"const": "prove"}}},
            "else": {"required": ["reason"], "properties": {"reason": {"type": "string"}}},
        },
    )

    action: Literal["prove", "declare_harmless", "withdraw"]
    reason: Reason | None = Field(
        None, max_length=2000, description="Of a declaration or its withdrawal; kept on record."
    )


@router.get(
    "/v1/tasks/{task}/containment",
    summary="Containment of a task",
    responses=answers(examples.CONTAINMENT, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def get_containment(task: TaskName, services: Services, limit: Limit = SHOWN) -> ContainmentReport:
    """Whether the task may enter `shadow`, and every proof and declaration, newest first, with what each part showed.

    A proof whose candidate runs in another version now is shown as ended.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    async with services.database.connection(Work.CONTROL) as connection:
        await end_outdated(connection)
    return await containments.containment(services.engine, task, limit=limit)


@router.post(
    "/v1/tasks/{task}/containment",
    summary="Prove or declare it",
    responses=answers(examples.CONTAINMENT, 401, 403, 404, 409, 422),
)
async def contain(
    task: TaskName,
    wanted: Annotated[ContainmentRequest, Body(examples=[examples.CONTAINMENT_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> ContainmentReport:
    """Begin a proof, declare the task harmless, or withdraw a declaration; on record under the token's name.

    A proof takes as long as its canary's runs. Until it has ended its state is `running`, and `GET` shows those of its
    parts that are done.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    actor = f"token:{token.name}"
    if wanted.action == "prove":
        if await services.proofs.begin(task, actor=actor) is None:
            raise Refusal(409, f"a proof of {task!r} is being tried already", kind="being-proven")
    else:
        await _declared(task, wanted, services, actor)
    return await containments.containment(services.engine, task, limit=SHOWN)


async def _declared(task: str, wanted: ContainmentRequest, services: Services, actor: str) -> None:
    """Declare, or withdraw a declaration."""
    if wanted.reason is None:
        expected = "why, for whoever reads the record later"
        raise invalid([FieldProblem(field="body.reason", found=None, expected=expected)])
    try:
        if wanted.action == "declare_harmless":
            await declare(services.database, task, actor=actor, reason=wanted.reason)
        elif not await withdraw(services.database, task, actor=actor, reason=wanted.reason):
            raise Refusal(409, f"task {task!r} has no declaration to withdraw", kind="not-declared")
    except DeclarationRefused as error:
        raise invalid([FieldProblem(field="body.reason", found=wanted.reason, expected=str(error))]) from error

"""Gates: whether tasks may move on, for people, for CI and for rollout controllers; and signing off."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples_of_gates as examples
from api.control.bearer import Credentials, operator, reader, told_by
from api.control.documented import answers
from api.control.parameters import Reason, Services, TaskName
from api.control.problems import Refusal, not_found
from shadow.access.tokens import Token
from shadow.cutover.decision import Phase
from shadow.gate.signing_off import LONGEST_REASON, SignOffRefused, revoke, sign_off
from shadow.reports import gates
from shadow.reports.gate_shapes import GateGroup, Gates, GateView

router = APIRouter(tags=["gates"])

Category = Annotated[str, Path(description="A category of the catalogue.", examples=["orders"])]
Conditions = Annotated[
    bool, Query(description="With all conditions of each gate, not those alone that hold it shut.", examples=[True])
]


class SignOffRequest(BaseModel):
    """Why somebody vouches for a task."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(max_length=LONGEST_REASON, description="For whoever reads the audit later.")


class Confirmation(BaseModel):
    """What Flagger posts to a webhook. Only the token in its metadata is read, where no header brings one."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", description="Of the canary.")
    namespace: str = ""
    phase: str = ""
    metadata: dict[str, str] = Field(default_factory=dict, description="`token`: one with the scope read.")


@router.get(
    "/v1/gates", summary="All gates", responses=answers(examples.GATES, 401, 403, 422), dependencies=[Depends(reader)]
)
async def list_gates(
    services: Services,
    category: Annotated[str | None, Query(description="Only of this category.", examples=["orders"])] = None,
    phase: Annotated[Phase | None, Query(description="Only of tasks in this phase.", examples=["shadow"])] = None,
    open: Annotated[bool | None, Query(description="Only open ones, or only closed ones.", examples=[False])] = None,
    conditions: Conditions = False,
) -> Gates:
    """What every task's gate said within the last seconds, in the catalogue's order."""
    return await gates.gates(
        services.database, services.catalogue, category=category, phase=phase, open_=open, every=conditions
    )


@router.get(
    "/v1/gates/migration",
    summary="The gate of the whole migration",
    responses=answers(examples.MIGRATION, 401, 403, 422),
    dependencies=[Depends(reader)],
)
async def get_migration(services: Services, conditions: Conditions = False) -> GateGroup:
    """All tasks taken as one, evaluated now: open when every gate is. Tasks in `retired` have passed theirs."""
    return await gates.group(
        services.database, services.catalogue, gates.MIGRATION, list(services.catalogue.tasks), every=conditions
    )


@router.get(
    "/v1/gates/categories/{category}",
    summary="The gate of a category",
    responses=answers(examples.CATEGORY, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def get_category(category: Category, services: Services, conditions: Conditions = False) -> GateGroup:
    """The tasks of a category taken as one, evaluated now: open when every gate of theirs is."""
    tasks = gates.tasks_of_category(services.catalogue, category)
    if not tasks:
        raise not_found("task of category", category)
    return await gates.group(services.database, services.catalogue, category, tasks, every=conditions)


@router.get(
    "/v1/gates/{task}",
    summary="One gate",
    responses=answers(examples.GATE, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def get_gate(task: TaskName, services: Services) -> GateView:
    """What the gate of a task says, evaluated now: each condition with its figure, and when it opens.

    `open` is what a rollout controller asks for (Argo Rollouts: `jsonPath: "{$.open}"`).
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await gates.gate(services.database, services.catalogue, task)


@router.post(
    "/v1/gates/{task}/sign-offs",
    summary="Sign a task off",
    responses=answers(examples.SIGNED_OFF, 401, 403, 404, 409, 422),
)
async def sign_task_off(
    task: TaskName,
    wanted: Annotated[SignOffRequest, Body(examples=[examples.SIGN_OFF_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> GateView:
    """Vouch for a task with too few pairs for the statistic; on record under the token's name, for this epoch.

    The word of two different people stands in the statistic's place while the task has fewer pairs a day than its
    `sign_off_below`. All other conditions hold as ever.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    try:
        await sign_off(services.database, task, actor=f"token:{token.name}", reason=wanted.reason)
    except SignOffRefused as error:
        raise Refusal(409, str(error), kind="sign-off-refused", title="Sign-off refused") from error
    return await gates.gate(services.database, services.catalogue, task)


@router.delete(
    "/v1/gates/{task}/sign-offs/{sign_off}",
    summary="Revoke a sign-off",
    responses=answers(examples.GATE, 401, 403, 404, 422),
)
async def revoke_sign_off(
    task: TaskName,
    sign_off: Annotated[UUID, Path(description="The sign-off's id.", examples=[examples.SIGN_OFF["id"]])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> GateView:
    """Take a sign-off back, one's own or anybody's. It stays on record, with who took it back."""
    if task not in services.catalogue.tasks or not await revoke(
        services.database, task, sign_off, actor=f"token:{token.name}"
    ):
        raise not_found(f"sign-off of task {task!r} that stands:", sign_off)
    return await gates.gate(services.database, services.catalogue, task)


@router.post(
    "/v1/gates/{task}/confirmation",
    summary="Confirm a step of a rollout",
    responses=answers(examples.GATE, 401, 403, 404, 409, 422),
)
async def confirm(
    task: TaskName,
    asked: Annotated[Confirmation, Body(examples=[examples.CONFIRMATION])],
    request: Request,
    services: Services,
    credentials: Credentials,
) -> GateView:
    """For controllers that tell by the status alone, such as Flagger's webhooks: 200 while the gate is open, else 409.

    The token comes in the header, or as `token` in the body's `metadata`: Flagger's webhooks can't send headers.
    """
    await told_by(request, credentials, asked.metadata.get("token"))
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    found = await gates.gate(services.database, services.catalogue, task)
    if not found.open:
        says = "; ".join(f"{one.name}: {one.says}" for one in found.conditions if one.name in found.blockers)
        raise Refusal(409, f"the gate of {task} is closed. {says}", kind="gate-closed", title="Gate closed")
    return found

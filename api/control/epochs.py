"""What counts together, and what begins it anew: a deploy that is told, or a person."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples_of_epochs as examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import STORABLE, Limit, Reason, Services, TaskName
from api.control.problems import FieldProblem, Refusal, not_found
from shadow.access.tokens import Token
from shadow.catalogue.model import Side
from shadow.containment.version import UnknownApp
from shadow.gate.deployments import by_person, deployed
from shadow.gate.epochs import LONGEST_REASON
from shadow.reports import epochs
from shadow.reports.epoch_shapes import Deployments, DeploymentTold, Epochs, EpochView
from shadow.reports.paging import DEFAULT_LIMIT

router = APIRouter(tags=["gates"])


class DeploymentRequest(BaseModel):
    """What was deployed."""

    model_config = ConfigDict(extra="forbid")

    side: Side
    version: Reason = Field(max_length=200, description="As the workers tell it, if they do.")
    app: str | None = Field(
        None,
        max_length=200,
        pattern=STORABLE,
        description="The platform's name for the app, or the catalogue's for the platform; null: all of that side.",
    )
    note: str | None = Field(None, max_length=2000, pattern=STORABLE, description="For whoever reads it later.")


class EpochRequest(BaseModel):
    """Why what was counted says nothing any more."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(max_length=LONGEST_REASON, description="Kept with the epoch.")


@router.post(
    "/v1/deployments",
    summary="Tell of a deploy",
    responses=answers(examples.DEPLOYMENT_TOLD, 401, 403, 404, 422),
)
async def tell_deployment(
    wanted: Annotated[DeploymentRequest, Body(examples=[examples.DEPLOYMENT_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> DeploymentTold:
    """A side runs in another version from now on, so an epoch begins for each of its tasks that has counted pairs.

    Harmless to tell twice. A proof of containment ends with it.
    """
    try:
        told = await deployed(
            services.database,
            services.catalogue,
            wanted.side,
            wanted.version,
            actor=f"token:{token.name}",
            app=wanted.app,
            note=wanted.note,
        )
    except UnknownApp as error:
        wrong = FieldProblem(field="body.app", found=wanted.app, expected=str(error))
        raise Refusal(404, str(error), errors=[wrong]) from error
    return epochs.telling(told)


@router.get(
    "/v1/deployments",
    summary="Deploys",
    responses=answers(examples.DEPLOYMENTS, 401, 403, 422),
    dependencies=[Depends(reader)],
)
async def list_deployments(services: Services, limit: Limit = DEFAULT_LIMIT) -> Deployments:
    """Every deploy that was told, newest first. Versions that were only seen are not among them."""
    return await epochs.told(services.database, limit=limit)


@router.get(
    "/v1/epochs/{task}",
    summary="Epochs of a task",
    responses=answers(examples.EPOCHS, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def list_epochs(task: TaskName, services: Services, limit: Limit = DEFAULT_LIMIT) -> Epochs:
    """What was counted together, newest first, and what began each; the first is the one that lasts."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await epochs.of_task(services.database, task, limit=limit)


@router.post(
    "/v1/epochs/{task}",
    summary="Begin an epoch",
    responses=answers({**examples.EPOCH, "because": "token:oncall: another shop"}, 401, 403, 404, 409, 422),
)
async def begin_epoch(
    task: TaskName,
    wanted: Annotated[EpochRequest, Body(examples=[examples.EPOCH_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> EpochView:
    """Count from zero: only pairs of events accepted from now on count for the gate.

    On record under the token's name.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    begun = await by_person(services.database, task, actor=f"token:{token.name}", reason=wanted.reason)
    if begun is None:
        raise Refusal(409, f"task {task!r} has no epoch yet: it had no pairs", kind="no-epoch")
    return epochs.view_of(begun)

"""Where routes stand, and moving them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Security
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.control import examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import STORABLE, Limit, Reason, Services, TaskFilter, TaskName
from api.control.problems import Refusal, not_found
from shadow.access.tokens import Token
from shadow.cutover.decision import Phase
from shadow.cutover.moves import MoveRefused
from shadow.reports import moves, routes
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.routes import RouteStands
from shadow.reports.shapes import MoveDetail, Moves, MoveView
from shadow.steering import moving

router = APIRouter(tags=["phases"])

MOST_KEYS = 10_000
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=STORABLE)]


class MoveRequest(BaseModel):
    """Where a route shall go, and why."""

    model_config = ConfigDict(extra="forbid")

    phase: Phase
    reason: Reason = Field(max_length=2000, description="For whoever reads the audit later.")
    share: int | None = Field(
        None, ge=0, le=100, description="Of `ramp`: percent of keys for which the candidate has authority. As before."
    )
    allow: list[Key] | None = Field(
        None, max_length=MOST_KEYS, description="Of `ramp`: keys that go to the candidate in any case. As before."
    )
    deny: list[Key] | None = Field(
        None, max_length=MOST_KEYS, description="Of `ramp`: keys that stay with legacy in any case. As before."
    )
    force: bool = Field(False, description="Past a closed gate, or past the phases between; audited as forced.")


@router.get(
    "/v1/phases",
    summary="Where every route stands",
    responses=answers(examples.PHASES, 401, 403),
    dependencies=[Depends(reader)],
)
async def list_phases(services: Services) -> RouteStands:
    """Every route's phase, what its ramp takes, since when, and what is about to hold."""
    return await routes.stands(services.engine, services.catalogue)


@router.post(
    "/v1/phases/{task}",
    summary="Move a task's route",
    responses=answers(examples.MOVE, 401, 403, 404, 409, 422),
)
async def move_route(
    task: TaskName,
    wanted: Annotated[MoveRequest, Body(examples=[examples.MOVE_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> MoveView:
    """Move all tasks of the route to another phase, or to another share of a ramp, from a moment a little ahead on.

    Forward goes through the open gates of its tasks, or by force; back is always allowed. The move is audited.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    try:
        done = await moving.move(
            services.database,
            services.catalogue,
            task,
            wanted.phase,
            actor=f"token:{token.name}",
            reason=wanted.reason,
            share=wanted.share,
            allow=wanted.allow,
            deny=wanted.deny,
            force=wanted.force,
        )
    except MoveRefused as error:
        raise Refusal(409, str(error), kind="move-refused", title="Move refused") from error
    return MoveView.model_validate(done, from_attributes=True)


@router.get(
    "/v1/moves",
    summary="Moves",
    responses=answers(examples.MOVES, 401, 403, 422),
    dependencies=[Depends(reader)],
)
async def list_moves(services: Services, task: TaskFilter = None, limit: Limit = DEFAULT_LIMIT) -> Moves:
    """Every change of phase that was made, newest first."""
    return await moves.newest(services.engine, task=task, limit=limit)


@router.get(
    "/v1/moves/{move}",
    summary="A move",
    responses=answers(examples.MOVE_DETAIL, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def one_move(
    move: Annotated[UUID, Path(description="The move's id.", examples=[examples.MOVE["id"]])], services: Services
) -> MoveDetail:
    """One move, with what the gates said when it was decided."""
    found = await moves.one(services.engine, move)
    if found is None:
        raise not_found("move", str(move))
    return found

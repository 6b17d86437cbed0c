"""Where routes stand, and moving them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import Limit, Services, TaskFilter, TaskName
from api.control.problems import Refusal, not_found
from shadow.access.tokens import Token
from shadow.cutover.decision import Phase
from shadow.cutover.moves import MoveRefused
from shadow.reports import moves
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import Moves, MoveView
from shadow.steering.moving import move

router = APIRouter(tags=["phases"])


class MoveRequest(BaseModel):
    """Where a route shall go, and why."""

    model_config = ConfigDict(extra="forbid")

    phase: Phase
    reason: str = Field(min_length=1, max_length=2000, description="For whoever reads the audit later.")


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
    """Move all tasks of the route to another phase, from a moment a little ahead on. The move is audited."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    try:
        done = await move(
            services.database,
            services.catalogue,
            task,
            wanted.phase,
            actor=f"token:{token.name}",
            reason=wanted.reason,
        )
    except MoveRefused as error:
        raise Refusal(409, str(error), kind="move-refused", title="Move refused") from error
    return MoveView(
        id=done.id,
        route=done.route,
        tasks=list(done.tasks),
        from_phase=done.from_phase,
        to_phase=done.to_phase,
        actor=done.actor,
        reason=done.reason,
        forced=True,
        decided_at=done.decided_at,
        effective_at=done.effective_at,
    )


@router.get(
    "/v1/moves",
    summary="Moves",
    responses=answers(examples.MOVES, 401, 403, 422),
    dependencies=[Depends(reader)],
)
async def list_moves(services: Services, task: TaskFilter = None, limit: Limit = DEFAULT_LIMIT) -> Moves:
    """Every change of phase that was made, newest first."""
    return await moves.newest(services.engine, task=task, limit=limit)

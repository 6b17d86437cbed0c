"""Events, and dispatches that could not be delivered."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from api.control import examples
from api.control.bearer import Operator, Reader
from api.control.documented import answers
from api.control.parameters import Cursor, Limit, Services, TaskFilter
from api.control.problems import Refusal, not_found
from shadow.catalogue.model import Side
from shadow.fanout.resending import send_again
from shadow.reports import dead_letters, events
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import DeadLetterPage, EventDetail

router = APIRouter(tags=["events"])


class Resent(BaseModel):
    """A dispatch that is due again."""

    id: UUID


@router.get(
    "/v1/events/{event}",
    summary="One event",
    responses=answers(examples.EVENT, 401, 403, 404, 422),
)
async def get_event(
    event: Annotated[
        str,
        Path(
            description="Its id, the ULID that Inngest assigned, or the id that its candidate runs carry.",
            examples=[examples.EVENT["id"]],
        ),
    ],
    services: Services,
    token: Reader,
) -> EventDetail:
    """An event with its data, its runs on both sides, and the dispatches that are still to be done."""
    found = await events.detail(services.engine, event, services.catalogue.catalogue.sources, tenants=token.tenants)
    if found is None:
        raise not_found("event", event)
    return found


@router.get(
    "/v1/dead-letters",
    summary="Dead letters",
    responses=answers(examples.DEAD_LETTERS, 401, 403, 422),
)
async def list_dead_letters(
    services: Services,
    token: Reader,
    side: Annotated[Side | None, Query(description="Only of this side.", examples=["candidate"])] = None,
    task: TaskFilter = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DeadLetterPage:
    """Dispatches that their platform will not take, with its answer, and deliveries that could not be mapped."""
    return await dead_letters.page(
        services.engine, side=side, task=task, tenants=token.tenants, cursor=cursor, limit=limit
    )


@router.post(
    "/v1/dead-letters/{dispatch}/resend",
    summary="Send a dead letter again",
    responses=answers(examples.RESENT, 401, 403, 404, 409, 422),
)
async def resend_dead_letter(
    dispatch: Annotated[UUID, Path(description="The dispatch's id.", examples=[examples.DISPATCH["id"]])],
    services: Services,
    token: Operator,
) -> Resent:
    """Make the dispatch due at once, under the same key, so that a platform that has it starts no second run.

    A webhook or call that could not be mapped is mapped anew, with the catalogue that the service runs on now. Who
    had it sent is in the audit.
    """
    if token.tenants is not None and not await dead_letters.exists(services.engine, dispatch, tenants=token.tenants):
        raise not_found("dead letter", dispatch)
    done, failed = await send_again(services.database, services.catalogue, [dispatch], actor=f"token:{token.name}")
    if dispatch in done:
        return Resent(id=dispatch)
    if not await dead_letters.exists(services.engine, dispatch):
        raise not_found("dead letter", dispatch)
    raise Refusal(409, failed[dispatch])

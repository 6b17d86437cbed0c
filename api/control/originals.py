"""Originals: opened for whoever may, with a reason, on record."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples, examples_of_originals
from api.control.bearer import RawReader
from api.control.documented import answers
from api.control.parameters import Reason, Services
from api.control.problems import not_found
from shadow.reports.original_shapes import Originals, originals_shape
from shadow.sealing.opening import LONGEST_REASON, UnknownEvent, open_originals

router = APIRouter(tags=["events"])


class OriginalsRequest(BaseModel):
    """Why somebody has to see what came in as it came."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(max_length=LONGEST_REASON, description="For whoever reads the audit later.")


@router.post(
    "/v1/events/{event}/originals",
    summary="Read an event's originals",
    responses=answers(examples_of_originals.ORIGINALS, 401, 403, 404, 422),
)
async def read_originals(
    event: Annotated[UUID, Path(description="The event's id.", examples=[examples.EVENT["id"]])],
    wanted: Annotated[OriginalsRequest, Body(examples=[examples_of_originals.REQUEST])],
    services: Services,
    token: RawReader,
) -> Originals:
    """What the event came with, unredacted. Every read is in the audit before it is answered: the token's name, when,
    of which event, which parts, and the reason."""
    try:
        opened = await open_originals(
            services.database, event, actor=f"token:{token.name}", reason=wanted.reason, tenants=token.tenants
        )
    except UnknownEvent as error:
        raise not_found("event", event) from error
    return originals_shape(opened)

"""Notices, and how channels were told of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.control import examples_of_notices as examples
from api.control.bearer import reader
from api.control.documented import answers
from api.control.parameters import Limit, Services, TaskFilter
from shadow.catalogue.notice_settings import NoticeKind
from shadow.reports import notices
from shadow.reports.notice_shapes import Notices
from shadow.reports.paging import DEFAULT_LIMIT

router = APIRouter(tags=["notices"], dependencies=[Depends(reader)])


@router.get("/v1/notices", summary="Notices", responses=answers(examples.NOTICES, 401, 403, 422))
async def list_notices(
    services: Services,
    task: TaskFilter = None,
    kind: Annotated[NoticeKind | None, Query(description="Only of this kind.")] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Notices:
    """What people want to hear of, newest first, and how each channel was told of it."""
    return await notices.newest(services.engine, services.catalogue, kind=kind, task=task, limit=limit)

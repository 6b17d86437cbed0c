"""Incidents: leaks and what else must not happen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.control import examples
from api.control.bearer import Reader
from api.control.documented import answers
from api.control.parameters import Limit, Services, TaskFilter
from shadow.egress.incidents import IncidentKind
from shadow.reports import incidents
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import IncidentList

router = APIRouter(tags=["incidents"])


@router.get("/v1/incidents", summary="Incidents", responses=answers(examples.INCIDENTS, 401, 403, 422))
async def list_incidents(
    services: Services,
    token: Reader,
    task: TaskFilter = None,
    kind: Annotated[IncidentKind | None, Query(description="Only of this kind.")] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> IncidentList:
    """What must not happen and did, newest first. A leak is a write of a run without authority that reached its
    target."""
    return await incidents.newest(
        services.engine, kind=kind and kind.value, task=task, tenants=token.tenants, limit=limit
    )

"""Pairs: lists with filters, and one in full."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api.control import examples
from api.control.bearer import Reader, check_tenant
from api.control.documented import answers
from api.control.parameters import Cursor, Limit, Moment, Services, TaskFilter
from api.control.problems import not_found
from shadow.reports import pairs
from shadow.reports.explanation import with_explanation
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import PairDetail, PairPage

router = APIRouter(tags=["pairs"])

Verdicts = Literal["match", "allowed", "mismatch", "missing_candidate", "missing_legacy", "not_comparable", "pending"]


@router.get("/v1/pairs", summary="Pairs", responses=answers(examples.PAIRS, 401, 403, 422))
async def list_pairs(
    services: Services,
    token: Reader,
    task: TaskFilter = None,
    verdict: Annotated[
        Verdicts | None,
        Query(description="Only with this verdict; `pending`: without any yet.", examples=["mismatch"]),
    ] = None,
    signature: Annotated[
        str | None, Query(description="Only those that show this difference.", examples=["s1-5b8c0d9e7f6a"])
    ] = None,
    tenant: Annotated[
        str | None, Query(description="Only of this tenant; empty: of events without one.", examples=["acme"])
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Events accepted from then on.", examples=["2026-05-01T00:00:00Z"])
    ] = None,
    until: Annotated[
        Moment | None, Query(description="Events accepted before then.", examples=["2026-05-08T00:00:00Z"])
    ] = None,
    replay: Annotated[
        UUID | None,
        Query(description="Those of this replay; without it, those of none.", examples=[examples.REPLAY["id"]]),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> PairPage:
    """Pairs that fulfil every condition given, newest event first."""
    if tenant is not None:
        check_tenant(token, tenant)
    wanted = pairs.PairFilter(task, verdict, signature, tenant, since, until, replay, token.tenants)
    return await pairs.page(services.engine, wanted, cursor=cursor, limit=limit)


@router.get("/v1/pairs/{pair}", summary="One pair", responses=answers(examples.PAIR_DETAIL, 401, 403, 404, 422))
async def get_pair(
    pair: Annotated[UUID, Path(description="The pair's id.", examples=[examples.PAIR["id"]])],
    services: Services,
    token: Reader,
    explain: Annotated[
        bool,
        Query(
            description="Judge the pair anew, and say what each stage did; nothing of it is stored.", examples=[True]
        ),
    ] = False,
) -> PairDetail:
    """A pair with both runs, what they returned, both ledgers in order, and every difference, worst first."""
    found = await pairs.detail(services.engine, pair, tenants=token.tenants)
    if found is None:
        raise not_found("pair", pair)
    return await with_explanation(services.database, services.rulebook, found) if explain else found

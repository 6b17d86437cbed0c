"""Signatures: the same difference over many pairs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.control import examples
from api.control.bearer import Reader
from api.control.documented import answers
from api.control.parameters import Limit, Services, TaskFilter
from api.control.problems import not_found
from shadow.reports import signatures, tenant_signatures
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import SignatureDetail, Signatures

router = APIRouter(tags=["signatures"])


@router.get("/v1/signatures", summary="Signatures", responses=answers(examples.SIGNATURES, 401, 403, 422))
async def list_signatures(
    services: Services, token: Reader, task: TaskFilter = None, limit: Limit = DEFAULT_LIMIT
) -> Signatures:
    """The differences that most pairs show now, worst first; those that no pair shows any more are left out."""
    if token.tenants is not None:
        return await tenant_signatures.worst(services.engine, token.tenants, task=task, limit=limit)
    return await signatures.worst(services.engine, task=task, limit=limit)


@router.get(
    "/v1/signatures/{signature}",
    summary="One signature",
    responses=answers(examples.SIGNATURE_DETAIL, 401, 403, 404, 422),
)
async def get_signature(
    signature: Annotated[str, Path(description="The signature.", examples=[examples.SIGNATURE["id"]])],
    services: Services,
    token: Reader,
) -> SignatureDetail:
    """One signature with an example pair and the tenants in which it is seen; `GET /v1/pairs` lists its pairs."""
    if token.tenants is not None:
        found = await tenant_signatures.detail(services.engine, signature, token.tenants)
    else:
        found = await signatures.detail(services.engine, signature)
    if found is None:
        raise not_found("signature", signature)
    return found

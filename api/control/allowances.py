"""Allowances: deciding that a signature is acceptable, and taking that back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples
from api.control.bearer import Operator, Reader, check_tenant
from api.control.documented import answers
from api.control.parameters import Limit, Moment, Reason, Services, TaskFilter
from api.control.problems import FieldProblem, Refusal, invalid, not_found
from shadow.judge.allowances import LONGEST, LONGEST_REASON, AllowanceRefused, Grant, UnknownSignature, grant, revoke
from shadow.reports import allowances, tenant_signatures
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import Allowances, AllowanceView

router = APIRouter(tags=["allowances"])

AllowanceId = Annotated[UUID, Path(description="The allowance's id.", examples=[examples.ALLOWANCE["id"]])]


class AllowanceRequest(BaseModel):
    """What shall be allowed, until when and why."""

    model_config = ConfigDict(extra="forbid")

    signature: str = Field(max_length=200)
    reason: Reason = Field(max_length=LONGEST_REASON, description="For whoever reads the audit later.")
    until: Moment = Field(description=f"When it expires: at most {LONGEST.days} days ahead.")
    tenant: str | None = Field(
        None, max_length=500, description="Only in pairs of this tenant; empty: of events without one; null: in all."
    )
    acknowledge_critical: bool = Field(
        False,
        description="Needed for a critical signature: it is known that money, recipients or effects themselves differ.",
    )


@router.post(
    "/v1/allowances",
    summary="Allow a signature",
    responses=answers(examples.ALLOWANCE, 401, 403, 404, 422),
)
async def allow(
    wanted: Annotated[AllowanceRequest, Body(examples=[examples.ALLOWANCE_REQUEST])],
    services: Services,
    token: Operator,
) -> AllowanceView:
    """Decide that a signature is acceptable; on record under the token's name.

    The pairs that show it get their verdict anew within moments (`deciding` until then). A pair all of whose
    differences are covered is `allowed`, unless something else keeps it from being compared.
    """
    check_tenant(token, wanted.tenant)
    if token.tenants is not None and not await tenant_signatures.is_seen(
        services.engine, wanted.signature, token.tenants
    ):
        raise not_found("signature", wanted.signature)  # whether others show it is none of their business
    asked = Grant(wanted.signature, wanted.reason, wanted.until, wanted.tenant, wanted.acknowledge_critical)
    try:
        made = await grant(services.database, asked, actor=f"token:{token.name}", now=datetime.now(UTC))
    except UnknownSignature as error:
        raise not_found("signature", wanted.signature) from error
    except AllowanceRefused as error:
        found = str(error.found)
        raise invalid([FieldProblem(field=f"body.{error.field}", found=found, expected=error.expected)]) from error
    return await _view(services, made)


@router.get(
    "/v1/allowances",
    summary="Allowances",
    responses=answers(examples.ALLOWANCES, 401, 403, 422),
)
async def list_allowances(
    services: Services,
    token: Reader,
    task: TaskFilter = None,
    signature: Annotated[
        str | None, Query(description="Only of this one.", examples=[examples.SIGNATURE["id"]])
    ] = None,
    state: Annotated[
        Literal["standing", "expired", "revoked"] | None, Query(description="Only those.", examples=["standing"])
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Allowances:
    """Every allowance that was ever made, newest first, those that have ended too.

    A token that is limited to tenants is told of those that hold for one of them alone.
    """
    return await allowances.newest(
        services.engine, task=task, signature=signature, state=state, tenants=token.tenants, limit=limit
    )


@router.delete(
    "/v1/allowances/{allowance}",
    summary="Revoke an allowance",
    responses=answers(
        {**examples.ALLOWANCE, "state": "revoked", "ended_at": "2026-05-02T08:00:00Z", "ended_by": "token:oncall"},
        401,
        403,
        404,
        409,
        422,
    ),
)
async def revoke_allowance(allowance: AllowanceId, services: Services, token: Operator) -> AllowanceView:
    """End an allowance before its time. It stays on record; the pairs that it covers get their verdict anew."""
    if token.tenants is not None and await allowances.one(services.engine, allowance, tenants=token.tenants) is None:
        raise not_found("allowance", allowance)
    if not await revoke(services.database, allowance, actor=f"token:{token.name}"):
        known = await allowances.one(services.engine, allowance)
        if known is None:
            raise not_found("allowance", allowance)
        raise Refusal(409, f"this allowance has ended already: {known.state} since {known.ended_at:%Y-%m-%d %H:%M}")
    return await _view(services, allowance)


async def _view(services: Services, allowance: UUID) -> AllowanceView:
    found = await allowances.one(services.engine, allowance)
    assert found is not None
    return found

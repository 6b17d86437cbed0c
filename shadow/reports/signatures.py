"""Signatures: which differences there are, how many pairs show each, and in how many it is allowed."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.reports import allowances
from shadow.reports.shapes import SignatureDetail, Signatures, SignatureSummary, TenantCount
from shadow.store.tables import signature_tenants, signatures

MOST_TENANTS = 100

MOST_ALLOWANCES = 20

_TENANT_COUNT = (
    select(func.count())
    .where(signature_tenants.c.signature == signatures.c.id, signature_tenants.c.pairs > 0)
    .scalar_subquery()
    .label("tenant_count")
)
_COLUMNS = [_TENANT_COUNT if name == "tenant_count" else signatures.c[name] for name in SignatureSummary.model_fields]


async def worst(engine: AsyncEngine, *, task: str | None = None, limit: int = 50) -> Signatures:
    """The signatures that most pairs show now without their being allowed, then those that are.

    Those that no pair shows any more are left out.
    """
    query = (
        select(*_COLUMNS)
        .where(signatures.c.pairs > 0)
        .order_by(
            (signatures.c.pairs - signatures.c.allowed).desc(),
            signatures.c.pairs.desc(),
            signatures.c.last_seen.desc(),
            signatures.c.id,
        )
        .limit(limit)
    )
    if task is not None:
        query = query.where(signatures.c.task == task)
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return Signatures(items=[SignatureSummary.model_validate(row._mapping) for row in rows])


async def detail(engine: AsyncEngine, signature: str) -> SignatureDetail | None:
    """One signature with its tenants; None when it was never seen."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(*_COLUMNS).where(signatures.c.id == signature))).one_or_none()
        if row is None:
            return None
        tenants = await connection.execute(
            select(signature_tenants.c.tenant, signature_tenants.c.pairs)
            .where(signature_tenants.c.signature == signature, signature_tenants.c.pairs > 0)
            .order_by(signature_tenants.c.pairs.desc(), signature_tenants.c.tenant)
            .limit(MOST_TENANTS)
        )
        counts = [TenantCount(tenant=tenant or None, pairs=pairs) for tenant, pairs in tenants]
        made = await allowances.views(connection, signature=signature, limit=MOST_ALLOWANCES)
    return SignatureDetail.model_validate({**row._mapping, "tenants": counts, "allowances": made})

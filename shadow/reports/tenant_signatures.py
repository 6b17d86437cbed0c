"""Signatures as some tenants see them: their own pairs are counted, and one of these is the example."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, func, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.model.ids import time_of
from shadow.reports import allowances
from shadow.reports.pairs import of_nobody_else
from shadow.reports.shapes import SignatureDetail, Signatures, SignatureSummary, TenantCount
from shadow.store.tables import differences, pairs, signature_tenants, signatures

MOST_ALLOWANCES = 20
_SAME = ("id", "task", "kind", "path", "severity")
"""What a signature is, whoever's pairs show it."""


async def worst(
    engine: AsyncEngine, tenants: Collection[str], *, task: str | None = None, limit: int = 50
) -> Signatures:
    """The signatures that most pairs of these tenants show now; those that none shows any more are left out."""
    query = _seen_by(tenants).order_by(func.sum(signature_tenants.c.pairs).desc(), signatures.c.id).limit(limit)
    if task is not None:
        query = query.where(signatures.c.task == task)
    return Signatures(items=await _summaries(engine, query, tenants))


async def detail(engine: AsyncEngine, signature: str, tenants: Collection[str]) -> SignatureDetail | None:
    """One signature; None when no pair of these tenants shows it."""
    found = await _summaries(engine, _seen_by(tenants).where(signatures.c.id == signature), tenants)
    if not found:
        return None
    async with engine.connect() as connection:
        counted = await connection.execute(
            select(signature_tenants.c.tenant, signature_tenants.c.pairs)
            .where(
                signature_tenants.c.signature == signature,
                signature_tenants.c.pairs > 0,
                signature_tenants.c.tenant.in_(tenants),
            )
            .order_by(signature_tenants.c.pairs.desc(), signature_tenants.c.tenant)
        )
        counts = [TenantCount(tenant=tenant, pairs=number) for tenant, number in counted]
        made = await allowances.views(
            connection, signature=signature, tenants=frozenset(tenants), limit=MOST_ALLOWANCES
        )
    return SignatureDetail.model_validate({**found[0].model_dump(), "tenants": counts, "allowances": made})


async def is_seen(engine: AsyncEngine, signature: str, tenants: Collection[str]) -> bool:
    """Whether a pair of these tenants shows it."""
    async with engine.connect() as connection:
        found = await connection.execute(_seen_by(tenants).where(signatures.c.id == signature))
        return found.first() is not None


def _seen_by(tenants: Collection[str]) -> Select[tuple[object, ...]]:
    """Signatures with the number of these tenants' pairs that show each."""
    return (
        select(
            *(signatures.c[name] for name in _SAME),
            func.sum(signature_tenants.c.pairs).label("pairs"),
            func.sum(signature_tenants.c.allowed).label("allowed"),
            func.count().label("tenant_count"),
        )
        .join(signature_tenants, signature_tenants.c.signature == signatures.c.id)
        .where(signature_tenants.c.tenant.in_(tenants), signature_tenants.c.pairs > 0)
        .group_by(signatures.c.id)
    )


async def _summaries(
    engine: AsyncEngine, query: Select[tuple[object, ...]], tenants: Collection[str]
) -> list[SignatureSummary]:
    """The signatures of that query, with their own newest pair as the example, and when the first and last was."""
    seen = query.cte("seen")
    shown = (
        select(differences.c.pair_id, differences.c.sentence)
        .join(pairs, pairs.c.id == differences.c.pair_id)
        .where(differences.c.signature == seen.c.id, pairs.c.tenant.in_(tenants), of_nobody_else(tenants))
        .limit(1)
    )
    last = shown.order_by(differences.c.pair_id.desc()).lateral("last")
    first = shown.order_by(differences.c.pair_id).lateral("first")
    full = (
        select(seen, last.c.pair_id.label("last"), last.c.sentence, first.c.pair_id.label("first"))
        .select_from(seen.join(last, true()).join(first, true()))
        .order_by(seen.c.pairs.desc(), seen.c.id)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(full)).mappings().all()
    return [
        SignatureSummary.model_validate(
            {
                **{name: row[name] for name in (*_SAME, "pairs", "allowed", "tenant_count", "sentence")},
                "example_pair": row["last"],
                "first_seen": time_of(row["first"]),
                "last_seen": time_of(row["last"]),
            }
        )
        for row in rows
    ]

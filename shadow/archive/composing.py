"""Composing an evidence pack from what the reports say now."""

from __future__ import annotations

from datetime import datetime
from importlib import metadata
from uuid import UUID

from sqlalchemy import any_, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.archive.shapes import FORMAT, EvidencePack, ExamplePair, SignOffView
from shadow.catalogue import ResolvedCatalogue
from shadow.gate.stored import stored_reports
from shadow.reports import allowances, containments, epochs, incidents, pairs, parity, rules, signatures
from shadow.reports.shapes import MoveDetail, PairSummary, SignatureSummary
from shadow.store.database import Database, Work
from shadow.store.tables import moves, sign_offs

MOST_SIGNATURES = 200
MOST_ALLOWANCES = 500
MOST_INCIDENTS = 200
MOST_MOVES = 500
MOST_EXAMPLES = 20
MOST_DIFFERENCES = 50
MOST_EPOCHS = 200


async def compose(
    database: Database, catalogue: ResolvedCatalogue, task: str, now: datetime, *, made_for: UUID | None = None
) -> EvidencePack:
    """The evidence pack of a task of the catalogue, as it stands now."""
    engine = database.engine
    found = (await signatures.worst(engine, task=task, limit=MOST_SIGNATURES)).items
    async with database.connection(Work.CONTROL) as connection:
        gate = (await stored_reports(connection, [task])).get(task)
    async with engine.connect() as reading:
        allowed = await allowances.views(reading, task=task, limit=MOST_ALLOWANCES)
    told = (await epochs.told(database, limit=MOST_EPOCHS)).items
    return EvidencePack(
        format=FORMAT,
        made_at=now,
        made_for=made_for,
        shadow_version=metadata.version("shadow-parity"),
        task=await parity.task(engine, catalogue, task),
        parity=await parity.parity(engine, catalogue, task),
        gate=None if gate is None else gate.as_json(),
        epochs=(await epochs.of_task(database, task, limit=MOST_EPOCHS)).items,
        deployments=[one for one in told if not one.tasks or task in one.tasks],
        sign_offs=await _sign_offs(engine, task),
        signatures=found,
        allowances=allowed,
        rules=await rules.of_task(engine, catalogue, task),
        containment=(await containments.containment(engine, task, limit=50)).items,
        moves=await _moves(engine, task),
        incidents=(await incidents.newest(engine, task=task, limit=MOST_INCIDENTS)).items,
        examples=await _examples(engine, found),
    )


async def _sign_offs(engine: AsyncEngine, task: str) -> list[SignOffView]:
    query = (
        select(*(sign_offs.c[name] for name in SignOffView.model_fields))
        .where(sign_offs.c.task == task)
        .order_by(sign_offs.c.id.desc())
    )
    async with engine.connect() as connection:
        return [SignOffView.model_validate(row._mapping) for row in await connection.execute(query)]


async def _moves(engine: AsyncEngine, task: str) -> list[MoveDetail]:
    query = (
        select(*(moves.c[name] for name in MoveDetail.model_fields))
        .where(literal(task) == any_(moves.c.tasks))
        .order_by(moves.c.decided_at.desc(), moves.c.id.desc())
        .limit(MOST_MOVES)
    )
    async with engine.connect() as connection:
        return [MoveDetail.model_validate(row._mapping) for row in await connection.execute(query)]


async def _examples(engine: AsyncEngine, found: list[SignatureSummary]) -> list[ExamplePair]:
    wanted = list(dict.fromkeys(signature.example_pair for signature in found))[:MOST_EXAMPLES]
    shown = []
    for pair in wanted:
        detail = await pairs.detail(engine, pair)
        if detail is not None:  # retention may have taken it
            summary = PairSummary.model_validate({name: getattr(detail, name) for name in PairSummary.model_fields})
            shown.append(ExamplePair(pair=summary, differences=detail.differences[:MOST_DIFFERENCES]))
    return shown

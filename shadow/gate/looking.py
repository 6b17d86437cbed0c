"""Looking at gates: what is known of many tasks, gathered in a fixed number of queries, and what their gates say."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.containment import record
from shadow.gate import epochs, evidence
from shadow.gate.conditions import judged
from shadow.gate.epochs import Epoch
from shadow.gate.evidence import Shapes
from shadow.gate.known import Ended, EpochKnown, OpenSignature, Statistic, TaskKnown
from shadow.gate.outlook import outlook
from shadow.gate.process import alpha_of, pairs_to_open, upper_bound
from shadow.gate.report import Counted, GateReport, SignOff, State
from shadow.gate.standing import Test
from shadow.model.giving_way import Turns
from shadow.store.database import Connection, Database, Work

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_LOG = 690.0
_NOTHING = Counted()


# Most gates are looked at again before anything more was counted.
_bound = lru_cache(maxsize=4096)(upper_bound)
_to_open = lru_cache(maxsize=4096)(pairs_to_open)


async def look(
    database: Database, catalogue: ResolvedCatalogue, tasks: Collection[str], now: datetime | None = None
) -> dict[str, GateReport]:
    """What the gates of these tasks say now, evaluated anew. Tasks that the catalogue does not name are left out."""
    moment = now or datetime.now(UTC)
    wanted = [task for task in catalogue.tasks if task in set(tasks)]
    async with database.connection(Work.GATE) as connection:
        found = await _read(connection, catalogue, wanted, moment)
    reports: dict[str, GateReport] = {}
    turns = Turns()
    for task in wanted:
        await turns.give_way()
        reports[task] = report_of(_known(catalogue, task, found, moment))
    return reports


def report_of(known: TaskKnown) -> GateReport:
    """What the gate of a task says of which that is known. Pure."""
    conditions = judged(known)
    expected = outlook(known, conditions)
    epoch = known.epoch
    statistic = None if epoch is None else epoch.statistic
    return GateReport(
        task=known.task,
        category=known.category,
        open=all(condition.state is not State.UNMET for condition in conditions),
        epoch=epoch.id if epoch else None,
        epoch_number=epoch.number if epoch else 0,
        epoch_started_at=epoch.started_at if epoch else None,
        candidate_version=epoch.candidate_version if epoch else None,
        legacy_version=epoch.legacy_version if epoch else None,
        live=epoch.live if epoch else _NOTHING,
        replayed=epoch.replayed if epoch else _NOTHING,
        pending=epoch.pending if epoch else 0,
        budget=known.budget,
        alpha=statistic.alpha if statistic else 1 - known.settings.confidence,
        e_value=math.exp(min(statistic.log_e, _LARGEST_LOG)) if statistic else 1.0,
        upper_bound=statistic.upper_bound if statistic else 1.0,
        pairs_needed=_needed(known),
        pairs_a_day=known.pairs_a_day,
        opens_at=expected.opens_at,
        conditions=conditions,
        evaluated_at=known.now,
        outlook=expected.says,
        sign_offs=tuple(known.sign_offs),
    )


def _needed(known: TaskKnown) -> int | None:
    if known.epoch is None:
        return _to_open(0, 0, known.budget, 1 - known.settings.confidence)
    return None if known.epoch.statistic.regressed_at is not None else known.epoch.statistic.pairs_needed


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read, by task or epoch."""

    epochs: Mapping[str, Epoch]
    pending: Mapping[str, int]
    ended: Mapping[UUID, Ended]
    sign_offs: Mapping[UUID, list[SignOff]]
    volume: Mapping[str, float]
    critical: Mapping[str, list[OpenSignature]]
    expired: Mapping[str, Mapping[str, datetime]]
    shapes: Mapping[str, Shapes]
    leaks: Mapping[str, int]
    declared: Collection[str]
    uncontained: Mapping[str, str]
    contained: Mapping[str, record.Containment]
    ticks: Mapping[str, int]


async def _read(connection: Connection, catalogue: ResolvedCatalogue, tasks: Collection[str], now: datetime) -> _Found:
    """All that is on record of these tasks; the number of queries does not depend on how many they are."""
    lasting = await epochs.current(connection, tasks)
    since = {task: epoch.started_at for task, epoch in lasting.items()}
    ids = [epoch.id for epoch in lasting.values()]
    contained = await record.present(connection, tasks)
    version = await evidence.version_since(connection, ids)
    return _Found(
        epochs=lasting,
        pending=await evidence.pending(connection, since),
        ended=await evidence.ended(connection, ids),
        sign_offs=await evidence.sign_offs(connection, ids),
        volume=await evidence.pairs_a_day(connection, tasks, now),
        critical=await evidence.critical(connection, since),
        expired=await evidence.expired(connection, since, now),
        shapes=await evidence.shapes(
            connection,
            {task: since.get(task, now) for task in tasks},
            {task: now - catalogue.tasks[task].gate.coverage for task in tasks},
        ),
        leaks=await evidence.leaks(connection, _unanswered(tasks, since, version, contained)),
        declared=await evidence.declared(connection, tasks),
        uncontained=await record.uncontained(connection, tasks),
        contained=contained,
        ticks=await evidence.ticks(
            connection,
            {
                task: (epoch.id, epoch.started_at)
                for task, epoch in lasting.items()
                if catalogue.tasks[task].cron is not None
            },
        ),
    )


def _unanswered(
    tasks: Collection[str],
    since: Mapping[str, datetime],
    version: Mapping[str, datetime],
    contained: Mapping[str, record.Containment],
) -> dict[str, datetime]:
    """From when on a leak counts, by task: in this epoch always, and in earlier ones of the same version of the
    candidate until it was shown or declared to be contained once more. Other rules mend nothing. Pure.

    Args:
        since: when the epoch began.
        version: when the first epoch with its version did.
    """
    found = {}
    for task in tasks:
        moment = version.get(task, _ALWAYS)
        holds = contained.get(task)
        if holds is not None and holds.state in (record.State.PROVEN, record.State.DECLARED):
            moment = max(moment, holds.made_at)
        found[task] = min(moment, since[task]) if task in since else _ALWAYS
    return found


def _known(catalogue: ResolvedCatalogue, task: str, found: _Found, now: datetime) -> TaskKnown:
    declaration = catalogue.tasks[task]
    epoch = found.epochs.get(task)
    contained = found.contained.get(task)
    shapes = found.shapes.get(task, Shapes())
    return TaskKnown(
        task=task,
        category=declaration.category,
        settings=declaration.gate,
        now=now,
        epoch=None if epoch is None else _epoch(catalogue, epoch, found),
        pairs_a_day=found.volume.get(task, 0.0),
        sign_offs=() if epoch is None else found.sign_offs.get(epoch.id, ()),
        critical=found.critical.get(task, ()),
        leaks=found.leaks.get(task, 0),
        leaks_proven=contained is not None and contained.state is record.State.PROVEN and contained.leaks == "none",
        declared=task in found.declared,
        uncontained=found.uncontained.get(task),
        contained_by="" if contained is None else _by(contained),
        cron=declaration.cron is not None,
        shapes=shapes.shown,
        uncompared=shapes.uncompared,
        expired=found.expired.get(task, {}),
    )


def _epoch(catalogue: ResolvedCatalogue, epoch: Epoch, found: _Found) -> EpochKnown:
    settings = catalogue.tasks[epoch.task].gate
    assert settings.budget is not None  # the catalogue sets it
    alpha = alpha_of(settings, catalogue.catalogue.gate, len(catalogue.tasks), epoch.number)
    test = Test(settings.budget, alpha, 1 - settings.regress_confidence)
    # What is asked may have changed since it was counted.
    standing = epoch.standing if epoch.test == test else epoch.standing.reviewed(test)
    opened_at = (epoch.opened_at or epoch.counted_until) if standing.opened else None
    regressed_at = (epoch.regressed_at or epoch.counted_until) if standing.regressed else None
    now = standing.now
    return EpochKnown(
        id=epoch.id,
        number=epoch.number,
        started_at=epoch.started_at,
        legacy_version=epoch.legacy_version,
        candidate_version=epoch.candidate_version,
        live=epoch.live,
        replayed=epoch.replayed,
        pending=found.pending.get(epoch.task, 0),
        statistic=Statistic(
            alpha=alpha,
            log_e=standing.log_e(test),
            opened_at=opened_at,
            opened_after=standing.opened.pairs if standing.opened else None,
            regressed_at=regressed_at,
            log_e_above=standing.log_e_above(test),
            regress_alpha=test.regress_alpha,
            upper_bound=_bound(now.pairs, now.mismatches, alpha),
            pairs_needed=0 if standing.opened else _to_open(now.pairs, now.mismatches, settings.budget, alpha),
        ),
        ended=found.ended.get(epoch.id, Ended()),
        ticks=found.ticks.get(epoch.task, 0),
    )


def _by(found: record.Containment) -> str:
    if found.state is record.State.DECLARED:
        return f"declared harmless by {found.actor}: {found.reason}"
    version = f" for version {found.version}" if found.version else ""
    return f"proven{version} on {found.made_at:%Y-%m-%d}"

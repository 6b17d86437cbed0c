"""The figures of the whole installation as gauges: one logical target, whichever process is asked.

They come from the tallies and the queue. Judging again may lower them, so no rule may use `rate()` on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from comparators import Verdict
from shadow.catalogue import ResolvedCatalogue
from shadow.containment.record import State
from shadow.cutover.decision import Phase
from shadow.reports.allowances import Standing, standing_by_task
from shadow.reports.containments import NO_CONTAINMENT, containment_states
from shadow.reports.incidents import leaks_by_task
from shadow.reports.migration_figures import GAUGES as MIGRATION
from shadow.reports.migration_figures import Migration, fill, read_migration
from shadow.reports.moves import automatic_by_task
from shadow.reports.parity import Figures, figures_by_task, parity_of, standing_phases
from shadow.reports.rules import dead
from shadow.reports.shapes import SignatureSummary
from shadow.reports.signatures import worst
from shadow.reports.ticks import STATES, TickCounts, counts_by_task
from shadow.reports.unattributed import unattributed_by_task
from shadow.store.tables import dispatches

SIGNATURES = 20
"""How many signatures have a gauge: those that most pairs show."""

FRESH_SECONDS = 5.0
"""How long figures are given again before they are read anew."""

GAUGES = {
    "shadow_pairs": ("Pairs with this verdict (`allowed` is one of its own), or `pending`.", ["task", "verdict"]),
    "shadow_pairs_opened": ("Pairs opened.", ["task"]),
    "shadow_events_undelivered": ("Events in the queue whose pairs are not opened yet.", ["task"]),
    "shadow_parity_ratio": (
        "match / (match + mismatch + missing), allowed pairs in neither; absent until something was compared.",
        ["task"],
    ),
    "shadow_allowances": ("Allowances that stand.", ["task"]),
    "shadow_allowance_left_seconds": (
        "Until the next allowance of the task expires; absent where none stands.",
        ["task"],
    ),
    "shadow_dead_rules": ("Rules that spoke of nothing for 30 days in which pairs were judged.", ["task"]),
    "shadow_signature_pairs": (
        f"Pairs that show this difference and are not allowed to, of the {SIGNATURES} most frequent.",
        ["task", "signature", "kind", "severity"],
    ),
    "shadow_ticks": (
        "Ticks of the last 30 days in this state: waiting, run, late or missed; of tasks with a `cron`.",
        ["task", "state"],
    ),
    "shadow_ticks_doubled": ("Ticks of the last 30 days that one side ran twice.", ["task"]),
    "shadow_signature_example": (
        "1 for a pair that shows the difference, of the signatures that `shadow_signature_pairs` has.",
        ["signature", "pair"],
    ),
    "shadow_dispatches": ("Dispatches in the queue.", ["side", "state"]),
    "shadow_dispatch_oldest_seconds": ("Age of the oldest dispatch that is due.", ["side"]),
    "shadow_dead_letters": ("Dispatches that their platform will not take.", ["side"]),
    "shadow_unattributed_effects": ("Effects that are nobody's and may be of this task.", ["task"]),
    "shadow_containment": (
        "1 for the state of the containment of the task's candidate: none, running, proven, declared, failed or ended.",
        ["task", "state"],
    ),
    "shadow_leaks": ("Writes of runs without authority that reached their target, ever.", ["task"]),
    "shadow_draining_runs": (
        "What legacy still has to finish with authority; absent where it has all authority.",
        ["task"],
    ),
    "shadow_automatic_moves": ("Moves back that were made by themselves, ever.", ["task"]),
    "shadow_phase_info": ("1 for the phase in which the task's route stands.", ["task", "phase"]),
    **MIGRATION,
}
"""Name -> (what it says, its labels)."""

_SIDES = ("legacy", "candidate")
_STATES = ("due", "held", "sequenced", "dead")


@dataclass(frozen=True)
class Installation:
    """What is true of the whole installation."""

    figures: dict[str, Figures]
    """By task; every task of the catalogue has an entry."""
    phases: dict[str, Phase]
    unattributed: dict[str, int]
    """Task to effects that are nobody's and may be of it."""
    containments: dict[str, str]
    """Task -> the state of its containment; `none` where nothing is on record."""
    leaks: dict[str, int]
    """By task; every task of the catalogue has an entry."""
    draining: dict[str, int]
    """Task -> what is left on legacy; none where legacy has all authority."""
    moved_back: dict[str, int]
    """Task -> automatic moves; every task of the catalogue has an entry."""
    allowances: dict[str, Standing]
    """By task, where any stands."""
    dead_rules: dict[str, int]
    """By task; every task of the catalogue has an entry."""
    signatures: list[SignatureSummary]
    ticks: dict[str, TickCounts]
    """By task, of those with a `cron`."""
    queue: dict[tuple[str, str], int]
    """(side, state) -> dispatches."""
    oldest: dict[str, float]
    """Side -> age in seconds of its oldest dispatch that is due."""
    migration: Migration


async def read_installation(engine: AsyncEngine, catalogue: ResolvedCatalogue) -> Installation:
    """Read all figures now."""
    async with engine.connect() as connection:
        figures = await figures_by_task(connection, catalogue)
        standing = await standing_phases(connection)
        unattributed = await unattributed_by_task(connection, catalogue.tasks)
        rows = (
            await connection.execute(
                select(
                    dispatches.c.side,
                    dispatches.c.state,
                    func.count().label("number"),
                    func.min(dispatches.c.created_at).label("oldest"),
                    func.now().label("now"),
                ).group_by(dispatches.c.side, dispatches.c.state)
            )
        ).all()
        contained = await containment_states(connection)
        leaks = await leaks_by_task(connection, catalogue.tasks)
        allowed = await standing_by_task(connection)
        moved_back = await automatic_by_task(connection, catalogue.tasks)
        dead_rules = await dead(connection, catalogue)
        scheduled = [task.id for task in catalogue.tasks.values() if task.cron is not None]
        ticks = await counts_by_task(connection, scheduled) if scheduled else {}
    found = await worst(engine, limit=SIGNATURES)
    migration = await read_migration(engine, catalogue)
    return Installation(
        figures={task: figures.get(task, Figures()) for task in catalogue.tasks},
        phases={task: standing.get(task, Phase.LEGACY) for task in catalogue.tasks},
        unattributed=unattributed,
        containments={task: contained.get(task, NO_CONTAINMENT) for task in catalogue.tasks},
        leaks=leaks,
        draining=dict(migration.left),
        moved_back=moved_back,
        allowances=allowed,
        dead_rules={task: len(keys) for task, keys in dead_rules.items()},
        signatures=[signature for signature in found.items if signature.open],
        ticks=ticks,
        queue={(row.side, row.state): row.number for row in rows},
        oldest={row.side: _age(row.oldest, row.now) for row in rows if row.state == "due"},
        migration=migration,
    )


def _age(moment: datetime, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0.0)


class _Gauges(Collector):
    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def collect(self) -> Iterator[Metric]:
        made = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()}
        for task, figures in self.installation.figures.items():
            for verdict in Verdict:
                made["shadow_pairs"].add_metric([task, verdict.value], figures.verdicts[verdict.value])
            pending = figures.opened - figures.verdicts.total()
            made["shadow_pairs"].add_metric([task, "pending"], pending)
            made["shadow_pairs_opened"].add_metric([task], figures.opened)
            made["shadow_events_undelivered"].add_metric([task], figures.undelivered)
            ratio = parity_of(figures.verdicts)
            if ratio is not None:
                made["shadow_parity_ratio"].add_metric([task], ratio)
        for task, number in self.installation.leaks.items():
            made["shadow_leaks"].add_metric([task], number)
        for task, number in self.installation.draining.items():
            made["shadow_draining_runs"].add_metric([task], number)
        for task, number in self.installation.moved_back.items():
            made["shadow_automatic_moves"].add_metric([task], number)
        for task, standing in self.installation.phases.items():
            for phase in Phase:
                made["shadow_phase_info"].add_metric([task, phase.value], float(standing is phase))
        for task, number in self.installation.unattributed.items():
            made["shadow_unattributed_effects"].add_metric([task], number)
        for task, contained in self.installation.containments.items():
            for state in (NO_CONTAINMENT, *State):
                made["shadow_containment"].add_metric([task, str(state)], float(contained == state))
        for found in self.installation.signatures:
            made["shadow_signature_pairs"].add_metric([found.task, found.id, found.kind, found.severity], found.open)
            made["shadow_signature_example"].add_metric([found.id, str(found.example_pair)], 1.0)
        for task in self.installation.figures:
            allowed = self.installation.allowances.get(task)
            made["shadow_allowances"].add_metric([task], allowed.number if allowed else 0)
            if allowed is not None:
                made["shadow_allowance_left_seconds"].add_metric([task], allowed.left_seconds)
        for task, number in self.installation.dead_rules.items():
            made["shadow_dead_rules"].add_metric([task], number)
        for task, counts in self.installation.ticks.items():
            for name in STATES:
                made["shadow_ticks"].add_metric([task, name], getattr(counts, name))
            made["shadow_ticks_doubled"].add_metric([task], counts.doubled)
        for side in _SIDES:
            for state in _STATES:
                made["shadow_dispatches"].add_metric([side, state], self.installation.queue.get((side, state), 0))
            made["shadow_dispatch_oldest_seconds"].add_metric([side], self.installation.oldest.get(side, 0.0))
            made["shadow_dead_letters"].add_metric([side], self.installation.queue.get((side, "dead"), 0))
        fill(made, self.installation.migration)
        yield from made.values()


def gauges(installation: Installation) -> CollectorRegistry:
    """A registry with the figures as gauges."""
    registry = CollectorRegistry()
    registry.register(_Gauges(installation))
    return registry


@dataclass
class FigureReader:
    """Reads the figures, at most once in `FRESH_SECONDS`, however many scrapers ask."""

    engine: AsyncEngine
    catalogue: ResolvedCatalogue
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: tuple[float, Installation] | None = None

    async def read(self) -> Installation:
        async with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] >= FRESH_SECONDS:
                self._known = (now, await read_installation(self.engine, self.catalogue))
            return self._known[1]

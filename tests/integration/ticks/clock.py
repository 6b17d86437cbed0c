"""A catalogue of scheduled tasks on a real database, and runs of both sides' clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.model.ids import new_id
from shadow.outcomes.straight import Begun
from shadow.store.database import Database, Work
from shadow.ticks.candidate_runs import take_ticks
from shadow.ticks.record import ClockRun, record_clock_runs
from shadow.ticks.tick import TIMER, Tick

CATALOGUE = parse(
    """
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: secret}
  inngest: {kind: inngest, side: candidate, event_url: "http://127.0.0.1:9", api_url: "http://127.0.0.1:9",
            event_key: k, dev: true, app: shop}
sources: {app: {kind: inngest, keys: [key]}}
defaults: {sequence: after}
tasks:
  metrics:
    event: cron/metrics
    sources: []
    cron: {expression: "*/5 * * * *"}
    legacy: {platform: trigger}
    candidate: {platform: inngest}
  reminders:
    event: cron/reminders
    sources: []
    cron: {expression: "0 * * * *", tenants: true}
    legacy: {platform: trigger}
    candidate: {platform: inngest}
""",
    "clock.yaml",
    {},
)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FIVE = timedelta(minutes=5)


@dataclass
class Clock:
    """Tells of runs as the sweep, the gateway and the watcher would."""

    database: Database

    async def moved(self, to: Phase, at: datetime, *, source: Phase = Phase.SHADOW, task: str = "metrics") -> None:
        """A move on record, without asking anybody."""
        async with self.database.connection(Work.CONTROL) as conn:
            await conn.execute(
                "INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, decided_at,"
                " effective_at) VALUES (%s, %s, %s, %s, %s, 'ada', 'because', true, %s, %s)",
                (new_id(), task, [task], source.value, to.value, at - timedelta(seconds=2), at),
            )
            await conn.execute(
                "INSERT INTO phases (task, phase, previous, effective_at, version) VALUES (%s, %s, %s, %s, 1)"
                " ON CONFLICT (task) DO UPDATE SET phase = excluded.phase, previous = excluded.previous,"
                " effective_at = excluded.effective_at",
                (task, to.value, source.value, at),
            )

    async def legacy(self, name: str, at: datetime, tenant: str = "", task: str = "metrics") -> None:
        run = ClockRun(
            platform="trigger",
            name=name,
            side=Side.LEGACY,
            task=CATALOGUE.tasks[task],
            tick=Tick(task, at, tenant),
            data=orjson.dumps({"timestamp": at.isoformat()}),
            tenant=tenant or None,
        )
        async with self.database.connection(Work.OUTCOMES) as conn:
            await record_clock_runs(conn, CATALOGUE, [run])

    async def candidate(self, name: str, at: datetime, task: str = "metrics") -> None:
        due = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        data = {"cron": "*/5 * * * *", "scheduledAt": due, "fireAt": due}
        begun = Begun("inngest", name, f"shop-{task}", due, TIMER, orjson.dumps(data))
        await take_ticks(self.database, CATALOGUE, [begun])

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as conn:
            return await (await conn.execute(query.encode(), parameters)).fetchall()

    async def authorities(self) -> dict[str, str]:
        """Of every run that its platform has named."""
        rows = await self.rows("SELECT platform_run_id, authority FROM runs WHERE platform_run_id IS NOT NULL")
        return dict(rows)

    async def ticks(self) -> list[tuple[Any, ...]]:
        """(nominal, external id, authority, legacy's runs, the candidate's, missed, doubled)"""
        return await self.rows(
            "SELECT nominal_at, external_id, authority, legacy_runs, candidate_runs, missed_at IS NOT NULL,"
            " doubled_at IS NOT NULL FROM ticks ORDER BY nominal_at, external_id"
        )

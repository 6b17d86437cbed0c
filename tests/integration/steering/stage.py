"""A world whose route was moved, and the events that were accepted before and after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shadow.cutover.decision import Phase
from shadow.model.ids import new_id
from tests.integration.judge.world import World

TASK = "order-sync"
MINUTE = timedelta(minutes=1)


class Stage(World):
    """Routes of its own catalogue, moved without asking anybody."""

    async def stands(self, task: str, phase: Phase, *, since: datetime | None = None, share: int = 0) -> None:
        """The task's route stands in that phase, from a minute ago on by default."""
        moment = since or datetime.now(UTC) - MINUTE
        route = self.catalogue.routes[self.catalogue.tasks[task].route]
        async with self.connection() as connection:
            for one in route.tasks:
                await connection.execute(
                    "INSERT INTO phases AS known (task, phase, previous, effective_at, version, share)"
                    " VALUES (%s, %s, 'legacy', %s, 1, %s) ON CONFLICT (task) DO UPDATE SET phase = excluded.phase,"
                    " previous = known.phase, effective_at = excluded.effective_at, version = known.version + 1,"
                    " share = excluded.share, previous_share = known.share",
                    (one, phase, moment, share),
                )
            await connection.execute(
                "INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, decided_at,"
                " effective_at, to_share) VALUES (%s, %s, %s, 'shadow', %s, 'ada', 'because', false, %s, %s, %s)",
                (new_id(), route.name, list(route.tasks), phase, moment, moment, share),
            )

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.connection() as connection:
            await connection.execute(statement, values)

"""The Trigger.dev door, and what the tests of issued runs look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from shadow.catalogue.model import Side
from shadow.model.ids import derived_id
from tests.integration.front.world import KEY, World


@dataclass
class Door:
    """A producer's view of the door, and what is stored behind it."""

    world: World

    async def trigger(self, body: Any = None, **headers: str) -> dict[str, Any]:
        answer = await self.world.trigger_call(body=body, **headers)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def get(self, path: str, **headers: str) -> Any:
        answer = await self.world.client.get(path, headers={**KEY, **headers})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def read(self, run: str) -> Any:
        return await self.get(f"/api/v3/runs/{run}")

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.world.client.post(path, json=body if body is not None else {}, headers=KEY)

    async def candidates(self) -> list[tuple[Any, ...]]:
        """(state, stage) of what waits for the candidate, which has authority for it."""
        return await self.world.rows(
            "SELECT state, stage FROM dispatches JOIN events ON events.id = event_id"
            " WHERE side = 'candidate' AND authority = 'candidate' ORDER BY dispatches.id"
        )

    async def handed_over(self, run: str) -> None:
        """The candidate's platform has the event."""
        event, run_id = _ids(run)
        await self.world.rows("DELETE FROM dispatches WHERE event_id = %s RETURNING id", event)
        await self.world.rows(_RUN.format("'sent', NULL, NULL, NULL"), run_id, event)

    async def ends(self, run: str, status: str, *, platform_run: str | None = None) -> None:
        """The candidate's run ends so."""
        event, run_id = _ids(run)
        row = f"'finished', '{status}', now(), now()"
        await self.world.rows(_RUN.format(row), run_id, event)
        await self.world.rows("UPDATE runs SET platform_run_id = %s WHERE id = %s RETURNING id", platform_run, run_id)

    def legacy(self) -> list[str]:
        """The runs of Trigger.dev."""
        return [run.id for run in self.world.trigger.runs()]


_RUN = """
INSERT INTO runs (id, event_id, task, side, platform, authority, state, status, started_at, finished_at)
VALUES (%s, %s, 'hello', 'candidate', 'inngest', 'real', {})
ON CONFLICT (id) DO UPDATE SET state = excluded.state, status = excluded.status, started_at = excluded.started_at,
    finished_at = excluded.finished_at RETURNING id
"""


def _ids(run: str) -> tuple[UUID, UUID]:
    event = UUID(hex=run.removeprefix("run_"))
    return event, derived_id(event, "hello", Side.CANDIDATE)

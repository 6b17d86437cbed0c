"""The demo's proof: payouts enter `shadow` as in earnest, once it is shown that the candidate can't reach anybody."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx

from shadow.cutover.moves import LEAD
from shadow.demo.processes import ServiceProcess, StageProcess
from shadow.store.database import Database, Work

ACTOR = "demo"
PRETENDED = "its targets are pretended"
PROVEN = "process-payout"
"""The task whose containment is proven: the others are declared harmless, which is quicker."""
PATIENCE_SECONDS = 90.0

_ENDED = """
SELECT FROM runs WHERE task = %s AND side = 'legacy' AND state = 'finished' AND status = 'completed'
"""


class NotReady(Exception):
    """What a proof needs first did not come about."""


class Proving:
    """Asks the control API for a proof, as anybody would."""

    def __init__(self, service: ServiceProcess, stage: StageProcess, database_url: str, token: str) -> None:
        self._stage = stage
        self._database = Database(database_url)
        self._http = httpx.AsyncClient(
            base_url=service.control_url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        await self._database.close()

    async def prove(self, task: str, *, legacy_runs: int) -> None:
        """Prove the task's containment and put it into the dual run; what can't be proven is declared harmless.

        A fault of the candidate may keep it from showing what legacy does: the demo shows that fault all the same.

        Args:
            legacy_runs: how many of legacy's runs are waited for first; its ledger is what the canary is measured by.

        Raises:
            NotReady: they did not end, or the proof did not, within a while.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                (await self._http.post(f"{self._stage.urls.app}/guard")).raise_for_status()
                await self._legacy_ran(task, legacy_runs)
                state = await self._proven(task)
        except TimeoutError:
            raise NotReady(f"the containment of {task} could not be tried within {PATIENCE_SECONDS:.0f} s") from None
        if state != "proven":
            await self._post(f"/v1/tasks/{task}/containment", action="declare_harmless", reason=PRETENDED)
        await self._post(f"/v1/phases/{task}", phase="shadow", reason="the demo's dual run")
        await asyncio.sleep(LEAD.total_seconds())

    async def _legacy_ran(self, task: str, runs: int) -> None:
        while True:
            async with self._database.connection(Work.CONTROL) as connection:
                if len(await (await connection.execute(_ENDED, (task,))).fetchall()) >= runs:
                    return
            await asyncio.sleep(0.2)

    async def _proven(self, task: str) -> str:
        """The state in which a proof ends."""
        await self._post(f"/v1/tasks/{task}/containment", action="prove")
        while True:
            answer = await self._http.get(f"/v1/tasks/{task}/containment", params={"limit": 1})
            answer.raise_for_status()
            newest: dict[str, Any] = answer.json()["items"][0]
            if newest["state"] != "running":
                return str(newest["state"])
            await asyncio.sleep(0.2)

    async def _post(self, path: str, **body: str) -> None:
        (await self._http.post(path, json=body)).raise_for_status()

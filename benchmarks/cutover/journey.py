"""The way of the route, and what is restarted on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from benchmarks.cutover.processes import Fleet

ACTOR_REASON = "the bench's cutover: the gate is not what is measured"


@dataclass(frozen=True, slots=True)
class Leg:
    """A phase in which the route stays for a while."""

    phase: str
    share: int | None = None

    def __str__(self) -> str:
        return self.phase if self.share is None else f"{self.phase} {self.share} %"


LEGS = (
    Leg("legacy"),
    Leg("shadow"),
    Leg("ramp", 10),
    Leg("ramp", 50),
    Leg("ramp", 100),
    Leg("live"),
    Leg("shadow"),
    Leg("live"),
    Leg("retired"),
)


async def travel(fleet: Fleet, token: str, tasks: tuple[str, ...], seconds: float, tell: Callable[[str], None]) -> None:
    """Go the whole way; on every leg both kinds of process are restarted.

    Args:
        seconds: how long each leg lasts at least.
    """
    for number, leg in enumerate(LEGS):
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if number > 0:
            for task in tasks:
                await _move(fleet, token, task, leg)
        tell(str(leg))
        # Restarts fall around the moment from which the move holds.
        await fleet.restart_work(kill=number % 2 == 1)
        await fleet.restart_serve()
        await asyncio.sleep(max(until - loop.time(), 0))


async def _move(fleet: Fleet, token: str, task: str, leg: Leg) -> None:
    body: dict[str, object] = {"phase": leg.phase, "reason": ACTOR_REASON, "force": True}
    if leg.share is not None:
        body["share"] = leg.share
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(
            f"{fleet.control_url()}/v1/phases/{task}", json=body, headers={"authorization": f"Bearer {token}"}
        )
    if not answer.is_success:
        raise RuntimeError(f"{task} -> {leg}: HTTP {answer.status_code}: {answer.text}")

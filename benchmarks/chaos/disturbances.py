"""What may happen in a round. Each lasts a few seconds and has ended when it returns; who died is started after."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks.chaos.database import Postgres
from benchmarks.chaos.line import Line, Manner
from benchmarks.chaos.parts import Fleet, Part
from shadow.observe.fail_points import POINTS

OF_WORK = ("fanout.", "world.", "judge.", "gate.", "outcomes.")
"""Where `work` can get to; `serve` gets to the others."""
NEVER = ("webhook.", "notices.", "moves.", "replays.", "ticks.")
"""What nothing in this bench leads to: it passes no webhook on, and moves nothing."""
REACHED = tuple(point for point in POINTS if not point.startswith(NEVER))


@dataclass
class Scene:
    """All that can be disturbed."""

    fleet: Fleet
    database: Postgres
    lines: Mapping[str, Line]
    """By what is at the other end: trigger, inngest, targets."""
    dice: random.Random
    small_spool: bool
    """Whether there is a spool whose disk can be filled."""

    def seconds(self) -> float:
        return self.dice.uniform(0.3, 3.5)

    def part(self) -> Part:
        return self.dice.choice(self.fleet.parts)

    def serve(self) -> Part:
        return self.dice.choice(self.fleet.serving)


async def kill(scene: Scene) -> None:
    part = scene.part()
    await part.kill()
    await asyncio.sleep(scene.seconds() / 2)


async def kill_all_doors(scene: Scene) -> None:
    await asyncio.gather(*(part.kill() for part in scene.fleet.serving))
    await asyncio.sleep(scene.seconds() / 2)


async def kill_all_workers(scene: Scene) -> None:
    await asyncio.gather(*(part.kill() for part in scene.fleet.working))
    await asyncio.sleep(scene.seconds())


async def restart(scene: Scene) -> None:
    await scene.part().stop()


async def fail_point(scene: Scene) -> None:
    """A process that dies at a moment of its own."""
    await die_at(scene, scene.dice.choice(REACHED), scene.dice.randint(1, 5), patience=4.0)


async def die_at(scene: Scene, point: str, times: int, *, patience: float) -> bool:
    """Have a process die there. All others of its kind are away meanwhile, so that it must be it who gets there.

    Returns:
        False when it never got there.
    """
    parts = scene.fleet.working if point.startswith(OF_WORK) else scene.fleet.serving
    await asyncio.gather(*(part.stop() for part in parts))
    dying = scene.dice.choice(parts)
    await dying.start(f"{point}:{times}")
    if point.startswith("spool."):
        await scene.database.down(killed=False, seconds=scene.seconds())
    if await dying.dies(within=patience):
        return True
    await dying.stop()
    return False


async def database_stopped(scene: Scene) -> None:
    await scene.database.down(killed=False, seconds=scene.seconds())


async def database_killed(scene: Scene) -> None:
    await scene.database.down(killed=True, seconds=scene.seconds())


async def database_frozen(scene: Scene) -> None:
    await scene.database.freeze(scene.seconds() * 2)


async def database_crowded(scene: Scene) -> None:
    await scene.database.crowd(scene.seconds())


async def database_read_only(scene: Scene) -> None:
    await scene.database.read_only(scene.seconds())


async def database_and_door(scene: Scene) -> None:
    """A process dies while what it took lies on its disk alone."""

    async def later() -> None:
        await asyncio.sleep(1.5)
        await scene.serve().kill()

    await asyncio.gather(scene.database.down(killed=True, seconds=3.0), later())


async def spool_full(scene: Scene) -> None:
    with scene.fleet.full_spool():
        await scene.database.down(killed=False, seconds=scene.seconds())


def outside(name: str, manner: Manner) -> Callable[[Scene], Awaitable[None]]:
    """Something outside that behaves so for a while."""

    async def disturb(scene: Scene) -> None:
        scene.lines[name].behave(manner)
        try:
            await asyncio.sleep(scene.seconds())
        finally:
            scene.lines[name].behave(Manner.PASS)

    return disturb


DISTURBANCES: Mapping[str, Callable[[Scene], Awaitable[None]]] = {
    "a process killed": kill,
    "all doors killed": kill_all_doors,
    "all workers killed": kill_all_workers,
    "a process restarted": restart,
    "a process dies at a fail point": fail_point,
    "PostgreSQL stopped": database_stopped,
    "PostgreSQL killed": database_killed,
    "PostgreSQL frozen": database_frozen,
    "PostgreSQL out of connections": database_crowded,
    "PostgreSQL read-only": database_read_only,
    "PostgreSQL and a door killed": database_and_door,
    "PostgreSQL stopped, the spool's disk full": spool_full,
    **{
        f"{what}: {manner.value}": outside(name, manner)
        for name, what in (("trigger", "Trigger.dev"), ("inngest", "Inngest"), ("targets", "targets"))
        for manner in Manner
        if manner is not Manner.PASS
    },
}


def order(dice: random.Random, rounds: int, *, small_spool: bool) -> list[str]:
    """Which disturbance comes in which round: each as often as the others, shuffled. Fail points come five times as
    often, since there are so many of them."""
    names = [name for name in DISTURBANCES if small_spool or DISTURBANCES[name] is not spool_full]
    names += ["a process dies at a fail point"] * 4
    found: list[str] = []
    while len(found) < rounds:
        dice.shuffle(names)
        found += names
    return found[:rounds]

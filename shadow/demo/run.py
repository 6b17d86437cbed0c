"""The demo, from an empty folder to findings: stage, service, load, verdicts."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from sandbox.commerce import databases
from sandbox.commerce.catalogue import catalogue as catalogue_text
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.faults import Faults
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Plan, build_plan, earlier_payouts
from sandbox.commerce.producers import Sent, produce
from sandbox.ports import free_port
from sandbox.stage import EgressKeys, Ports
from shadow.access import tokens
from shadow.catalogue import load
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.cutover.moves import LEAD
from shadow.demo.findings import Findings, Inspector
from shadow.demo.processes import ServiceProcess, StageProcess, StageSettings
from shadow.demo.proving import ACTOR, PRETENDED, PROVEN, Proving
from shadow.egress import keys as egress_keys
from shadow.steering.moving import move
from shadow.store import embedded
from shadow.store.database import Database

PATIENCE_SECONDS = 240.0
"""How long verdicts are waited for once all is sent."""


class NotAccepted(Exception):
    """A door refused what a producer sent."""


class Progress(Protocol):
    """Whoever shows how far it is."""

    def stage(self, text: str) -> None: ...

    def sent(self, done: int, total: int) -> None: ...

    def judged(self, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    faults: tuple[str, ...]
    seed: int = 7
    scale: int = 40
    """Events for each of the busy tasks."""
    prove: bool = True
    """Whether the containment of payouts is proven; else it is declared, like that of the other tasks."""


@dataclass
class Cast:
    """Everything that runs, and what is needed to talk to it."""

    folder: Path
    options: Options
    stage: StageProcess
    service: ServiceProcess
    dataset: Dataset
    keys: Keys
    token: str
    database_url: str

    @property
    def plan(self) -> Plan:
        """The load: the same for the same seed."""
        return build_plan(self.dataset, scale=self.options.scale)

    async def produce(self, plan: Plan, progress: Progress) -> Sequence[Sent]:
        """Send everything through the doors; an action is repeated until it is acknowledged.

        Raises:
            NotAccepted: a door refused an action for good.
        """
        done = itertools.count(1)
        sent = await produce(
            plan,
            self.service.front_url,
            self.keys,
            progress=lambda _sent: progress.sent(next(done), len(plan.actions)),
        )
        refused = [action for action in sent if not action.acknowledged]
        if refused:
            raise NotAccepted(f"{len(refused)} actions were not accepted, the first because: {refused[0].problem}")
        return sent

    async def findings(self, plan: Plan, progress: Progress, patience: float = PATIENCE_SECONDS) -> Findings:
        """Wait for the verdicts, then read them."""
        faults = {task: ", ".join(names) for task, names in Faults(self.options.faults).by_task().items()}
        database = Database(self.database_url)
        inspector = Inspector(
            self.service.control_url, self.token, database, self.stage.urls.app, faults, plan.expected()
        )
        try:
            await inspector.until_judged(patience=patience, progress=progress.judged)
            return await inspector.findings()
        finally:
            await inspector.close()
            await database.close()


@asynccontextmanager
async def cast(options: Options, progress: Progress) -> AsyncIterator[Cast]:
    """Start everything in a folder of its own; all of it, and the folder, goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-demo-"))
    front_port, control_port = free_port(), free_port()
    front_url = f"http://127.0.0.1:{front_port}"
    dataset = Dataset.build(options.seed, scale=options.scale)
    keys = Keys()
    server = stage = service = None
    try:
        progress.stage("starting the databases: Shadow's, and those of both sides' workers")
        url, server = await asyncio.to_thread(embedded.start, folder / "data", ephemeral=True)
        database = Database(url)
        try:
            # Legacy's has what the app has written since the candidate's was cloned.
            filled = asyncio.to_thread(databases.prepare, url, dataset.rows, dataset.cloned())
            urls, _ = await asyncio.gather(filled, database.prepare())
            egress = EgressKeys(*[(await egress_keys.issue(database, side, "demo"))[0] for side in Side])
            ports = Ports(free_port(), free_port(), free_port())
            stage = StageProcess(
                folder, StageSettings(front_url, egress, urls, options.faults, dataset, options.scale, ports)
            )
            catalogue = folder / "catalogue.yaml"
            catalogue.write_text(
                catalogue_text(
                    dataset,
                    trigger_url=stage.urls.trigger,
                    inngest_url=stage.urls.inngest,
                    targets_url=stage.urls.targets,
                    databases=urls,
                    keys=keys,
                )
            )
            token = await _move_to_shadow(database, catalogue, but=PROVEN if options.prove else None)
        finally:
            await database.close()
        progress.stage("starting the pretended platforms and targets, and Shadow")
        service = ServiceProcess(folder, catalogue, front_port, control_port)
        await asyncio.gather(stage.start(), service.start(), asyncio.sleep(LEAD.total_seconds()))
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            synced = await client.post(f"{stage.urls.app}/sync", json={"url": f"{service.front_url}/shadow/inngest"})
            synced.raise_for_status()
        players = Cast(folder, options, stage, service, dataset, keys, token, url)
        if options.prove:
            progress.stage("proving that a candidate which pays can't reach the providers")
            async with Proving(service, stage, url, token) as proving:
                await players.produce(earlier_payouts(dataset), progress)
                await proving.prove(PROVEN, legacy_runs=len(dataset.earlier_payouts))
        yield players
    finally:
        progress.stage("stopping")
        if service is not None:
            await service.stop()
        if stage is not None:
            await stage.stop()
        if server is not None:
            await asyncio.to_thread(server.cleanup)
        shutil.rmtree(folder, ignore_errors=True)


async def _move_to_shadow(database: Database, catalogue: Path, *, but: str | None) -> str:
    """Put every task but one into the dual run and make a token."""
    resolved = load(catalogue)
    for task in resolved.tasks.keys() - {but}:
        await declare(database, task, actor=ACTOR, reason=PRETENDED)
    for route in resolved.routes.values():
        if but not in route.tasks:
            await move(database, resolved, route.tasks[0], Phase.SHADOW, actor=ACTOR, reason="the demo's dual run")
    secret, _ = await tokens.issue(database.engine, "demo", tokens.Scope)
    return secret

"""A route goes legacy -> shadow -> ramp 10, 50, 100 % -> live -> shadow -> live -> retired under constant load.

Two routes at once, since doors differ: payouts come in at the Inngest door and stick to the request, applications at
the Trigger.dev door and stick to the tenant. On every leg both `shadow serve` behind a balancer are restarted one by
one and `shadow work` is restarted or killed. Moves are forced: the cutover is what is measured, not the gate.
Platforms, targets and producers are the commerce example's; their own lists and books are the witness beside the
ledger.

Required: acknowledged events lost 0, second runs 0, things done twice in the world 0, events that both sides or the
wrong side did 0, leaks 0, producer errors 0. A call that meets a process which goes away is sent again, as every SDK
does; `sent_again` says how often.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.cutover import audit
from benchmarks.cutover.journey import LEGS, travel
from benchmarks.cutover.load import TASKS, Load, actions
from benchmarks.cutover.processes import Fleet
from benchmarks.report import finish
from sandbox.commerce import databases
from sandbox.commerce.catalogue import catalogue as catalogue_text
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.ports import free_port
from sandbox.stage import EgressKeys, Ports
from shadow.access import tokens
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.demo.processes import StageProcess, StageSettings
from shadow.egress import keys as egress_keys
from shadow.sealing.master import VARIABLE
from shadow.store import embedded
from shadow.store.database import Database

SETTLE_SECONDS = 120.0
ZERO = (
    "lost",
    "dead_letters",
    "second_runs",
    "done_twice",
    "not_exactly_one_side",
    "leaks",
    "moved_back_by_itself",
    "producer_errors",
)
"""Figures that have to be 0."""


@dataclass(frozen=True, slots=True)
class Options:
    rate: float
    leg: float
    seed: int


async def bench(options: Options, folder: Path) -> dict[str, object]:
    """The figures."""
    # Restarts may make legs longer than they should be: what is not sent of the dataset costs little.
    scale = int(options.rate / 2 * (options.leg + 30) * len(LEGS))
    dataset = Dataset.build(options.seed, scale=scale)
    keys = Keys()
    url, server = await asyncio.to_thread(embedded.start, folder / "postgres", ephemeral=True)
    database = Database(url)
    front_port = free_port()
    front_url = f"http://127.0.0.1:{front_port}"
    stage = fleet = None
    try:
        # Whoever is authoritative finds all that the app wrote: both sides' databases begin alike.
        urls = await asyncio.to_thread(databases.prepare, url, dataset.rows, dataset.rows)
        await database.prepare()
        egress = EgressKeys(*[(await egress_keys.issue(database, side, "bench"))[0] for side in Side])
        token, _ = await tokens.issue(database.engine, "bench", tokens.Scope)
        for task in TASKS:
            await declare(database, task, actor="bench", reason="its targets are pretended")
        ports = Ports(free_port(), free_port(), free_port())
        stage = StageProcess(folder, StageSettings(front_url, egress, urls, (), dataset, scale, ports))
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
        sealing = base64.b64encode(secrets.token_bytes(32)).decode()
        fleet = Fleet(folder, catalogue, front_port, {"SHADOW_DATABASE_URL": url, VARIABLE: sealing})
        await asyncio.gather(stage.start(), fleet.start())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            synced = await client.post(f"{stage.urls.app}/sync", json={"url": f"{front_url}/shadow/inngest"})
            synced.raise_for_status()
        return await _measure(options, fleet, token, Load(front_url, keys, options.rate), dataset, database, stage)
    finally:
        if fleet is not None:
            await fleet.stop()
        if stage is not None:
            await stage.stop()
        await database.close()
        await asyncio.to_thread(server.cleanup)


async def _measure(
    options: Options,
    fleet: Fleet,
    token: str,
    load: Load,
    dataset: Dataset,
    database: Database,
    stage: StageProcess,
) -> dict[str, object]:
    began = time.monotonic()

    def tell(leg: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {leg}  ({len(load.sent)} sent)", file=sys.stderr, flush=True)

    stop = asyncio.Event()
    loading = asyncio.create_task(load.run(actions(dataset), stop))
    try:
        await travel(fleet, token, TASKS, options.leg, tell)
    finally:
        stop.set()
        await loading
    took = time.monotonic() - began
    tell("settling")
    is_settled = await audit.settled(database, SETTLE_SECONDS)
    found = await audit.audit(database, await audit.books(stage.urls.app), load.sent)
    return {
        "seconds": round(took, 1),
        "rate": round(len(load.sent) / took, 1),
        "legs": [str(leg) for leg in LEGS],
        "restarts": fleet.restarts,
        "ran_out_of_load": load.ran_out,
        "settled": is_settled,
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cutover", description=__doc__)
    parser.add_argument("--rate", type=float, default=8.0, help="calls of producers a second")
    parser.add_argument("--leg", type=float, default=12.0, help="seconds that each leg lasts at least")
    parser.add_argument("--seed", type=int, default=7, help="of the dataset")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shadow-cutover-"))
    try:
        figures = asyncio.run(bench(Options(options.rate, options.leg, options.seed), folder))
    finally:
        if options.keep:
            print(f"logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    ok = figures["settled"] is True and figures["ran_out_of_load"] is False and all(figures[name] == 0 for name in ZERO)
    finish("cutover", ok=ok, figures=figures)


if __name__ == "__main__":
    main()

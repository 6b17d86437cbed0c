"""What handing over costs: CPU seconds of Python and of PostgreSQL for each 1,000 dispatches, both sides.

Events are accepted beforehand; their dispatches then fall due at a rate, ten at a time, as when producers send them.
Both sides' delivery loops run in this process, against stand-ins of both platforms in another that answer at once.
There is nothing to pass: on a shared machine only the ratio of two figures that were taken in turns says something.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import psycopg
import uvloop

from benchmarks.loop.catalogue import EVENT, catalogue
from benchmarks.loop.costs import Meter, difference
from benchmarks.processes import HOST, process
from benchmarks.report import finish
from sandbox.ports import free_port
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.fanout.loop import DeliveryLoop
from shadow.fanout.opening import Openings
from shadow.intake.arrival import Arrival, Door
from shadow.intake.intake import Intake
from shadow.intake.plan import planned
from shadow.platforms.client import carrying_client
from shadow.platforms.registry import adapters
from shadow.sealing.master import MasterKey
from shadow.store import embedded
from shadow.store.database import Database

_TOGETHER = 10
"""Events in one of the producers' requests."""
_SPREAD = """
UPDATE dispatches SET state = 'due', due_at = now() + interval '2 seconds' + place.number / %s * interval '1 second'
FROM (SELECT id, (dense_rank() OVER (ORDER BY event_id) - 1) / 10 * 10 AS number FROM dispatches) AS place
WHERE place.id = dispatches.id
"""
_LEFT = "SELECT count(*) FROM dispatches"


async def _accept(intake: Intake, known: ResolvedCatalogue, events: int) -> None:
    decision = decide(known.tasks_of_event(EVENT)[0].route, Phase.SHADOW)
    dispatches = planned(known, "app", EVENT, Origin.PRODUCER, decision)
    for first in range(0, events, 500):
        await intake.accept(
            [
                Arrival(
                    source="app",
                    door=Door.INNGEST,
                    origin=Origin.PRODUCER,
                    name=EVENT,
                    data=orjson.dumps({"requestId": f"wd_{number}", "tenantId": f"t{number % 50}", "note": "x" * 600}),
                    dispatches=dispatches,
                    decision=decision,
                    tenant=f"t{number % 50}",
                    delivery_id=f"wd_{number}",
                )
                for number in range(first, min(first + 500, events))
            ]
        )


async def measure(events: int, rate: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    url, server = embedded.start(folder / "data", ephemeral=True)
    port = free_port()
    stand_ins = ["benchmarks.loop.stand_ins", "--port", str(port), "--front", str(free_port())]
    try:
        with (
            process(stand_ins, f"http://{HOST}:{port}/figures", folder / "stand_ins.log"),
            psycopg.connect(url, autocommit=True) as connection,
        ):
            known = parse(catalogue(port, gateway=False), "bench.yaml", {})
            database = Database(url, sealing_key=lambda: MasterKey(bytes(32)))
            await database.prepare()
            intake = Intake(database)
            await intake.start()
            await _accept(intake, known, events)
            await intake.stop()
            connection.execute(_SPREAD, (rate,))  # nobody works yet who could hold their rows
            began = time.perf_counter() + 2.0
            async with contextlib.AsyncExitStack() as stack:
                http = await stack.enter_async_context(carrying_client())
                openings = Openings()
                for side in Side:
                    loop = DeliveryLoop(side, known, database, dict(adapters(known, http)), openings)
                    await loop.start()
                    stack.push_async_callback(loop.stop)
                await asyncio.sleep(1)
                meter = Meter({}, _postmaster(connection))
                spent = meter.cpu() | {"python": time.process_time()}
                await _until_empty(connection, events, rate, began)
                seconds = time.perf_counter() - began
                cost = difference(spent, meter.cpu() | {"python": time.process_time()}, events * 2 / 1000)
            await database.close()
            return {"cpu_seconds_per_1000_dispatches": cost, "seconds": round(seconds, 1), "events": events}
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _until_empty(connection: psycopg.Connection[Any], events: int, rate: float, began: float) -> None:
    """Rings as the intake does, until nothing is left."""
    for ring in range(events // _TOGETHER):
        await asyncio.sleep(max(0.0, began + ring * _TOGETHER / rate - time.perf_counter()))
        connection.execute("NOTIFY shadow_dispatches")
    while connection.execute(_LEFT).fetchall()[0][0]:  # noqa: ASYNC110 (the loops are to be looked at, not asked)
        await asyncio.sleep(0.1)


def _postmaster(connection: psycopg.Connection[Any]) -> int:
    path = connection.execute("SHOW data_directory").fetchall()[0][0]
    return int((Path(path) / "postmaster.pid").read_text().split("\n", 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second that fall due")
    options = parser.parse_args()
    figures = uvloop.run(measure(options.events, options.rate))
    finish("delivery", ok=True, figures=figures)


if __name__ == "__main__":
    main()

"""How long a producer waits for its answer, at a fixed rate of single events: the second half of the accept bench.

Requests are sent when they are due, whether or not the earlier ones are answered, and a wait counts from when a request
was due. First with loops that have nothing to do (`serve` and `work` run, both platforms are away and what is for them
waits), then with the whole loop running: both deliveries, both outcomes, effects, verdicts, counting.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.loop.drive import Drive, Load
from benchmarks.loop.pacing import Pace
from benchmarks.loop.wire import Lines
from benchmarks.loop.world import world
from benchmarks.processes import HOST, process, to_shadow
from sandbox.ports import free_port
from shadow.store import embedded

IDLE_RATE = 2000.0
LOOP_RATE = 300.0
REQUIRED_P99_MS = 50.0
_WARM_SECONDS = 3.0
_CONNECTIONS = 64


async def latency(
    catalogue: str, doors: Mapping[str, Callable[[int], bytes]], *, seconds: float
) -> tuple[dict[str, Any], bool]:
    """The figures, and whether the required ones hold.

    Args:
        catalogue: of the first part: its platforms are away.
        doors: by name, the whole HTTP request number N.
    """
    figures: dict[str, Any] = {"idle_loops": await _idle(catalogue, doors, seconds)}
    async with world(gateway=False) as here:
        driving = Drive(here)
        try:
            done = await driving.go(Load("webhook", LOOP_RATE, seconds))
        finally:
            driving.close()
    kept = ("events", "failures", "accept_p50_ms", "accept_p99_ms", "backlog_growing", "wrong", "cores_busy")
    figures["whole_loop"] = {"per_second": LOOP_RATE, **{name: done[name] for name in kept}}
    ok = (
        all(
            door["p99_ms"] < REQUIRED_P99_MS and not door["failures"] and door["rows"] == door["answers"]
            for door in figures["idle_loops"].values()
        )
        and done["accept_p99_ms"] < REQUIRED_P99_MS
        and not done["failures"]
        and not done["wrong"]
    )
    return figures, ok


async def _idle(catalogue: str, doors: Mapping[str, Callable[[int], bytes]], seconds: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    path = folder / "catalogue.yaml"
    path.write_text(catalogue)
    url, server = embedded.start(folder / "data", ephemeral=True, roomy=True)
    try:
        await to_shadow(path, url)
        front, control, work_control = free_port(), free_port(), free_port()
        common = ["--catalogue", str(path), "--database-url", url, "--data", str(folder)]
        serve = ["shadow", "serve", *common, "--front-port", str(front), "--control-port", str(control)]
        work = ["shadow", "work", *common, "--control-port", str(work_control)]
        with (
            process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log"),
            process(work, f"http://{HOST}:{work_control}/healthz", folder / "work.log"),
        ):
            return {name: await _door(name, build, front, url, seconds) for name, build in doors.items()}
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _door(
    name: str, build: Callable[[int], bytes], front: int, url: str, seconds: float
) -> dict[str, float | int]:
    first = 1_000_000_000  # apart from the numbers of the other half
    total = int(IDLE_RATE * (seconds + _WARM_SECONDS))
    before = _events(url)
    lines = Lines(HOST, front, _CONNECTIONS)
    await lines.warm()
    pace = Pace(lines, [build(number) for number in range(first, first + total)], IDLE_RATE)
    running = asyncio.create_task(pace.run())
    await asyncio.sleep(_WARM_SECONDS)
    pace.forget()
    met = await running
    lines.close()
    figures = {
        "per_second": IDLE_RATE,
        "answers": met.answered,
        "failures": met.failures,
        "rows": _events(url) - before,
        "p50_ms": round(met.percentile(0.5), 2),
        "p99_ms": round(met.percentile(0.99), 2),
        "longest_ms": round(met.percentile(1.0), 2),
    }
    print(f"{name:8} {IDLE_RATE:.0f}/s  p50 {figures['p50_ms']} ms  p99 {figures['p99_ms']} ms", flush=True)
    return figures


def _events(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])

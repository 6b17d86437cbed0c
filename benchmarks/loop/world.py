"""The loop's processes: PostgreSQL, `shadow serve`, `shadow work` and the stand-ins, on a database of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.loop.catalogue import catalogue
from benchmarks.loop.costs import Meter
from benchmarks.processes import HOST, process, to_shadow
from sandbox.ports import free_port
from shadow.catalogue.model import Side
from shadow.egress import keys
from shadow.store import embedded
from shadow.store.database import Database


@dataclass(frozen=True, slots=True)
class World:
    """What runs."""

    url: str
    """Of the database."""
    front: int
    """The port of the front listener."""
    stand_ins: int
    pids: dict[str, int]
    folder: Path
    meter: Meter

    def told(self) -> dict[str, int]:
        """What the stand-ins have counted."""
        with urllib.request.urlopen(f"http://{HOST}:{self.stand_ins}/figures", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts


@contextlib.asynccontextmanager
async def world(*, gateway: bool, watched: bool = False) -> AsyncIterator[World]:
    """Start all of it; both sides run, legacy has authority.

    Args:
        gateway: whether every effect is a call through the gateway; else they are reported.
        watched: whether the candidate's platform tells how each run ended; else its workers do, of many together.
    """
    folder = Path(tempfile.mkdtemp(prefix="shadow-bench-"))
    front, control, work_control, port = free_port(), free_port(), free_port(), free_port()
    path = folder / "catalogue.yaml"
    path.write_text(catalogue(port, gateway=gateway))
    url, server = embedded.start(folder / "data", ephemeral=True)
    try:
        await to_shadow(path, url)
        stand_ins = ["benchmarks.loop.stand_ins", "--port", str(port), "--front", str(front)]
        if watched:
            stand_ins.append("--watched")
        if gateway:
            stand_ins += ["--egress-keys", json.dumps(await _egress_keys(url))]
        common = ["--catalogue", str(path), "--database-url", url, "--data", str(folder)]
        serve = ["shadow", "serve", *common, "--front-port", str(front), "--control-port", str(control)]
        work = ["shadow", "work", *common, "--control-port", str(work_control)]
        with (
            process(stand_ins, f"http://{HOST}:{port}/figures", folder / "stand_ins.log") as platforms,
            process(serve, f"http://{HOST}:{front}/healthz", folder / "serve.log") as serving,
            process(work, f"http://{HOST}:{work_control}/healthz", folder / "work.log") as working,
        ):
            pids = {
                "serve": serving.pid,
                "work": working.pid,
                "generator": psutil.Process().pid,
                "stand_ins": platforms.pid,
            }
            yield World(url, front, port, pids, folder, Meter(pids, _postmaster(url)))
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _egress_keys(url: str) -> dict[str, str]:
    database = Database(url)
    issued = {side.value: (await keys.issue(database, side, "benchmark"))[0] for side in Side}
    await database.close()
    return issued


def _postmaster(url: str) -> int:
    with psycopg.connect(url) as connection:
        row: tuple[Any, ...] | None = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return int(psutil.Process(row[0]).ppid())

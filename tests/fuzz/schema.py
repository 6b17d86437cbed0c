"""schemathesis against the running control API, over a database with something of everything in it.

    python -m tests.fuzz.schema [--examples 50] [--seconds 600] [--seed 7] [--keep FOLDER]

Every check that schemathesis has is on. It is told nothing but the address and a token: examples, boundary values,
generated requests (what the document allows, and what it does not) and chains of requests that feed each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from api.control import ControlServices, control_app
from sandbox.serving import Served
from shadow.access.tokens import Scope, issue
from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.gate.counting import CountingLoop
from shadow.gate.evaluating import GateLoop
from shadow.judge.loop import JudgeLoop
from shadow.sealing import master
from shadow.store import embedded
from shadow.store.database import Database
from tests.integration.judge.world import CATALOGUE, World

PHASES = "examples,coverage,fuzzing,stateful"
_CATALOGUE = CATALOGUE + "limits: {control_requests_per_second: null}\n"
_CONFIG = """
# A list that is too long makes a body that is too large: that is a refusal, too.
[checks]
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"
]

# JSON Schema cannot say that a moment lies after another one, or within so many days from now: what breaks only such a
# rule of these operations is allowed by their schema, and refused for it with 422 all the same.
"""
_COMPARING_MOMENTS = (
    ("POST", "/v1/allowances"),
    ("POST", "/v1/proposals/{proposal}/decision"),
    ("POST", "/v1/tasks/{task}/judgements"),
    ("GET", "/v1/tasks/{task}/parity"),
)
_OPERATION = """
[[operations]]
include-method = "%s"
include-path = "%s"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run of schemathesis came to."""

    ok: bool
    cases: int
    failures: int
    report: str
    """What it printed."""


async def fill(world: World, client: httpx.AsyncClient) -> None:
    """Tasks with pairs of every verdict, and what people did about them."""
    now = datetime.now(UTC)
    for number in range(16):
        tenant = ("acme", "zeta")[number % 2]
        told = await world.event(data={"order": number, "email": f"{number}@shop.test"}, tenant=tenant)
        await told.both({"score": 1000 + number * 37 % 50}, candidate={"score": 1000.5 + number * 23 % 50})
    for number in range(6):
        told = await world.event(data={"order": number})
        await told.both({"ok": True}, candidate={"ok": number % 3 > 0, "note": "é" * number})
        await told.effect(Side.LEGACY, {"body": {"requestId": f"r{number}", "amount": 1200}})
        await told.effect(Side.CANDIDATE, {"body": {"requestId": f"r{number}", "amount": 1200 + number}})
    for task in ("order-sync", "digest"):
        await (await world.event(task, data={"order": 99}, accepted_at=now - timedelta(hours=2))).finished(Side.LEGACY)
        told = await world.event(task, data={"order": 100}, opened=False)
        await world.dispatch(told, state="dead")
    await world.event("digest", data={"order": 101})
    await JudgeLoop(world.database, world.catalogue).once(now + timedelta(minutes=1))
    await CountingLoop(world.database, world.catalogue, look_seconds=0).once(now + timedelta(minutes=1))
    await GateLoop(world.database, world.catalogue).once(now)
    (first, *_) = (await client.get("/v1/signatures")).json()["items"]
    until = (now + timedelta(days=30)).isoformat()
    (pair, *_) = (await client.get("/v1/pairs")).json()["items"]
    for path, body in (
        (f"/v1/events/{pair['event_id']}/originals", {"reason": "a customer asks"}),
        ("/v1/allowances", {"signature": first["id"], "reason": "measured", "until": until}),
        ("/v1/tasks/order-sync/proposals", None),
        ("/v1/deployments", {"app": "shop", "side": "candidate", "version": "v2"}),
        ("/v1/epochs/order-sync", {"reason": "a new beginning"}),
        ("/v1/gates/order-sync/confirmation", {"reason": "yes"}),
        ("/v1/tasks/digest/containment", {"action": "declare_harmless", "reason": "it only reads"}),
        ("/v1/phases/digest", {"phase": "shadow", "force": True, "reason": "now"}),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code < 500, answer.text


class Service:
    """The control API on a loopback port, over that database."""

    def __init__(self, database: Database) -> None:
        self.world = World(database)
        self.world.catalogue = parse(_CATALOGUE, "fuzz.yaml", {})
        self.services = ControlServices(database, self.world.catalogue)

    async def run(self, folder: Path, *, examples: int, seconds: int | None = None, seed: int = 7) -> Found:
        """Fill the database, serve, and have schemathesis at it."""
        app = control_app(self.services)
        secret, _token = await issue(self.world.database.engine, "fuzz", list(Scope))
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            async with Served(app) as served:
                async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60) as client:
                    await fill(self.world, client)
                return await _tested(served.url, secret, folder, examples, seconds, seed)
        finally:
            await self.services.proofs.stop()


async def _tested(url: str, secret: str, folder: Path, examples: int, seconds: int | None, seed: int) -> Found:
    report = folder / "report.json"
    config = folder / "schemathesis.toml"
    config.write_text(_CONFIG + "".join(_OPERATION % one for one in _COMPARING_MOMENTS))
    arguments = [
        *(
            "--config-file",
            str(config),
            "run",
            f"{url}/openapi.json",
            "-H",
            f"Authorization: Bearer {secret}",
            "--checks",
            "all",
        ),
        *("--phases", PHASES, "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"),
        *("--request-timeout", "60", "--no-shrink", "--suppress-health-check", "all", "--warnings", "off"),
        *("--report", "json", "--report-json-path", str(report), "--output-truncate", "false"),
        *(("--max-time", str(seconds)) if seconds else ()),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    text = printed.decode(errors="replace")
    return Found(process.returncode == 0, _number(text, r"(\d+) generated"), _number(text, r"(\d+) found"), text)


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


async def _main(options: argparse.Namespace, folder: Path) -> Found:
    url, server = embedded.start(folder / "data", ephemeral=True)
    database = Database(url, sealing_key=lambda: master.MasterKey(bytes(32)))
    try:
        await database.prepare()
        await database.vault.start()
        return await Service(database).run(
            folder, examples=options.examples, seconds=options.seconds, seed=options.seed
        )
    finally:
        await database.vault.stop()
        await database.close()
        server.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50, help="generated requests an operation and phase")
    parser.add_argument("--seconds", type=int, help="at most, for all of it")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shadow-schema-"))
    try:
        found = asyncio.run(_main(options, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(found.report)
    print(json.dumps({"bench": "schema", "ok": found.ok, "cases": found.cases, "failures": found.failures}))
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())

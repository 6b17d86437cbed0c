"""The whole proof of a containment with a live worker: `shadow contain`, before a bank that keeps books of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import inngest
import inngest.fast_api
import orjson
from fastapi import FastAPI

from sandbox.serving import Served
from sandbox.trigger_dev import TaskContext
from shadow.capture import Capture, HostDenied
from shadow.catalogue.model import Side
from shadow.containment.record import Containment, State, present
from shadow.proving import proving
from shadow.store.database import Database, Work
from tests.acceptance.paying import HOST, SECRET, Paying, paying

TRACKER = "tracker.example"
"""A host that nobody declared, which the candidate calls all the same."""


async def pay(http: httpx.AsyncClient, request: str, amount: int) -> str:
    """What both sides do at the bank."""
    made = await http.post(f"https://{HOST}/v1/transfers", json={"request": request, "amount": amount})
    transfer: str = made.raise_for_status().json()["id"]
    paid = (await http.get(f"https://{HOST}/v1/transfers/{transfer}")).raise_for_status().json()["amount"]
    note = await http.post(f"https://{HOST}/v1/notes", json={"transfer": transfer, "text": f"paid {paid}"})
    note.raise_for_status()
    return transfer


def capture(world: Paying, side: Side, version: str) -> Capture:
    platform = urlsplit(world.inngest_url).netloc
    return Capture(
        world.front,
        world.keys[side],
        {HOST: "bank"},
        report_key=f"{side.value}-reports",
        version=version,
        allow=(platform,) if side is Side.CANDIDATE else (),
    )


@asynccontextmanager
async def legacy(world: Paying) -> AsyncIterator[None]:
    ours = capture(world, Side.LEGACY, "legacy-1")
    async with ours.async_client(timeout=30) as http:

        @ours.task("pay")
        async def run(payload: Any, ctx: TaskContext) -> Any:
            return {"transfer": await pay(http, payload["request"], payload["amount"])}

        world.legacy(run)
        yield
    await ours.aclose()


@asynccontextmanager
async def candidate(world: Paying, version: str, holds: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """The candidate's worker of a version; `holds`: its environment, of which its guard reports; None: it does not."""
    ours = capture(world, Side.CANDIDATE, version)
    if holds is not None:
        assert await asyncio.to_thread(ours.report_guard, holds)
    client = inngest.Inngest(
        app_id="shop",
        is_production=False,
        api_base_url=world.inngest_url,
        event_api_base_url=world.front,
        event_key="candidate-key",
        middleware=[ours.middleware()],
    )
    async with ours.async_client(timeout=30) as http:

        @client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="payout/approved"), retries=1)
        async def function(ctx: inngest.Context) -> Any:
            async def track() -> None:
                with suppress(HostDenied):
                    await http.post(f"https://{TRACKER}/seen", json={})

            async def work() -> str:
                return await pay(http, str(ctx.event.data["request"]), 1200)

            await ctx.step.run("track", track)
            return {"transfer": await ctx.step.run("pay", work)}

        app = FastAPI()
        inngest.fast_api.serve(app, client, [function])
        async with Served(app) as served:
            await world.candidate(f"{served.url}/api/inngest")
            yield
    await ours.aclose()


async def contain(world: Paying, folder: Path) -> tuple[int, dict[str, Any]]:
    """`shadow contain pay`, as a person runs it; its exit code and what it printed."""
    catalogue = folder / "paying.yaml"
    await asyncio.to_thread(catalogue.write_text, world.text)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shadow", "contain", "pay", "--json", "--catalogue", str(catalogue),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SHADOW_DATABASE_URL": world.database.url},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in (0, 1), err.decode()
    return process.returncode, orjson.loads(out)


async def on_record(world: Paying) -> Containment:
    async with world.database.connection(Work.CONTROL) as connection:
        return (await present(connection, ["pay"]))["pay"]


def states(parts: Mapping[str, Any]) -> dict[str, str]:
    return {name: part["state"] for name, part in parts.items()}


async def test_a_live_worker_is_proven_contained_until_another_version_of_it_is_seen(
    database: Database, tmp_path: Path
) -> None:
    async with paying(database, tmp_path) as world, legacy(world):
        await world.send("w-1", "w-2")
        await world.ended(Side.LEGACY, 2)
        real = list(world.bank.writes)
        assert sorted(real) == ["POST /v1/notes"] * 2 + ["POST /v1/transfers"] * 2

        # A worker that holds the bank's real secret is not even tried.
        async with candidate(world, "v1", {"BANK_AUTH": f"Bearer {SECRET}"}):
            async with proving(database, world.catalogue) as prover:
                tried = await prover.prove("pay", actor="ada")
            assert tried.state is State.FAILED
            assert states(tried.parts) == {
                "guard": "failed",
                "databases": "passed",
                "canary": "unknown",
                "witness": "unknown",
            }
            assert "holds a real secret: targets.bank.credential.secret" in str(tried.parts["guard"]["says"])
            assert SECRET not in str(tried.parts)
            assert world.inngest.runs() == []

        async with candidate(world, "v2", {"BANK_AUTH": world.keys[Side.CANDIDATE], "HOME": "/home/worker"}):
            code, found = await contain(world, tmp_path)
            assert (code, found["state"], found["version"], found["leaks"]) == (0, "proven", "v2", "none"), found
            assert states(found["parts"]) == dict.fromkeys(("guard", "databases", "canary", "witness"), "passed")
            # every shape of legacy's ledger was shown, all of it answered from what was recorded or declared
            canary = found["parts"]["canary"]["facts"]
            assert canary["missing"] == []
            assert set(canary["legacy_shapes"]) <= set(canary["shapes"])
            assert set(canary["dispositions"]) <= {"replay", "stub"}
            # the guard was at work: it denied a host that nobody declared, and says so
            assert any(f"a call to {TRACKER} was denied" in text for text in found["parts"]["witness"]["warnings"])
            assert world.bank.writes == real
            # it is on record, and lets the task in without any declaration
            shown = await on_record(world)
            assert (shown.state, str(shown.id), shown.parts) == (State.PROVEN, found["id"], found["parts"])
            await world.to_shadow(declared=False)
            await world.send("w-3")
            assert await world.judged(1) == [("match", None)]
            assert world.bank.writes == [*real, "POST /v1/transfers", "POST /v1/notes"]

        # Another version's first call at the gateway is enough: its guard never reported.
        async with candidate(world, "v3"):
            await world.send("w-4")
            await world.judged(2)
            await world.until(lambda: ended(world), "the end of the proof")
        shown = await on_record(world)
        assert (str(shown.id), shown.ended_because) == (found["id"], "the candidate's version changed from v2 to v3")
    assert len(world.bank.transfers) == 4  # legacy's, each once: no repetition and no twin made one


async def ended(world: Paying) -> bool:
    return (await on_record(world)).state is State.ENDED

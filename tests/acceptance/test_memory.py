"""The database hangs, the spool is full and producers keep sending: `serve` says 503 and when to come again, and takes
no more memory for it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.chaos.database import running
from sandbox.ports import free_port
from tests.integration.egress.test_kill import _answers
from tests.integration.egress.world import until

CATALOGUE = """
version: 1
limits: {spool_bytes: 8388608}
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: tr_dev_secret}
  inngest: {kind: inngest, side: candidate, event_url: "http://127.0.0.1:9", api_url: "http://127.0.0.1:9",
            event_key: k, app: shop}
sources: {app: {kind: inngest, keys: [key]}}
tasks:
  pay:
    event: payout/approved
    sources: [app]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
"""
MIB = 1 << 20
SENDERS = 200
SENDING_SECONDS = 30.0
MOST_GROWTH = 320 * MIB
"""Of which 64 MiB may wait for the disk, in two forms, and as much for the commit."""
MOST_LATER = 48 * MIB
"""By how much it may be more in the second half of the time than it ever was in the first."""


@pytest.mark.slow
async def test_what_can_be_kept_nowhere_is_refused_and_takes_no_memory(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    front = free_port()
    async with running(tmp_path) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shadow", "serve", "--catalogue", str(catalogue), "--database-url", server.url),
            *("--data", str(tmp_path / "serve"), "--front-port", str(front), "--control-port", str(free_port())),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            limits = httpx.Limits(max_connections=SENDERS)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=60, limits=limits) as client:
                await until(lambda: _answers(client), 120)
                resident = psutil.Process(process.pid).memory_info
                before, seen = resident().rss, []
                freezing = asyncio.create_task(server.freeze(SENDING_SECONDS + 5))
                await asyncio.sleep(0.2)
                stop = time.monotonic() + SENDING_SECONDS
                told: Counter[int] = Counter()
                senders = [asyncio.create_task(_send(client, number, stop, told)) for number in range(SENDERS)]
                while time.monotonic() < stop:
                    seen.append(resident().rss)
                    await asyncio.sleep(0.2)
                await asyncio.gather(*senders)
                await freezing
                assert set(told) <= {0, 200, 503}, told
                assert told[503] > told[200] > 0, told
                assert told[0] < told[503] / 10, told
                half = len(seen) // 2
                grown = [(size - before) // MIB for size in (max(seen[:half]), max(seen[half:]))]
                print(f"{before // MIB} MiB, then {grown} MiB more; {told}")
                assert max(seen) - before < MOST_GROWTH
                assert max(seen[half:]) - max(seen[:half]) < MOST_LATER

                async def taken() -> bool:
                    return await _told(client, "afterwards") == 200

                await until(taken, 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _send(client: httpx.AsyncClient, number: int, stop: float, told: Counter[int]) -> None:
    sent = 0
    while time.monotonic() < stop:
        told[await _told(client, f"{number}-{sent}")] += 1
        sent += 1


async def _told(client: httpx.AsyncClient, name: str) -> int:
    event = {"id": name, "name": "payout/approved", "data": {"text": "x" * 100_000}}
    try:
        answer = await client.post("/e/key", json=event)
    except httpx.TransportError:
        return 0  # an answer that comes before the upload is over may end the connection
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code

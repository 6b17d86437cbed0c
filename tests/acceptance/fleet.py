"""Three `shadow serve` behind a balancer and three `shadow work` on one database, in place of the demo's service."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks.cutover.balancer import Balancer
from sandbox.ports import free_port
from shadow.demo.processes import START_SECONDS, Child, StartFailed
from shadow.sealing import master
from shadow.store import embedded
from tests import pgbouncer

EACH = 3


class FleetProcess:
    """As the demo's service: producers, platforms and workers know one address alone."""

    pooled = False
    """Whether all of them go through pgbouncer."""

    def __init__(self, folder: Path, catalogue: Path, front_port: int, control_port: int) -> None:
        self._folder, self._catalogue = folder, catalogue
        self.front_url = f"http://127.0.0.1:{front_port}"
        self.control_url = f"http://127.0.0.1:{control_port}"
        self.fronts = [free_port() for _ in range(EACH)]
        self.controls = [control_port, *(free_port() for _ in range(EACH - 1))]
        self._workers = [free_port() for _ in range(EACH)]
        self._balancer = Balancer(front_port, self.fronts)
        self._children: list[Child] = []
        self._held = ExitStack()

    async def start(self) -> None:
        # The demo holds the server: this only asks where it is.
        url, _server = await asyncio.to_thread(embedded.start, self._folder / "data")
        environment = {"SHADOW_DATABASE_URL": url, "SHADOW_DATABASE_DIRECT_URL": ""}
        if self.pooled:
            bouncer = self._held.enter_context(pgbouncer.bouncer(url, servers=20))
            environment |= {"SHADOW_DATABASE_URL": bouncer.url(url), "SHADOW_DATABASE_DIRECT_URL": url}
        assert master.given(None) is not None, "every process seals with the same key"
        for number in range(EACH):
            ports = ("--front-port", str(self.fronts[number]), "--control-port", str(self.controls[number]))
            self._children.append(self._child("serve", number, environment, *ports))
            self._children.append(
                self._child("work", number, environment, "--control-port", str(self._workers[number]))
            )
        # All at once: each of them would migrate.
        await asyncio.gather(*(child.start() for child in self._children), self._balancer.start())
        await asyncio.gather(
            *(self._ready(port) for port in (*self.controls, *self._workers)),
            *(self._ready(port, "/healthz") for port in self.fronts),
        )

    async def away(self) -> str:
        """The fronts that take no connections, and why that may be; empty: all do.

        The balancer passes over them, so that whoever asks it would not notice.
        """
        found = []
        for number, port in enumerate(self.fronts):
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError as error:
                child = self._children[2 * number]
                state = child.process.returncode if child.process is not None else "never started"
                found.append(f"front {number} ({port}): {error}; its process: {state}\n{child.tail(30)}")
            else:
                writer.close()
        return "\n".join(found)

    def _child(self, verb: str, number: int, environment: dict[str, str], *ports: str) -> Child:
        name = f"{verb}-{number}"
        folder = ("--catalogue", str(self._catalogue), "--data", str(self._folder / name))
        return Child("shadow", (verb, *folder, *ports), self._folder / f"{name}.log", {**os.environ, **environment})

    async def _ready(self, port: int, path: str = "/readyz") -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            for _ in range(int(START_SECONDS / 0.1)):
                try:
                    if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise StartFailed(self.tail())

    async def kill(self) -> None:
        await asyncio.gather(*(child.kill() for child in self._children))

    async def stop(self) -> int | None:
        await asyncio.gather(*(child.stop() for child in self._children))
        await self._balancer.stop()
        self._held.close()
        return 0

    def tail(self) -> str:
        return "\n".join(child.tail(5) for child in self._children)

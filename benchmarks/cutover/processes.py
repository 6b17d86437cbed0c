"""The processes of Shadow: two `serve` behind a balancer and one `work`, on one database, each restarted at will."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from benchmarks.cutover.balancer import Balancer
from sandbox.ports import free_port
from shadow.demo.processes import START_SECONDS, Child, StartFailed


class Serving:
    """One `shadow serve`."""

    def __init__(self, folder: Path, name: str, catalogue: Path, environment: dict[str, str]) -> None:
        self.front_port, self.control_port = free_port(), free_port()
        self._child = Child(
            "shadow",
            (
                "serve",
                *("--catalogue", str(catalogue), "--data", str(folder / name)),
                *("--front-port", str(self.front_port), "--control-port", str(self.control_port)),
            ),
            folder / f"{name}.log",
            environment,
        )

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    async def start(self) -> None:
        """Returns once it is ready."""
        await self._child.start()
        await until_ready(self._child, self.control_url)

    async def stop(self) -> None:
        await self._child.stop()


class Working:
    """One `shadow work`."""

    def __init__(self, folder: Path, catalogue: Path, environment: dict[str, str]) -> None:
        self._control_port = free_port()
        self._child = Child(
            "shadow",
            (
                "work",
                *("--catalogue", str(catalogue), "--data", str(folder / "work")),
                *("--control-port", str(self._control_port)),
            ),
            folder / "work.log",
            environment,
        )

    async def start(self) -> None:
        """Returns once it is ready."""
        await self._child.start()
        await until_ready(self._child, f"http://127.0.0.1:{self._control_port}")

    async def stop(self) -> None:
        await self._child.stop()

    async def kill(self) -> None:
        await self._child.kill()


async def until_ready(child: Child, control_url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        for _ in range(int(START_SECONDS / 0.1)):
            assert child.process is not None
            if child.process.returncode is not None:
                raise StartFailed(f"it ended with {child.process.returncode}:\n{child.tail()}")
            try:
                if (await client.get(f"{control_url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise StartFailed(f"not ready after {START_SECONDS:.0f} s:\n{child.tail()}")


class Fleet:
    """All of them. Producers, platforms and workers know the balancer alone."""

    def __init__(self, folder: Path, catalogue: Path, front_port: int, environment: dict[str, str]) -> None:
        self._serving = [Serving(folder, f"serve-{number}", catalogue, environment) for number in (1, 2)]
        self._working = Working(folder, catalogue, environment)
        self._balancer = Balancer(front_port, [serving.front_port for serving in self._serving])
        self.restarts = {"serve": 0, "work": 0, "work, killed": 0}

    async def start(self) -> None:
        # The first migrates.
        await self._serving[0].start()
        await asyncio.gather(self._serving[1].start(), self._working.start(), self._balancer.start())

    async def stop(self) -> None:
        await asyncio.gather(self._working.stop(), *(serving.stop() for serving in self._serving))
        await self._balancer.stop()

    def control_url(self) -> str:
        return self._serving[0].control_url

    async def restart_serve(self) -> None:
        """One by one: out of rotation, told to end, started, into rotation."""
        for serving in self._serving:
            self._balancer.take_out(serving.front_port)
            await serving.stop()
            await serving.start()
            self._balancer.put_in(serving.front_port)
            self.restarts["serve"] += 1

    async def restart_work(self, *, kill: bool) -> None:
        """Told to end, or killed as by a power cut, and started."""
        if kill:
            await self._working.kill()
        else:
            await self._working.stop()
        await self._working.start()
        self.restarts["work, killed" if kill else "work"] += 1

"""The processes of Shadow, each of which may die at any moment and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.cutover.balancer import Balancer
from benchmarks.cutover.processes import until_ready
from sandbox.ports import free_port
from shadow.demo.processes import Child
from shadow.observe.fail_points import VARIABLE

SPOOL_BYTES = 2 << 20
"""Of the small disk that a `serve` spools to, where one can be mounted."""


class Part:
    """One `shadow serve` or `shadow work`."""

    def __init__(self, kind: str, name: str, folder: Path, catalogue: Path, environment: dict[str, str]) -> None:
        self.kind = kind
        self.name = name
        self.front_port, self.control_port = free_port(), free_port()
        self.folder = folder / name
        self._environment = environment
        ports = ("--front-port", str(self.front_port)) if kind == "serve" else ()
        self._arguments = (
            kind,
            *("--catalogue", str(catalogue), "--data", str(self.folder), "--control-port", str(self.control_port)),
            *ports,
        )
        self._log = folder / f"{name}.log"
        self._child: Child | None = None

    async def start(self, fail_point: str | None = None) -> None:
        """Returns once it is ready, or has died at its fail point."""
        extra = {VARIABLE: fail_point} if fail_point is not None else {VARIABLE: ""}
        self._child = Child("shadow", self._arguments, self._log, self._environment | extra)
        await self._child.start()
        ready = asyncio.create_task(until_ready(self._child, f"http://127.0.0.1:{self.control_port}"))
        try:
            await ready
        except Exception:
            if fail_point is None or self.alive:
                raise

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.process is not None and self._child.process.returncode is None

    async def listens(self) -> bool:
        """Whether its front takes connections."""
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", self.front_port)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        if self.alive:
            assert self._child is not None
            await self._child.kill()

    async def dies(self, *, within: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        if not self.alive:
            return True
        assert self._child is not None
        assert self._child.process is not None
        try:
            await asyncio.wait_for(self._child.process.wait(), within)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()

    async def ensure(self) -> None:
        """Start it if it is dead."""
        if not self.alive:
            await self.start()

    def memory(self) -> int:
        """Bytes that it has resident now; 0 while it is dead."""
        if not self.alive:
            return 0
        assert self._child is not None
        assert self._child.process is not None
        try:
            return int(psutil.Process(self._child.process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0


class Fleet:
    """All of them. Producers, platforms and workers know the balancer alone."""

    def __init__(
        self, folder: Path, catalogue: Path, front_port: int, environment: dict[str, str], *, serves: int, works: int
    ) -> None:
        self.serving = [Part("serve", f"serve-{number}", folder, catalogue, environment) for number in range(serves)]
        self.working = [Part("work", f"work-{number}", folder, catalogue, environment) for number in range(works)]
        self._balancer = Balancer(front_port, [part.front_port for part in self.serving])
        self._mounted: list[Path] = []

    @property
    def parts(self) -> list[Part]:
        return [*self.serving, *self.working]

    async def start(self) -> None:
        # The first migrates.
        await self.serving[0].start()
        await asyncio.gather(*(part.start() for part in self.parts[1:]), self._balancer.start())

    async def ensure(self) -> None:
        """Have all of them run."""
        await asyncio.gather(*(part.ensure() for part in self.parts))

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.parts), return_exceptions=True)
        await self._balancer.stop()
        for path in self._mounted:
            await asyncio.to_thread(subprocess.run, ["umount", str(path)], check=False, capture_output=True)

    def mount_small_spool(self) -> bool:
        """Give the first `serve` a spool on a disk of its own, which can be filled; False where that is not allowed."""
        path = self.serving[0].folder / "spool"
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SPOOL_BYTES}", "tmpfs", str(path)], check=False, capture_output=True
        )
        if done.returncode == 0:
            self._mounted.append(path)
        return bool(self._mounted)

    @contextlib.contextmanager
    def full_spool(self) -> Iterator[None]:
        """The small disk is full for as long as this lasts."""
        ballast = self._mounted[0] / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"\0" * 4096)
                file.flush()
        try:
            yield
        finally:
            ballast.unlink(missing_ok=True)

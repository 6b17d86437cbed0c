"""The demo's two processes: the stage (everything pretended) and the service itself, each to be killed at will."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.stage import EgressKeys, Ports, StageUrls

START_SECONDS = 60.0


class StartFailed(Exception):
    """A process ended, or stayed silent, before it was ready."""


@dataclass
class Child:
    """A Python module run as a process of its own, with its output in a file."""

    module: str
    arguments: Sequence[str]
    output: Path
    environment: dict[str, str]
    process: Process | None = None

    async def start(self, *, stdout: int | None = None) -> Process:
        with self.output.open("ab") as file:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout if stdout is not None else file,
                stderr=file,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self.process

    async def stop(self) -> int | None:
        """Ask it to end, insist after a while; its exit code."""
        if self.process is None or self.process.returncode is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        return self.process.returncode

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    def tail(self, lines: int = 20) -> str:
        """The last lines it printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class StageSettings:
    """What the stage is started with."""

    front_url: str
    egress: EgressKeys
    databases: DatabaseUrls
    faults: Sequence[str]
    dataset: Dataset
    scale: int
    ports: Ports

    def arguments(self) -> dict[str, str]:
        return {
            "front-url": self.front_url,
            "egress-legacy": self.egress.legacy,
            "egress-candidate": self.egress.candidate,
            "database-legacy": self.databases.legacy,
            "database-candidate": self.databases.candidate,
            "faults": ",".join(self.faults),
            "seed": str(self.dataset.seed),
            "scale": str(self.scale),
            "today": self.dataset.today.isoformat(),
            **{f"{name}-port": str(port) for name, port in vars(self.ports).items()},
        }


class StageProcess:
    """The outside world: both platforms, their workers, the targets."""

    def __init__(self, folder: Path, settings: StageSettings) -> None:
        arguments = [part for name, value in settings.arguments().items() for part in (f"--{name}", value)]
        self._child = Child("sandbox", arguments, folder / "stage.log", {})
        self.urls = StageUrls(*(f"http://127.0.0.1:{port}" for port in vars(settings.ports).values()))

    async def start(self) -> None:
        """Returns once it listens."""
        process = await self._child.start(stdout=PIPE)
        assert process.stdout is not None
        try:
            json.loads(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
        except (TimeoutError, ValueError) as error:
            raise StartFailed(f"the stage did not start:\n{self._child.tail()}") from error

    async def stop(self) -> None:
        await self._child.stop()


class ServiceProcess:
    """`shadow up` with the embedded database."""

    def __init__(self, folder: Path, catalogue: Path, front_port: int, control_port: int) -> None:
        self.front_url = f"http://127.0.0.1:{front_port}"
        self.control_url = f"http://127.0.0.1:{control_port}"
        self._child = Child(
            "shadow",
            (
                "up",
                "--catalogue",
                str(catalogue),
                "--data",
                str(folder / "data"),
                "--front-port",
                str(front_port),
                "--control-port",
                str(control_port),
            ),
            folder / "service.log",
            {"SHADOW_DATABASE_URL": ""},
        )

    async def start(self) -> None:
        """Returns once it is ready for traffic."""
        process = await self._child.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(int(START_SECONDS / 0.1)):
                if process.returncode is not None:
                    raise StartFailed(f"the service ended with {process.returncode}:\n{self._child.tail()}")
                try:
                    answer = await client.get(f"{self.control_url}/readyz", timeout=2)
                    if answer.status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise StartFailed(f"the service is not ready after {START_SECONDS:.0f} s:\n{self._child.tail()}")

    async def kill(self) -> None:
        await self._child.kill()

    async def stop(self) -> int | None:
        return await self._child.stop()

    def tail(self) -> str:
        return self._child.tail()

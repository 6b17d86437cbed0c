"""Chromium as Debian packages it, and axe-core, which finds what keeps people from using a page."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import uvicorn

from shadow.store.database import Database
from tests.acceptance.sdks import installed as installed_from_npm


@cache
def chromium() -> str:
    """The path of Chromium, which is installed where it is missing and can be.

    Elsewhere the test is skipped on somebody's own machine, and fails under CI.
    """
    if shutil.which("chromium") is None:
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        said = ""
        for command in (["apt-get", "update", "--quiet"], install):
            done = _run(command)
            said = done if isinstance(done, str) else done.stderr[-500:]
        if shutil.which("chromium") is None:
            reason = f"Debian's package chromium can't be had: {said}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    return str(shutil.which("chromium"))


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


@cache
def axe() -> str:
    """Its source, to be run in a page."""
    return (installed_from_npm("axe") / "node_modules" / "axe-core" / "axe.min.js").read_text()


@contextmanager
def serving(database_url: str, make_app: Any, prepare: Any) -> Iterator[tuple[str, Any]]:
    """An app over a database, in a thread of its own, for as long as the block lasts.

    Args:
        make_app: what makes the app of the database.
        prepare: what is done to the database first; what it returns is handed on.
    """
    ready = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        database = Database(database_url)
        try:
            told["prepared"] = await prepare(database)
            listener = socket.create_server(("127.0.0.1", 0))  # whoever calls before it is served waits
            told["port"] = listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(make_app(database), log_config=None, lifespan="off", ws="none"))
            told["server"] = server
            ready.set()
            await server.serve(sockets=[listener])
        except BaseException as error:
            told["error"] = error
            raise
        finally:
            ready.set()
            await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="pages", daemon=True)
    thread.start()
    ready.wait(60)
    if "port" not in told:
        raise RuntimeError(f"the app did not start: {told.get('error')!r}")
    try:
        yield f"http://127.0.0.1:{told['port']}", told["prepared"]
    finally:
        told["server"].should_exit = True
        thread.join(20)

"""pgbouncer as Debian packages it, in transaction mode: every transaction may get another server."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from sandbox.ports import free_port

_SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = {servers}
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
{more}
"""


@cache
def binary() -> str:
    """The path of `pgbouncer`, installed where it is missing. Where it can't be had the test is skipped on somebody's
    own machine, and fails under CI."""
    if (found := _found()) is None:
        for command in (["apt-get", "update", "--quiet"], ["apt-get", "install", "--quiet", "--yes", "pgbouncer"]):
            subprocess.run(
                command, capture_output=True, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
        found = _found()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Debian's package pgbouncer can't be had")
        pytest.skip("Debian's package pgbouncer can't be had")
    return found


def _found() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def version() -> tuple[int, int]:
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    assert found is not None, said
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Bouncer:
    port: int

    def url(self, direct: str) -> str:
        """The same database, through the pooler."""
        return f"postgresql://postgres@127.0.0.1:{self.port}{urlsplit(direct).path}"


@contextmanager
def bouncer(direct: str, *, servers: int = 8) -> Iterator[Bouncer]:
    """One before the server of that URL.

    Args:
        servers: connections to a database, which all clients share.
    """
    folder = Path(tempfile.mkdtemp(prefix="shadow-pgbouncer-"))
    folder.chmod(0o777)
    asked = parse_qs(urlsplit(direct).query)
    parts = urlsplit(direct)
    host = asked["host"][0] if "host" in asked else parts.hostname
    settings = _SETTINGS.format(
        host=host,
        port=asked.get("port", [str(parts.port or 5432)])[0],
        user=parts.username or "postgres",
        listen=(listen := free_port()),
        servers=servers,
        folder=folder,
        more="max_prepared_statements = 200" if version() >= (1, 22) else "",
    )
    file = folder / "pgbouncer.ini"
    file.write_text(settings)
    # It refuses to run as root; the embedded server's socket is its own user's.
    owner = Path(str(host)).owner() if str(host).startswith("/") else "nobody"
    as_user = ["-u", owner] if getpass.getuser() == "root" else []
    process = subprocess.Popen([binary(), "-q", *as_user, str(file)])
    try:
        made = Bouncer(listen)
        _until_it_answers(made.url(direct), folder)
        yield made
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_answers(url: str, folder: Path) -> None:
    for _ in range(100):
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError((folder / "pgbouncer.log").read_text()[-2000:])

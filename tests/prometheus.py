"""Prometheus and promtool as Debian packages them: taken from the system, or unpacked once into a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

_CACHE = Path(tempfile.gettempdir()) / f"shadow-tests-prometheus-{os.getuid()}"


@cache
def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`.

    The package is unpacked, not installed: nothing is started by it, and both programs need libc alone. Where that
    can't be done the test is skipped on somebody's own machine, and fails under CI.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    unpacked = _CACHE / "usr" / "bin" / name
    if not unpacked.exists():
        try:
            _unpack()
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"Debian's package prometheus can't be had: {error}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    return str(unpacked)


def _unpack() -> None:
    with tempfile.TemporaryDirectory(prefix="shadow-tests-apt-") as folder:
        if subprocess.run(["apt-get", "download", "prometheus"], cwd=folder, capture_output=True).returncode != 0:
            # A bare machine has no lists of packages yet.
            _run(["apt-get", "update", "--quiet"], folder)
            _run(["apt-get", "download", "prometheus"], folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        fresh = Path(tempfile.mkdtemp(prefix=f"{_CACHE.name}-", dir=_CACHE.parent))
        _run(["dpkg-deb", "--extract", str(package), str(fresh)], folder)
    try:
        fresh.rename(_CACHE)
    except OSError:
        # Another process of the tests was first.
        shutil.rmtree(fresh)
        if not (_CACHE / "usr" / "bin" / "prometheus").exists():
            raise


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")

"""Debian's packages, unpacked once into a cache and not installed: nothing is started by them, and nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def cache_of(package: str) -> Path:
    """Where a package is unpacked."""
    return Path(tempfile.gettempdir()) / f"shadow-tests-{package}-{os.getuid()}"


def unpacked(package: str, pattern: str) -> Path:
    """A file of a package. Where it can't be had, the test is skipped on somebody's own machine, and fails under CI.

    Args:
        pattern: which file, below the package's root.
    """
    cache = cache_of(package)
    if not any(cache.glob(pattern)):
        try:
            _unpack(package, cache)
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"Debian's package {package} can't be had: {error}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    return next(cache.glob(pattern))


def _unpack(package: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="shadow-tests-apt-") as folder:
        if subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True).returncode != 0:
            # A bare machine has no lists of packages yet.
            _run(["apt-get", "update", "--quiet"], folder)
            _run(["apt-get", "download", package], folder)
        (file,) = Path(folder).glob(f"{package}_*.deb")
        fresh = Path(tempfile.mkdtemp(prefix=f"{cache.name}-", dir=cache.parent))
        _run(["dpkg-deb", "--extract", str(file), str(fresh)], folder)
    try:
        fresh.rename(cache)
    except OSError:
        # Another process of the tests was first.
        shutil.rmtree(fresh)
        if not cache.exists():
            raise


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")

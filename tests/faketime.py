"""Debian's libfaketime, by which a process sees another time of day: taken from the system, or unpacked once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

_NAME = "libfaketimeMT.so.1"
_CACHE = Path(tempfile.gettempdir()) / f"shadow-tests-faketime-{os.getuid()}"
_PLACES = (Path("/usr/lib"), _CACHE)


class Clock:
    """The clock of the processes that are started with its environment. It may be set at any time, as `date` would set
    it; what measures how long something takes goes on as ever."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the true time; negative: behind it."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.rename(self._file)


@cache
def library() -> Path:
    """Where it lies. Where it can't be had, the test is skipped on somebody's own machine, and fails under CI."""
    found = _found()
    if found is None:
        try:
            _unpack()
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"Debian's package libfaketime can't be had: {error}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        found = _found()
    assert found is not None
    return found


def _found() -> Path | None:
    return next((path for place in _PLACES for path in place.glob(f"**/faketime/{_NAME}")), None)


def _unpack() -> None:
    with tempfile.TemporaryDirectory(prefix="shadow-tests-apt-") as folder:
        if subprocess.run(["apt-get", "download", "libfaketime"], cwd=folder, capture_output=True).returncode != 0:
            # A bare machine has no lists of packages yet.
            _run(["apt-get", "update", "--quiet"], folder)
            _run(["apt-get", "download", "libfaketime"], folder)
        (package,) = Path(folder).glob("libfaketime_*.deb")
        fresh = Path(tempfile.mkdtemp(prefix=f"{_CACHE.name}-", dir=_CACHE.parent))
        _run(["dpkg-deb", "--extract", str(package), str(fresh)], folder)
    try:
        fresh.rename(_CACHE)
    except OSError:
        # Another process of the tests was first.
        shutil.rmtree(fresh)


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")

"""Debian's libfaketime, by which a process sees another time of day: taken from the system, or unpacked once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.debian import unpacked

_NAME = "libfaketimeMT.so.1"


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
    """Where it lies. See `unpacked` for where it can't be had."""
    pattern = f"usr/lib/**/faketime/{_NAME}"
    return next(Path("/").glob(pattern), None) or unpacked("libfaketime", pattern)

"""Prometheus and promtool as Debian packages them: taken from the system, or unpacked once."""

from __future__ import annotations

import shutil
from functools import cache

from tests.debian import unpacked


@cache
def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; both programs need libc alone. See `unpacked` for where they can't be
    had."""
    return shutil.which(name) or str(unpacked("prometheus", f"usr/bin/{name}"))

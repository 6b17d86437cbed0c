"""Where the CPU of the loop goes: Python's stacks as py-spy samples them, and PostgreSQL's statements at work."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg

_RATE = 50
"""Samples a second: py-spy stops a process while it looks."""
_LOOK_SECONDS = 0.02
_MOST = 25
_START = ("shadow/__main__", "shadow/cli/", "shadow/service")
"""What every stack of a process of Shadow's begins with."""
_OURS = ("shadow/", "api/", "comparators/")
_ACTIVE = """
SELECT application_name, left(regexp_replace(query, '\\s+', ' ', 'g'), 110),
       CASE WHEN wait_event IS NULL THEN 'cpu' ELSE wait_event END
FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def program() -> str | None:
    """py-spy's path; None where it is not installed (`pip install py-spy`)."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


class Profile:
    """Samples some processes and a database at once."""

    def __init__(self, processes: Mapping[str, int], url: str, folder: Path) -> None:
        self._processes = processes
        self._url = url
        self._folder = folder
        self.figures: dict[str, Any] = {}

    async def take(self, seconds: float) -> None:
        """Sample for that long; `figures` has what was seen."""
        await asyncio.gather(
            *(self._sample(name, pid, seconds) for name, pid in self._processes.items()),
            asyncio.to_thread(self._statements, seconds),
        )

    async def _sample(self, name: str, pid: int, seconds: float) -> None:
        spy = program()
        if spy is None:
            self.figures[name] = "py-spy is not installed"
            return
        output = self._folder / f"{name}.stacks"
        arguments = ["record", "--format", "raw", "--full-filenames", "--rate", str(_RATE)]
        arguments += ["--duration", str(max(int(seconds), 1)), "--pid", str(pid), "--output", str(output)]
        running = await asyncio.create_subprocess_exec(
            spy, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _out, said = await running.communicate()
        if running.returncode != 0:
            self.figures[name] = said.decode()[-300:]
            return
        self.figures[name] = summary(output.read_text().splitlines())

    def _statements(self, seconds: float) -> None:
        """Which statements were at work, in shares of one core: what waits for a lock or the disk is said apart."""
        seen: Counter[tuple[str, str]] = Counter()
        waits: Counter[str] = Counter()
        until, looks = time.perf_counter() + seconds, 0
        with psycopg.connect(self._url, autocommit=True, application_name="bench") as connection:
            while time.perf_counter() < until:
                looks += 1
                for name, query, wait in connection.execute(_ACTIVE).fetchall():
                    waits[wait] += 1
                    if wait == "cpu":
                        seen[name, query] += 1
                time.sleep(_LOOK_SECONDS)
        self.figures["statements"] = {
            f"{name}: {query}": round(count / looks, 3) for (name, query), count in seen.most_common(_MOST)
        }
        self.figures["waits"] = {name: round(count / looks, 3) for name, count in waits.most_common(12)}


def summary(stacks: Iterable[str]) -> dict[str, dict[str, float]]:
    """What stacks say, in percent of all samples. Pure.

    Args:
        stacks: as py-spy writes them raw: `frame;frame;... count`, outermost first, a frame as `function (file:line)`.

    Returns:
        `loops`: by the outermost module of Shadow's own, which says for what it was done; `modules`: by the innermost
        of Shadow's own; `functions`: by the function that was at work, whosever it is.
    """
    loops: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        ours = [place for frame in frames if (place := _own(frame)) is not None and not place.startswith(_START)]
        loops[ours[0] if ours else "-"] += int(count)
        modules[ours[-1] if ours else "-"] += int(count)
        functions[_short(frames[-1])] += int(count)
    total = sum(loops.values()) or 1
    return {
        name: {key: round(100 * count / total, 1) for key, count in counter.most_common(_MOST)}
        for name, counter in (("loops", loops), ("modules", modules), ("functions", functions))
    }


def _own(frame: str) -> str | None:
    """The module of Shadow's that a frame is of, below the repository; None for anybody else's."""
    place = _place(frame)
    if "site-packages" in place:
        return None
    for folder in _OURS:
        _before, mark, after = place.partition(f"/{folder}")
        if mark:
            return (mark[1:] + after).rpartition(":")[0]
    return None


def _place(frame: str) -> str:
    return frame.rpartition(" (")[2].rstrip(")")


def _short(frame: str) -> str:
    """The function with its file, without the folders above the package and without the line."""
    function, _, place = frame.rpartition(" (")
    path = place.rstrip(")").rpartition(":")[0]
    return f"{function} ({'/'.join(path.split('/')[-2:])})"

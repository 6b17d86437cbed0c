"""What the processes of the loop spend: CPU of each, PostgreSQL's by what its backends are for, and memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

_NAMES = "SELECT pid, coalesce(nullif(application_name, ''), backend_type) FROM pg_stat_activity"
MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Meter:
    """Reads /proc.

    Args:
        processes: by what they are called.
        postmaster: whose children are PostgreSQL's other processes.
    """

    processes: Mapping[str, int]
    postmaster: int
    _peaks: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def cpu(self) -> dict[str, float]:
        """Seconds of user and system time so far; of `postgres` all its processes together, the ended ones too."""
        spent = {name: _seconds(pid) for name, pid in self.processes.items()}
        children = [child.pid for child in psutil.Process(self.postmaster).children()]
        spent["postgres"] = _seconds(self.postmaster, ended=True) + sum(_seconds(pid) for pid in children)
        return spent

    def backends(self, connection: psycopg.Connection[tuple[int, str]]) -> dict[str, float]:
        """Seconds so far of PostgreSQL's living processes, by the pool whose they are."""
        spent: dict[str, float] = defaultdict(float)
        for pid, name in connection.execute(_NAMES).fetchall():
            spent[str(name)] += _seconds(int(pid))
        return spent

    def look_at_memory(self) -> None:
        """Remember how much memory PostgreSQL has now; the others' peaks the kernel knows."""
        pids = [self.postmaster, *(child.pid for child in psutil.Process(self.postmaster).children())]
        total = sum(_proportional(pid) for pid in pids)
        self._peaks["postgres"] = max(self._peaks["postgres"], total)

    def peaks(self) -> dict[str, float]:
        """MiB at most: of `postgres` its shared memory once, as it was looked at now and then."""
        for name, pid in self.processes.items():
            self._peaks[name] = _peak(pid)
        return {name: round(peak / MEBIBYTE, 1) for name, peak in sorted(self._peaks.items())}


def difference(before: Mapping[str, float], after: Mapping[str, float], thousands: float) -> dict[str, float]:
    """What was spent in between, for each thousand events; dearest first."""
    spent = {name: round((seconds - before.get(name, 0.0)) / thousands, 3) for name, seconds in after.items()}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _seconds(pid: int, *, ended: bool = False) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    spent = times.user + times.system
    return float(spent + times.children_user + times.children_system if ended else spent)


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024


def _proportional(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0

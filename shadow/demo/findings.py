"""What the demo found, read from the service's API as anybody would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from shadow.demo.witness import later, testimony
from shadow.store.database import Database


@dataclass(frozen=True, slots=True)
class TaskFinding:
    """One task's line of the table."""

    events: int
    pairs: int
    match: int
    mismatch: int
    missing: int
    not_comparable: int
    pending: int
    parity: float | None
    fault: str | None
    """The fault that its candidate was given."""
    expected: int
    """Events that the load brought it: none may be missing, and none be there twice."""
    scheduled: int = 0
    """Further pairs, of children that its runs and others' emitted, whose runs start on a later day."""
    leaks: int = 0
    """Writes of its runs without authority that reached a target."""
    dispositions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Side -> disposition -> calls through the gateway."""
    containment: str = "none"
    """Why it might enter the dual run: proven or declared."""

    @property
    def complete(self) -> bool:
        """Every event of the load has one pair, and every pair its verdict."""
        return self.events == self.pairs == self.expected > 0 and self.pending == 0

    @property
    def full(self) -> bool:
        """Every verdict is a match."""
        return self.complete and self.pairs == self.match

    def as_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "expected"}


@dataclass(frozen=True, slots=True)
class SignatureFinding:
    """One difference, over all pairs that show it."""

    id: str
    task: str
    kind: str
    severity: str
    pairs: int
    sentence: str

    def as_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Findings:
    tasks: Mapping[str, TaskFinding]
    signatures: Sequence[SignatureFinding]
    """Worst first."""
    leaks: int
    """Writes without authority that reached a target, as Shadow noticed or as the targets' own books show."""
    writes: int
    """In the targets' own books."""

    @property
    def ok(self) -> bool:
        """The faulted tasks, and only they, fell short; no event is missing, nothing leaked, and nothing is left to
        judge."""
        return (
            bool(self.tasks)
            and self.leaks == 0
            and all(finding.complete and finding.full == (finding.fault is None) for finding in self.tasks.values())
        )

    def as_json(self) -> dict[str, object]:
        return {
            "ok": self.ok,
            "leaks": self.leaks,
            "writes": self.writes,
            "tasks": {task: finding.as_json() for task, finding in self.tasks.items()},
            "signatures": [signature.as_json() for signature in self.signatures],
        }


class Inspector:
    """Asks the control API, and the witness what the API does not say."""

    def __init__(
        self,
        control_url: str,
        token: str,
        database: Database,
        stage_url: str,
        faults: Mapping[str, str],
        expected: Mapping[str, int],
    ) -> None:
        """
        Args:
            stage_url: where the targets' books are.
            faults: task -> the fault its candidate was given.
            expected: task -> how many events the load brings it.
        """
        self._http = httpx.AsyncClient(
            base_url=control_url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30
        )
        self._database = database
        self._stage_url = stage_url
        self._faults = faults
        self._expected = expected

    async def close(self) -> None:
        await self._http.aclose()

    async def _get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        answer = await self._http.get(path, params=parameters)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def tasks(self) -> dict[str, TaskFinding]:
        """Every task as it stands now. What starts on a later day is counted apart."""
        items = (await self._get("/v1/tasks"))["items"]
        scheduled = await later(self._database)
        return {item["task"]: self._finding(item["task"], item["counts"], scheduled) for item in items}

    def _finding(self, task: str, counts: Mapping[str, Any], scheduled: Mapping[str, int]) -> TaskFinding:
        waiting = scheduled.get(task, 0)
        return TaskFinding(
            events=counts["events"] - waiting,
            pairs=counts["pairs"] - waiting,
            match=counts["match"],
            mismatch=counts["mismatch"],
            missing=counts["missing_candidate"] + counts["missing_legacy"],
            not_comparable=counts["not_comparable"],
            pending=counts["pending"] - waiting,
            parity=counts["parity"],
            fault=self._faults.get(task),
            expected=self._expected.get(task, 0),
            scheduled=waiting,
        )

    async def findings(self) -> Findings:
        signatures = [
            SignatureFinding(item["id"], item["task"], item["kind"], item["severity"], item["pairs"], item["sentence"])
            for item in (await self._get("/v1/signatures", limit=100))["items"]
        ]
        severities = ["critical", "major", "minor"]
        signatures.sort(key=lambda signature: (severities.index(signature.severity), -signature.pairs))
        seen = await testimony(self._database, self._stage_url)
        tasks = {
            task: replace(
                finding,
                leaks=seen.leaks.get(task, 0),
                dispositions=seen.dispositions.get(task, {}),
                containment=(await self._get(f"/v1/tasks/{task}/containment", limit=1))["state"],
            )
            for task, finding in (await self.tasks()).items()
        }
        return Findings(tasks, signatures, seen.leaked, seen.writes)

    async def until_judged(self, *, patience: float, progress: Callable[[int, int], None]) -> dict[str, TaskFinding]:
        """Wait until every event of the load has a pair and every pair a verdict.

        Args:
            patience: seconds after which the state as it is then is returned.
            progress: told (pairs judged, events) each time.
        """
        until = time.monotonic() + patience
        events = sum(self._expected.values())
        while True:
            tasks = await self.tasks()
            judged = sum(finding.pairs - finding.pending for finding in tasks.values())
            progress(judged, events)
            waiting = sum(finding.pending + finding.events - finding.pairs for finding in tasks.values())
            if (judged >= events and waiting == 0) or time.monotonic() > until:
                return tasks
            await asyncio.sleep(0.25)

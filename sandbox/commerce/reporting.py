"""Reporting: what a run did, told to Shadow at `POST /shadow/effects`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import orjson
import structlog
import uuid_utils.compat

_log = structlog.get_logger(__name__)

_RETRIED = frozenset({408, 425, 429})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0
MOST_CONNECTIONS = 16
"""To one place at a time: a pool of many costs more than it gains on a loopback."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing done to the outside world. The id is made here once, so that reporting it again is harmless."""

    kind: str
    """http, email, sql or event."""
    target: str
    operation: str
    identity: str | None
    data: Any
    idempotency_key: str | None = None
    occurred_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    id: uuid.UUID = field(default_factory=uuid_utils.compat.uuid7)


class Reports(Protocol):
    """Takes what runs did."""

    async def send(self, run: str, task: str, attempt: int, effects: Sequence[Effect]) -> None:
        """Take the effects of one attempt (from 1) of a run; returns when they are safe."""


class Reporter:
    """Reports to a front. One call a step or attempt, awaited before the step ends: the outcome never overtakes it."""

    def __init__(self, front_url: str, key: str, *, patience: float = 300.0) -> None:
        """`key` tells the side. `patience`: seconds for which a front that does not answer is asked again."""
        self.lost: list[str] = []
        """Ids of effects that could not be reported: not empty means that a ledger is incomplete."""
        self._patience = patience
        self._client = httpx.AsyncClient(
            base_url=front_url,
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            timeout=httpx.Timeout(30.0, pool=None),
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, run: str, task: str, attempt: int, effects: Sequence[Effect]) -> None:
        """Report until the front has taken the effects.

        Never raises for what the front does: a run must not be repeated, and do everything twice, because telling
        about it failed. What could not be told is in `lost` and in the log.
        """
        if not effects:
            return
        body = {"run": run, "task": task, "attempt": attempt, "effects": [asdict(effect) for effect in effects]}
        content = orjson.dumps(body)
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + self._patience, _FIRST_DELAY
        while True:
            problem = await self._post(content)
            if problem is None:
                return
            if problem.final or loop.time() + delay > deadline:
                break
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        self.lost.extend(str(effect.id) for effect in effects)
        _log.error("commerce.report_lost", run=run, task=task, effects=len(effects), reason=problem.reason)

    async def _post(self, content: bytes) -> _Problem | None:
        try:
            response = await self._client.post("/shadow/effects", content=content)
        except httpx.HTTPError as error:
            return _Problem(type(error).__name__, final=False)
        if response.is_success:
            return None
        final = response.status_code < 500 and response.status_code not in _RETRIED
        return _Problem(f"HTTP {response.status_code}", final)


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: str
    final: bool


class Recorder:
    """Collects the effects of one attempt of a run (legacy) or of one step (candidate), then reports them."""

    def __init__(self, reports: Reports, run: str, task: str, attempt: int) -> None:
        self._reports = reports
        self._run = run
        self._task = task
        self._attempt = attempt
        self._effects: list[Effect] = []

    def add(self, effect: Effect) -> None:
        """Note one effect."""
        self._effects.append(effect)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report, also what was done before something failed."""
        effects, self._effects = self._effects, []
        await self._reports.send(self._run, self._task, self._attempt, effects)

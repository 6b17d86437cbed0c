"""Telling Shadow: effects that nobody else sees, and what the guard knows."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from shadow.capture.run import Run
from shadow.capture.settings import Settings

_log = logging.getLogger("shadow.capture")
_RETRIED = frozenset({408, 425, 429})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


@dataclass(frozen=True)
class _Problem:
    reason: str
    final: bool


class Reports:
    """Sends reports until they are taken. Never raises for what the front does.

    A run must not be repeated, and do everything twice, because telling about it failed: what could not be told is
    logged and counted in `lost`.
    """

    def __init__(self, settings: Settings) -> None:
        self.lost = 0
        """Effects that could not be reported: not 0 means that a ledger is incomplete."""
        self._settings = settings
        self._sync: httpx.Client | None = None
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def possible(self) -> bool:
        """Whether there is a key to report effects with."""
        return self._settings.report_key is not None

    def flush(self, run: Run) -> None:
        """Report what the run did since it was last asked."""
        effects, run.effects = run.effects, []
        if effects:
            self._lost(effects, self.send("/shadow/effects", _body(run, effects)))

    async def flush_async(self, run: Run) -> None:
        """Report what the run did since it was last asked."""
        effects, run.effects = run.effects, []
        if effects:
            self._lost(effects, await self.send_async("/shadow/effects", _body(run, effects)))

    def send(self, path: str, body: Any, *, patience: float | None = None) -> bool:
        """Send one report; False when it was not taken."""
        content = json.dumps(body, separators=(",", ":")).encode()
        if self._sync is None:
            self._sync = httpx.Client(**self._options())
        deadline, delay = time.monotonic() + self._patience(patience), _FIRST_DELAY
        while True:
            try:
                problem = _problem(self._sync.post(path, content=content))
            except httpx.HTTPError as error:
                problem = _Problem(type(error).__name__, final=False)
            if problem is None:
                return True
            if problem.final or time.monotonic() + delay > deadline:
                _log.error("shadow report to %s lost: %s", path, problem.reason)
                return False
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def send_async(self, path: str, body: Any, *, patience: float | None = None) -> bool:
        """Send one report; False when it was not taken."""
        content = json.dumps(body, separators=(",", ":")).encode()
        loop = asyncio.get_running_loop()
        client = self._async.get(loop)
        if client is None:
            client = self._async[loop] = httpx.AsyncClient(**self._options())
        deadline, delay = loop.time() + self._patience(patience), _FIRST_DELAY
        while True:
            try:
                problem = _problem(await client.post(path, content=content))
            except httpx.HTTPError as error:
                problem = _Problem(type(error).__name__, final=False)
            if problem is None:
                return True
            if problem.final or loop.time() + delay > deadline:
                _log.error("shadow report to %s lost: %s", path, problem.reason)
                return False
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def get(self, path: str) -> Any:
        """What the front answers there. Raises httpx.HTTPError when it does not."""
        with httpx.Client(**self._options()) as client:
            return client.get(path).raise_for_status().json()

    def close(self) -> None:
        """Close the connections of synchronous reports."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of synchronous reports."""
        self.close()
        client = self._async.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _patience(self, told: float | None) -> float:
        return self._settings.report_patience if told is None else told

    def _options(self) -> dict[str, Any]:
        key = self._settings.report_key or self._settings.key
        return {
            "base_url": self._settings.gateway_url,
            "headers": {"authorization": f"Bearer {key}", "content-type": "application/json"},
            "timeout": httpx.Timeout(30.0, pool=None),
            "limits": httpx.Limits(max_connections=16),
            "follow_redirects": False,
            "trust_env": False,
        }

    def _lost(self, effects: Sequence[object], taken: bool) -> None:
        if not taken:
            self.lost += len(effects)


def _body(run: Run, effects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {**run.marks(), "effects": list(effects)}


def _problem(response: httpx.Response) -> _Problem | None:
    if response.is_success:
        return None
    final = response.status_code < 500 and response.status_code not in _RETRIED
    return _Problem(f"HTTP {response.status_code} {response.text[:200]}", final)

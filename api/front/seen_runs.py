"""Issued runs as their own platform shows them: whether one has begun, and what it returned.

Shadow learns how runs end, and keeps of what they return a redacted copy only. A client that looks again and again
costs the platform one request a second for each run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import structlog

from api.front.services import FrontServices
from shadow.catalogue.model import InngestPlatform
from shadow.fanout.issued import IssuedRun
from shadow.platforms.client import TooLarge
from shadow.platforms.inngest_api import InngestApi, Refused

log = structlog.get_logger(__name__)

_SECONDS = 1.0
_MOST = 10_000
_FAILURES = (Refused, httpx.HTTPError, TimeoutError, TooLarge, ValueError)


class SeenRuns:
    """Asks the candidate's platform."""

    def __init__(self, services: FrontServices) -> None:
        self._services = services
        self._begun: dict[UUID, float] = {}
        """Until when (seconds) a run that had not begun is not asked for again; infinite for one that has."""

    async def output(self, run: IssuedRun) -> Mapping[str, Any] | None:
        """`output` of a run that has completed, if it returned anything. None while that can't be told."""
        api = self._api(run)
        if api is None or run.execution.platform_run is None:
            return None
        try:
            told = await api.run(run.execution.platform_run)
        except _FAILURES as error:
            log.warning("front.issued_unread", run=str(run.event), error=type(error).__name__)
            return None
        output = told.get("output")
        return {} if output is None else {"output": output}

    async def has_begun(self, run: IssuedRun) -> bool:
        """Whether a run that has not ended is under way there."""
        execution = run.execution
        if execution.state != "sent" or execution.status is not None or run.upstream_event is None:
            return False
        until, now = self._begun.get(run.event, 0.0), time.monotonic()
        if now < until:
            return until == float("inf")
        api = self._api(run)
        if api is None:
            return False
        try:
            begun = bool(await api.event_runs(run.upstream_event))
        except _FAILURES:
            begun = False
        if len(self._begun) >= _MOST:
            self._begun.clear()
        self._begun[run.event] = float("inf") if begun else now + _SECONDS
        return begun

    def _api(self, run: IssuedRun) -> InngestApi | None:
        platform = self._services.catalogue.platforms.get(run.execution.platform or "")
        return InngestApi(platform, self._services.http) if isinstance(platform, InngestPlatform) else None

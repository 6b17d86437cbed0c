"""Trigger.dev's REST API, as far as Shadow calls it: paths, headers, one method a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from shadow.catalogue.model import TriggerPlatform
from shadow.platforms.client import Answer, carry
from shadow.platforms.climbing import NOBODY, climbs
from shadow.platforms.json_text import read_json
from shadow.platforms.packet_store import PacketStore
from shadow.platforms.resolving import Lookup, system

API_VERSION = "2025-07-16"
"""Without it, reads speak an older vocabulary of statuses (reference 3.2)."""
_REPLACED = frozenset({"authorization", "idempotency-key"})
_MOST_ANSWER = 32 * 1024 * 1024

Json = Mapping[str, Any]
"""An object of the platform's, as it came."""


class Refused(Exception):
    """The platform answered, and not with what was asked for. `answer` is what it said."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}: {problem(answer)}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the run list, newest first; `after` is the cursor of the next one."""

    runs: tuple[Json, ...]
    after: str | None
    answer: Answer


def problem(answer: Answer) -> str:
    """What the platform says is wrong; at most 300 characters, nothing of what was sent."""
    try:
        body = read_json(answer.body)
    except ValueError:
        return "no JSON in the answer"
    said = body.get("error") or body.get("detail") or body.get("message") if isinstance(body, dict) else None
    return str(said or "no reason given")[:300]


class TriggerApi:
    """The calls, with the platform's own key. All raise httpx.TransportError and TimeoutError as they come."""

    def __init__(self, platform: TriggerPlatform, http: httpx.AsyncClient, *, lookup: Lookup = system) -> None:
        self._base = platform.url.rstrip("/")
        self._timeout: timedelta = platform.timeout
        self._http = http
        self._store = PacketStore(
            platform.url, http, platform.timeout, _MOST_ANSWER, private=platform.private_store, lookup=lookup
        )
        self._headers = (
            ("authorization", f"Bearer {platform.secret_key.get_secret_value()}"),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", "shadow"),
            ("x-trigger-api-version", API_VERSION),
        )

    async def trigger(self, task: str, body: bytes, key: str) -> Answer:
        """Start a run, or find the one that the key stands for."""
        return await self._call("POST", _trigger_path(task), body, (*self._headers, ("idempotency-key", key)))

    async def trigger_again(self, task: str, body: bytes, headers: Sequence[tuple[str, str]], key: str) -> Answer:
        """Repeat a producer's own call, byte for byte.

        Its credential is not kept with the event, and might have been a token for one use only: the platform's
        own key takes its place.
        """
        sent = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
        sent.append(self._headers[0])
        sent.append(("idempotency-key", key))
        return await self._call("POST", _trigger_path(task), body, sent)

    async def batch(self, items: bytes) -> Answer:
        """Start several runs at once by the path whose answer names them (reference 2.2)."""
        return await self._call("POST", "/api/v1/tasks/batch", items, self._headers)

    async def cancel(self, run: str) -> Answer:
        return await self._call("POST", f"/api/v2/runs/{quote(run, safe='')}/cancel", b"", self._headers)

    async def retrieve(self, run: str) -> tuple[Json, Answer]:
        """One run, with its output or error.

        Raises:
            Refused: any answer but the run; 404 also while the run has not reached the replica.
        """
        answer = await self._call("GET", f"/api/v3/runs/{quote(run, safe='')}", b"", self._headers)
        return _object(answer), answer

    async def trace(self, run: str) -> Json:
        """The trace of a run, with the spans of all runs that share it.

        Raises:
            Refused: any answer but a trace; 404 while the platform has no spans yet, and for good where the producer
                sent a `traceparent` of its own.
        """
        return _object(await self._call("GET", f"/api/v1/runs/{quote(run, safe='')}/trace", b"", self._headers))

    async def list(
        self,
        *,
        tasks: Sequence[str],
        since: datetime,
        until: datetime | None = None,
        statuses: Sequence[str] = (),
        after: str | None = None,
    ) -> Page:
        """One page of the runs of those tasks created since then, newest first.

        The list lags behind, and without a time it would silently reach back seven days only (reference 3.5).

        Raises:
            Refused: any answer but a list.
        """
        query = {
            "page[size]": "100",
            "filter[taskIdentifier]": ",".join(tasks),
            "filter[createdAt][from]": str(int(since.timestamp() * 1000)),
        }
        if until is not None:
            query["filter[createdAt][to]"] = str(int(until.timestamp() * 1000))
        if statuses:
            query["filter[status]"] = ",".join(statuses)
        if after:
            query["page[after]"] = after
        answer = await self._call("GET", f"/api/v1/runs?{urlencode(query)}", b"", self._headers)
        body = _object(answer)
        runs = body.get("data")
        if not isinstance(runs, list):
            raise Refused(answer)
        following = body.get("pagination")
        cursor = following.get("next") if isinstance(following, dict) else None
        return Page(tuple(run for run in runs if isinstance(run, dict)), cursor or None, answer)

    async def packet_url(self, path: str) -> str:
        """The address, good for some minutes, of what lies at `path` in the store of the environment.

        Raises:
            Refused: any answer but an address.
        """
        answer = await self._call("GET", f"/api/v1/packets/{quote(path, safe='')}", b"", self._headers)
        url = _object(answer).get("presignedUrl")
        if not isinstance(url, str):
            raise Refused(answer)
        return url

    async def packet(self, url: str) -> Answer:
        """A payload or output that was too large to stand in the run, from the store it lies in.

        Raises:
            Refused: the store's answer was not 200.
            ValueError: the address is none that a store may have.
        """
        answer = await self._store.read(url)
        if answer.status != 200:
            raise Refused(answer)
        return answer

    async def _call(self, method: str, path: str, body: bytes, headers: Sequence[tuple[str, str]]) -> Answer:
        if climbs(path):
            return NOBODY
        return await carry(
            self._http, method, self._base + path, headers, body, within=self._timeout, most=_MOST_ANSWER
        )


def _trigger_path(task: str) -> str:
    return f"/api/v1/tasks/{quote(task, safe='')}/trigger"


def _object(answer: Answer) -> Json:
    if answer.status != 200:
        raise Refused(answer)
    try:
        body = read_json(answer.body)
    except ValueError:
        raise Refused(answer) from None
    if not isinstance(body, dict):
        raise Refused(answer)
    return body

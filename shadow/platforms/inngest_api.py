"""Inngest's event API and run API, as far as Shadow calls them; each call knows the traps of its route."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from shadow.catalogue.model import InngestPlatform
from shadow.catalogue.signing_key import hashed_signing_key
from shadow.model.ids import new_id
from shadow.platforms.client import Answer, carry
from shadow.platforms.climbing import NOBODY, climbs
from shadow.platforms.json_text import read_json

_MOST_ANSWER = 64 * 1024 * 1024

Json = Mapping[str, Any]
"""An object of the platform's, as it came."""


class Refused(Exception):
    """The platform answered with an error; `status` is what its body says, if it says anything."""

    def __init__(self, status: int, reason: str, answer: Answer) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.answer = answer


class InngestApi:
    """The calls. All raise httpx.TransportError and TimeoutError as they come."""

    def __init__(self, platform: InngestPlatform, http: httpx.AsyncClient) -> None:
        """
        Raises:
            ValueError: the platform's signing key is no key.
        """
        self._events = f"{platform.event_url.rstrip('/')}/e/{quote(platform.event_key.get_secret_value(), safe='')}"
        self._base = platform.api_url.rstrip("/")
        self._timeout: timedelta = platform.timeout
        self._http = http
        self._headers: tuple[tuple[str, str], ...] = (
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", "shadow"),
        )
        self._bearer: tuple[tuple[str, str], ...] = ()
        if platform.signing_key is not None:
            hashed = hashed_signing_key(platform.signing_key.get_secret_value())
            self._bearer = (("authorization", f"Bearer {hashed}"),)
        # Answers of the run API are cached by their full URL, an empty one for 15 seconds (reference 2.4): no two
        # requests of ours, of any process, have the same.
        self._process = new_id().hex
        self._count = itertools.count()

    async def send(self, events: bytes, seed: str | None) -> Answer:
        """Send a JSON array of events; the seed fixes their internal ids (reference 1.4)."""
        headers = [*self._headers, ("content-type", "application/json")]
        if seed is not None:
            headers.append(("x-inngest-event-id-seed", seed))
        return await carry(self._http, "POST", self._events, headers, events, within=self._timeout, most=_MOST_ANSWER)

    async def event_runs(self, upstream_id: str) -> list[Json]:
        """The runs that an event started, as far as they are visible; their statuses are not to be trusted.

        Raises:
            Refused: any answer but a list.
        """
        return await self._list(f"/v1/events/{quote(upstream_id, safe='')}/runs")

    async def run(self, run_id: str) -> Json:
        """One run: what decides whether it has ended.

        Raises:
            Refused: any answer but a run; the body's status is 500 for a run that is not known (reference 2.4).
        """
        body = await self._get(f"/v1/runs/{quote(run_id, safe='')}")
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, dict):
            raise Refused(0, "the answer holds no run", Answer(200, (), b""))
        return data

    async def trace(self, run_id: str) -> Json:
        """What a run was made of: its root span, with a span of each step below it.

        Of the v2 API, whose errors have true codes: 404 for a run that is not known, 501 where a server keeps no traces
        (reference 2.6; the shape as in the source of `GetFunctionTrace`).

        Raises:
            Refused: any answer but a trace.
        """
        body = await self._get(f"/v2/runs/{quote(run_id, safe='')}/trace")
        data = body.get("data") if isinstance(body, dict) else None
        root = data.get("rootSpan") if isinstance(data, dict) else None
        if not isinstance(root, dict):
            raise Refused(0, "the answer holds no trace", Answer(200, (), b""))
        return root

    async def event(self, internal_id: str) -> Json:
        """An event by the platform's own id, also one that the platform itself has sent.

        Raises:
            Refused: any answer but an event.
        """
        body = await self._get(f"/v1/events/{quote(internal_id, safe='')}")
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, dict):
            raise Refused(0, "the answer holds no event", Answer(200, (), b""))
        return data

    async def functions(self, app: str) -> list[Json]:
        """An app's functions: `internal_id` is the UUID that runs name, `id` the slug.

        Raises:
            Refused: any answer but a list.
        """
        return await self._list(f"/v1/apps/{quote(app, safe='')}/functions")

    async def cancel(self, run_id: str) -> Answer:
        """Cancel a run; repeating it is harmless."""
        path = f"/v1/runs/{quote(run_id, safe='')}"
        if climbs(path):
            return NOBODY
        return await carry(
            self._http,
            "DELETE",
            self._base + path,
            (*self._headers, *self._bearer),
            b"",
            within=self._timeout,
        )

    async def _list(self, path: str) -> list[Json]:
        body = await self._get(path)
        data = body.get("data") if isinstance(body, dict) else body
        if not isinstance(data, list):
            raise Refused(0, "the answer holds no list", Answer(200, (), b""))
        return [item for item in data if isinstance(item, dict)]

    async def _get(self, path: str) -> object:
        if climbs(path):
            raise Refused(NOBODY.status, "no such name", NOBODY)
        url = f"{self._base}{path}?n={self._process}{next(self._count)}"
        answer = await carry(
            self._http,
            "GET",
            url,
            (*self._headers, *self._bearer),
            b"",
            within=self._timeout,
            most=_MOST_ANSWER,
        )
        try:
            body: object = read_json(answer.body)
        except ValueError:
            raise Refused(answer.status, "no JSON in the answer", answer) from None
        # Errors come as HTTP 200 too; then only the body tells.
        status = body.get("status") if isinstance(body, dict) else None
        error = body.get("error") if isinstance(body, dict) else None
        if answer.status != 200 or error:
            raise Refused(status if isinstance(status, int) else answer.status, str(error)[:300], answer)
        return body

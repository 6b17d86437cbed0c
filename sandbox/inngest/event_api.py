"""The event API: `POST /e/{key}` and `POST /invoke/{slug}`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.inngest.decoding import decode_events
from sandbox.inngest.durations import millis
from sandbox.inngest.events import Event
from sandbox.inngest.identifiers import Seed, new_trace_id, new_ulid, parse_seed, seeded_ulid
from sandbox.inngest.runs import RunRecord
from sandbox.inngest.system_events import invocation
from sandbox.inngest.traps import Traps

TEXT = "text/plain; charset=utf-8"
"""The real server sets no content type on the answer to events, which makes it text."""


def go_json(content: Any, status: int, media_type: str = "application/json") -> Response:
    """JSON as Go's encoder writes it: with a line end, which some clients' content-length checks notice."""
    return Response(orjson.dumps(content) + b"\n", status, media_type=media_type)


class EventApi:
    """Accepts events. `event_keys` None takes any key, as the development server does."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        traps: Traps,
        event_keys: frozenset[str] | None,
        accept: Callable[[Event], list[RunRecord]],
    ) -> None:
        self._clock = clock
        self._traps = traps
        self._event_keys = event_keys
        self._accept = accept

    async def send(self, request: Request) -> Response:
        if self._traps.strike("sends_rate_limited"):
            headers = {} if self._traps.retry_after is None else {"retry-after": str(self._traps.retry_after)}
            reply = go_json({"error": "rate limited", "status": 429}, 429)
            reply.headers.update(headers)
            return reply
        if self._traps.strike("sends_unavailable"):
            return Response("upstream connect error", 503, media_type=TEXT)
        if self._event_keys is not None and request.path_params["key"] not in self._event_keys:
            return go_json({"status": 401, "message": "", "error": "Event key not found"}, 401)
        reply = self._receive(await request.body(), parse_seed(request.headers.get("x-inngest-event-id-seed")))
        if self._traps.strike("answers_lost"):
            return Response("bad gateway", 502, media_type=TEXT)
        return reply

    def _receive(self, body: bytes, seed: Seed | None) -> Response:
        """Accept events up to the first bad one; those before it stay accepted."""
        ids: list[str] = []
        try:
            for fields in decode_events(body):
                internal_id = seeded_ulid(seed, len(ids)) if seed else new_ulid(millis(self._clock()))
                self._accept(self._event(fields, internal_id))
                ids.append(internal_id)
        except ValueError as error:
            return go_json({"ids": ids or [""], "status": 400, "error": str(error)}, 400, TEXT)
        return go_json({"ids": ids or [""], "status": 200}, 200, TEXT)

    def _event(self, fields: dict[str, Any], internal_id: str) -> Event:
        now = self._clock()
        return Event(
            internal_id=internal_id,
            id=fields.get("id") or internal_id,
            name=fields["name"],
            data=fields.get("data"),
            ts=fields["ts"] or millis(now),
            received_at=now,
            trace_id=new_trace_id(),
            user=fields.get("user"),
            v=fields.get("v"),
            meta=fields.get("meta"),
        )

    async def invoke(self, request: Request) -> Response:
        """Start one function by its slug; the body is an event whose name does not matter."""
        try:
            payload = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            payload = None
        if not isinstance(payload, dict) or not isinstance(payload.get("data") or {}, dict):
            return go_json({"error": "Unable to read post data request", "data": None, "status": 400}, 400)
        event = invocation(request.path_params["slug"], payload, self._clock())
        self._accept(event)
        return go_json({"id": event.internal_id, "status": 200}, 200, TEXT)

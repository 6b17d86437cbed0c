"""The front listener of a process that started while the database was away: what of it is open yet."""

from __future__ import annotations

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front.application import FrontApp, Reply
from api.front.exchange import JSON_HEADERS, RawHeaders, respond, retry_headers

_EGRESS = "/egress/"
"""What a run does is let through for what is known of the run, and nothing is without the database."""
_HEADERS: RawHeaders = (*JSON_HEADERS, (b"x-should-retry", b"true"))
"""Trigger.dev's SDK asks for more than a status."""
JUST_STARTED = "the process has just started"
SINCE_START = "the database has been away since the process started"


class Opening:
    """In front of the doors until the database has been there.

    Doors that can decide are open, and spool. All else is told to come again, in a body that every kind of caller
    reads: Inngest's wants `status`, the others `error` or `detail`.
    """

    def __init__(self) -> None:
        self._open: ASGIApp | None = None
        self._is_whole = False
        self._why = JUST_STARTED
        self._without: tuple[ASGIApp | None, str] = (None, JUST_STARTED)
        """What is open without the database, and why no more."""

    def decided(self, doors: ASGIApp) -> None:
        """The doors are open, by decisions that are on this machine. The gateway is not."""
        self._without = doors, SINCE_START
        self.reopen()

    def undecided(self, why: str) -> None:
        """Nothing is taken, health checks included: a balancer looks for another process."""
        self._without = None, f"{SINCE_START}: {why}"
        self.reopen()

    def shut(self, why: str) -> None:
        """Nothing is taken for a moment."""
        self._open, self._is_whole, self._why = None, False, why

    def reopen(self) -> None:
        """As it was before it was shut: the database was there for a moment only."""
        self._open, self._why = self._without
        self._is_whole = False

    def whole(self, doors: ASGIApp) -> None:
        """Everything is open."""
        self._open, self._is_whole = doors, True

    def direct(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """What the doors take without a task, while they are open (`FrontApp.direct`)."""
        return isinstance(self._open, FrontApp) and self._open.direct(scope, body, reply)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._open is not None and (self._is_whole or not scope["path"].startswith(_EGRESS)):
            await self._open(scope, receive, send)
            return
        body = {"type": "about:blank", "title": "Service Unavailable", "status": 503}
        await respond(
            send, 503, orjson.dumps({**body, "detail": self._why, "error": self._why}), retry_headers(_HEADERS)
        )

"""Slack's Web API, as far as messages are posted with `chat.postMessage`."""

from __future__ import annotations

import itertools
import time
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from sandbox.targets.books import Books
from sandbox.targets.conduct import Conduct
from sandbox.targets.target import Answer, Target


class Slack(Target):
    """Answers 200 always, as the real one does: `ok` tells. Every channel exists."""

    name = "slack"
    header = "authorization"

    def __init__(self, books: Books, conduct: Conduct, secret: str) -> None:
        super().__init__(books, conduct, secret)
        self._count = itertools.count(1)

    def refusal(self) -> Answer:
        """As the real one says it: with 200."""
        return Answer(200, {"ok": False, "error": "not_authed"})

    def routes(self) -> list[Route]:
        """The one method that the tasks use."""
        return [self.route("POST", "/api/chat.postMessage", self._post_message)]

    def _post_message(self, request: Request, body: Any) -> Answer:
        if not isinstance(body, dict) or not body.get("channel"):
            return Answer(200, {"ok": False, "error": "channel_not_found"})
        if not body.get("text"):
            return Answer(200, {"ok": False, "error": "no_text"})
        stamp = f"{int(time.time())}.{next(self._count):06d}"
        message = {"text": body["text"]}
        return Answer(200, {"ok": True, "channel": body["channel"], "ts": stamp, "message": message})

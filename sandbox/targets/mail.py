"""A mail provider with a JSON API in the shape of SendGrid's `POST /v3/mail/send`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from sandbox.targets.books import Books
from sandbox.targets.conduct import Conduct
from sandbox.targets.target import UNAVAILABLE, Answer, Target, born_id


class Mail(Target):
    """Accepts messages with 202 and names each in `X-Message-Id`. Like the real one, it deduplicates nothing."""

    name = "mail"
    header = "authorization"

    def __init__(self, books: Books, conduct: Conduct, secret: str, stumbling: frozenset[str] = frozenset()) -> None:
        """`stumbling`: the categories whose messages may meet a transient failure."""
        super().__init__(books, conduct, secret)
        self._stumbling = stumbling

    def refusal(self) -> Answer:
        """As the real one says it."""
        return Answer(401, {"errors": [{"message": "The provided authorization grant is invalid"}]})

    def routes(self) -> list[Route]:
        """The one path for sending."""
        return [self.route("POST", "/v3/mail/send", self._send)]

    def _send(self, request: Request, body: Any) -> Answer:
        try:
            recipients = [to["email"] for part in body["personalizations"] for to in part["to"]]
            complete = bool(recipients and body["from"]["email"] and body["subject"] and body["content"])
        except (KeyError, TypeError):
            complete = False
        if not complete:
            return Answer(400, {"errors": [{"message": "personalizations, from, subject, content: required"}]})
        category = (body.get("categories") or [""])[0]
        reference = str((body.get("custom_args") or {}).get("reference", ""))
        if category in self._stumbling and self.conduct.stumbles_at(self.name, f"{category}/{reference}"):
            return UNAVAILABLE
        return Answer(202, headers={"x-message-id": born_id("msg")})

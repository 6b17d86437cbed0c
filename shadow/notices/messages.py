"""A notice as channels want it. Pure.

`webhook`: a JSON object, with the headers of Standard Webhooks (https://www.standardwebhooks.com, specification 1.0).
`slack`: an incoming webhook's message with blocks (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks),
whose text is escaped as Slack asks: `&`, `<` and `>`, so that nothing in it is a link, a mention or a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
from standardwebhooks import Webhook

from shadow.model.ids import derived_id

TEST = "test"
"""The kind of a message that only shows that a channel works."""

_SLACK_TITLE = 2900
"""Characters; Slack takes 3,000 in a section."""
_SLACK_FIELD = 300
"""Characters of a fact; Slack takes 2,000, and nobody reads them."""
_SLACK_FIELDS = 10
"""What Slack takes in a section."""
_CUT = "..."
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_OF_MOVES = ("moved", "moved_back")


@dataclass(frozen=True, slots=True)
class Told:
    """A notice on its way to one channel."""

    delivery: UUID
    """The same however often it is sent: receivers tell a repeated message by it."""
    notice: UUID
    kind: str
    title: str
    task: str | None
    route: str | None
    facts: Mapping[str, Any]
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


def trial(notice: UUID, channel: str, now: datetime) -> Told:
    """A message that only shows that a channel works."""
    title = f"Channel {channel} works: this message only shows that"
    return Told(derived_id(notice, channel), notice, TEST, title, None, None, {}, now)


def link(told: Told, base: str | None) -> str | None:
    """The address of the page about it; None where the catalogue does not say how people reach the pages."""
    if base is None:
        return None
    root = base.rstrip("/") + "/pages"
    if told.kind in _OF_MOVES:
        return f"{root}/audit?{urlencode({'task': told.task})}" if told.task else f"{root}/audit"
    return f"{root}/tasks/{quote(told.task, safe='')}" if told.task else f"{root}/"


def webhook(told: Told, base: str | None, secret: str | None, now: datetime) -> Message:
    """The notice as JSON.

    Args:
        base: the control port's address as people reach it.
        secret: `whsec_...`; the message is signed with it.
        now: the timestamp that is signed.
    """
    body = orjson.dumps(
        {
            "id": str(told.notice),
            "kind": told.kind,
            "title": told.title,
            "task": told.task,
            "route": told.route,
            "facts": dict(told.facts),
            "made_at": told.made_at.astimezone(UTC).isoformat(),
            "link": link(told, base),
        }
    )
    headers = [
        ("content-type", "application/json"),
        ("webhook-id", str(told.delivery)),
        ("webhook-timestamp", str(int(now.timestamp()))),
    ]
    if secret is not None:
        # The library reads a moment's own digits as UTC.
        signed = Webhook(secret).sign(str(told.delivery), now.astimezone(UTC), body.decode())
        headers.append(("webhook-signature", signed))
    return Message(body, tuple(headers))


def slack(told: Told, base: str | None) -> Message:
    """The notice as Slack shows it."""
    title = escaped(told.title, _SLACK_TITLE)
    blocks: list[dict[str, Any]] = [{"type": "section", "text": _mrkdwn(f"*{title}*")}]
    fields = [_mrkdwn(f"*{name}*\n{value}") for name, value in _facts(told)]
    if fields:
        blocks.append({"type": "section", "fields": fields[:_SLACK_FIELDS]})
    where = link(told, base)
    shown = [f"{told.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"]
    if where is not None:
        shown.append(f"<{escaped(where, _SLACK_TITLE)}|more>")
    blocks.append({"type": "context", "elements": [_mrkdwn(text) for text in shown]})
    body = orjson.dumps({"text": title, "blocks": blocks, "unfurl_links": False, "unfurl_media": False})
    return Message(body, (("content-type", "application/json"),))


def escaped(text: str, most: int) -> str:
    """Text that Slack shows as it is: escaped, then at most so many characters; what is cut off ends in three dots."""
    pieces = [_ESCAPES.get(character, character) for character in text[: most + 1]]
    if len(text) <= most and sum(map(len, pieces)) <= most:
        return "".join(pieces)
    length = len(_CUT)
    kept = []
    for piece in pieces:
        length += len(piece)
        if length > most:
            break
        kept.append(piece)
    return "".join(kept) + _CUT


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _facts(told: Told) -> Iterator[tuple[str, str]]:
    for name, known in (("task", told.task), ("route", told.route)):
        if known is not None:
            yield name, escaped(known, _SLACK_FIELD)
    for name, value in told.facts.items():
        if value is not None and name not in ("task", "route"):
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            yield escaped(name.replace("_", " "), _SLACK_FIELD), escaped(text, _SLACK_FIELD)

"""A mail as it goes through SMTP: what it says, as evidence, and without what only Shadow is told in it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

OURS = "x-shadow-"
"""How the headers begin by which a worker says whose its mail is."""

_HEADER = re.compile(rb"^([!-9;-~]+)[ \t]*:")
_END = re.compile(rb"\r?\n\r?\n")


class UnreadableMail(ValueError):
    """It can't be told what a mail says, so nobody can say that it says the same as another."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail says."""

    headers: Mapping[str, str]
    """Ours, by lower-case name."""
    document: Mapping[str, Any]
    """As evidence: `from`, `to`, `subject`, `text`, `html`, `attachments`."""


def read_mail(content: bytes, sender: str | None, recipients: Sequence[str]) -> Mail:
    """Read a mail.

    Args:
        sender: of the envelope.
        recipients: of the envelope: who gets it, whatever its headers say.

    Raises:
        UnreadableMail: it is no mail.
    """
    try:
        message = BytesParser(policy=policy.default).parsebytes(content)
        headers = {name.lower(): _header(value) for name, value in message.items() if name.lower().startswith(OURS)}
        assert isinstance(message, EmailMessage)
        return Mail(headers, _document(message, sender, recipients))
    except (LookupError, ValueError, AttributeError, AssertionError, TypeError, IndexError, KeyError) as error:
        # The standard library's parser fails in many ways on what no mail should be.
        raise UnreadableMail(f"the mail can't be read: {type(error).__name__}") from error


def without_ours(content: bytes) -> bytes:
    """The mail as it is sent on: every byte as it was, without the headers that speak to Shadow."""
    end = _END.search(content)
    head, rest = (content[: end.start()], content[end.start() :]) if end else (content, b"")
    kept: list[bytes] = []
    dropping = False
    for line in head.splitlines(keepends=True):
        if not line.startswith((b" ", b"\t")):  # a continuation goes with its header
            match = _HEADER.match(line)
            dropping = match is not None and match.group(1).lower().startswith(OURS.encode())
        if not dropping:
            kept.append(line)
    head = b"".join(kept)
    if rest and not kept:
        return rest
    # The last line's own end is part of `rest`.
    return (head.removesuffix(b"\n").removesuffix(b"\r") if rest else head) + rest


def _document(message: EmailMessage, sender: str | None, recipients: Sequence[str]) -> dict[str, Any]:
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    attachments: list[dict[str, Any]] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        name, kind = part.get_filename(), part.get_content_type()
        payload = part.get_payload(decode=True)
        raw = payload if isinstance(payload, bytes) else str(payload or "").encode(errors="replace")
        if name is None and kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            texts[kind.removeprefix("text/")].append(_text(raw, part.get_content_charset()))
        else:
            digest = hashlib.sha256(raw).hexdigest()
            attachments.append({"name": name, "type": kind, "bytes": len(raw), "sha256": digest})
    return {
        "from": sender,
        "to": sorted({recipient.strip() for recipient in recipients}),
        "subject": _header(message.get("subject", "")),
        "text": "\n".join(texts["plain"]) or None,
        "html": "\n".join(texts["html"]) or None,
        "attachments": attachments,
    }


def _header(value: object) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", str(value)).strip().encode(errors="replace").decode()


def _text(raw: bytes, charset: str | None) -> str:
    try:
        text = raw.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").rstrip("\n")

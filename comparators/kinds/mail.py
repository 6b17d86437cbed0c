"""Mail: who gets what, whether it went out by SMTP or through the API of a provider.

Providers name the same things in their own ways (`to`, `To`, `personalizations[].to`; `html`, `HtmlBody`,
`content[].value`). Each member keeps its name and place, only its value gets a normal notation: recipients are a sorted
list, a subject one line, HTML what a reader sees of it, an attachment its digest. A template's data stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from comparators.canonical import JSON, canonical
from comparators.kinds.address import recipients
from comparators.kinds.markup import is_markup, seen
from comparators.kinds.text import line, lines
from comparators.kinds.url import url
from comparators.protected import word_set

_BUFFER = frozenset({"type", "data"})


def mail(value: JSON) -> JSON:
    """A mail in its normal notation."""
    if isinstance(value, list):
        return [mail(item) for item in value]
    if not isinstance(value, dict):
        return value
    if (typed := _typed(value)) is not None:
        return typed
    return {name: _member(name, held) for name, held in value.items()}


def is_mail(value: JSON) -> bool:
    """Whether the body of a call is a mail, or a batch of mails: somebody gets it, and it has something to read."""
    if isinstance(value, list):
        return bool(value) and all(is_mail(item) for item in value)
    if not isinstance(value, dict):
        return False
    names = set(map(_squeezed, value))
    if not names.isdisjoint(_SOMEBODY) and not names.isdisjoint(_SOMETHING):
        return True
    if names.isdisjoint(_ENVELOPES):
        return False
    within = {squeezed: value[name] for name in value if (squeezed := _squeezed(name)) in _ENVELOPES}
    return any(isinstance(held, dict | list) and is_mail(held) for held in within.values())


def _member(name: str, value: JSON) -> JSON:
    squeezed = _squeezed(name)
    if squeezed in _DATA:
        return value
    normal = _MEMBERS.get(squeezed)
    return mail(value) if normal is None else normal(_unwrapped(value))


def _unwrapped(value: JSON) -> JSON:
    """What a part of a multipart body holds, where it is a field and no file; as it is what is none."""
    if isinstance(value, list) and value and all(_is_field(item) for item in value):
        return [item["content"] for item in value if isinstance(item, dict)]
    return value["content"] if isinstance(value, dict) and _is_field(value) else value


def _is_field(value: JSON) -> bool:
    return isinstance(value, dict) and value.keys() == {"type", "content"} and isinstance(value["content"], str)


def _typed(value: dict[str, JSON]) -> JSON:
    """A part of a mail that says its own type, by the name that others give it: a `value` is an amount elsewhere.

    None for what is no such part.
    """
    kind, content = value.get("type"), value.get("value")
    if value.keys() != {"type", "value"} or not isinstance(content, str) or not isinstance(kind, str):
        return None
    if kind.startswith("text/html"):
        return {"type": kind, "html": seen(content)}
    return {"type": kind, "text": lines(content)} if kind.startswith("text/plain") else None


def _said(value: JSON, notation: Callable[[str], JSON]) -> JSON:
    if isinstance(value, str):
        return notation(value)
    if isinstance(value, dict) and isinstance(data := value.get("Data"), str):  # Amazon's SES
        return {**value, "Data": notation(data)}
    return value


def _subject(value: JSON) -> JSON:
    return _said(value, line)


def _html(value: JSON) -> JSON:
    return _said(value, seen)


def _text(value: JSON) -> JSON:
    return _said(value, lines)


def _either(value: JSON) -> JSON:
    if isinstance(value, str):
        return seen(value) if is_markup(value) else lines(value)
    return mail(value)


def _headers(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {name: held for name, held in value.items() if name.lower() not in _MADE_UP}
    if isinstance(value, list):
        return [item for item in value if not isinstance(item, dict) or _header_name(item) not in _MADE_UP]
    return value


def _header_name(item: dict[str, JSON]) -> str:
    return str(item.get("Name", item.get("name", ""))).lower()


def _personalizations(value: JSON) -> JSON:
    return sorted((mail(item) for item in value), key=canonical) if isinstance(value, list) else value


def _attachments(value: JSON) -> JSON:
    if not isinstance(value, list):
        return value
    return sorted((_attachment(item) for item in value), key=canonical)


def _attachment(value: JSON) -> JSON:
    if not isinstance(value, dict):
        return value
    told = dict(value)
    for name, held in value.items():
        squeezed = _squeezed(name)
        if squeezed in ("content", "data", "base64content") and (raw := _bytes(held)) is not None:
            told[name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        elif squeezed in ("path", "url", "href") and isinstance(held, str):
            told[name] = url(held)
        elif squeezed in ("type", "contenttype") and isinstance(held, str):
            told[name] = held.partition(";")[0].strip().lower()
    return told


def _bytes(value: JSON) -> bytes | None:
    """A file as base64, or as Node writes a Buffer."""
    if isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            return None
    if isinstance(value, dict) and value.keys() == _BUFFER and value["type"] == "Buffer":
        data = value["data"]
        if isinstance(data, list) and all(type(item) is int and 0 <= item < 256 for item in data):
            return bytes(item for item in data if isinstance(item, int))
    return None


@lru_cache(maxsize=8192)
def _squeezed(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


_MEMBERS: Mapping[str, Callable[[JSON], JSON]] = MappingProxyType(
    {
        **dict.fromkeys(
            word_set(
                "to cc bcc from sender replyto replytolist toaddresses ccaddresses bccaddresses replytoaddresses"
                " fromemailaddress fromemail recipients recipient"
            ),
            recipients,
        ),
        **dict.fromkeys(word_set("html htmlbody bodyhtml htmlcontent htmlpart"), _html),
        **dict.fromkeys(word_set("text textbody bodytext textcontent textpart plain plaintext bodyplain"), _text),
        **dict.fromkeys(word_set("body message content"), _either),
        "subject": _subject,
        "headers": _headers,
        "attachments": _attachments,
        "personalizations": _personalizations,
    }
)
_SOMEBODY = word_set("to toaddresses personalizations recipients destination")
_ENVELOPES = word_set("message messages mail email")
"""In which some providers wrap a mail, or several."""
_SOMETHING = word_set(
    "subject html htmlbody htmlcontent htmlpart textbody template templateid templatealias templatename"
    " dynamictemplatedata personalizations content"
)
_DATA = word_set(
    "dynamictemplatedata templatemodel templatedata templatevariables substitutions customargs metadata variables"
    " tags context params"
)
_MADE_UP = frozenset({"message-id", "date", "x-entity-ref-id"})
"""Headers that are other for every mail, so that none is taken for a part of another's thread."""

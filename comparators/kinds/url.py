"""Addresses on the web: the same resource in one notation (RFC 3986, section 6.2.2), parameters in one order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from comparators.canonical import JSON

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_AROUND = re.compile(r"^[\s\x00-\x20]+|[\s\x00-\x20]+$")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def url(text: str) -> str:
    """A URL in its normal notation; what is none stays."""
    text = _AROUND.sub("", text)
    if text.startswith(("mailto:", "tel:", "sms:", "data:", "javascript:")):
        return escapes(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return text
    scheme = parts.scheme.lower()
    host = parts.netloc
    if host:
        user, at, where = host.rpartition("@")
        where = where.lower()
        if port is not None and port == _DEFAULT_PORTS.get(scheme):
            where = where.removesuffix(f":{port}")
        host = f"{user}{at}{where}"
    path = escapes(parts.path) or ("/" if host else "")
    pairs = (_AROUND.sub("", escapes(pair).replace("%20", "+")) for pair in parts.query.split("&"))
    query = "&".join(sorted(filter(None, pairs), key=_name))
    said = f"{scheme}:" if scheme else ""
    said += f"//{host}" if host else ""
    said += path
    said += f"?{query}" if query else ""
    said += f"#{escapes(parts.fragment)}" if parts.fragment else ""
    return _AROUND.sub("", said)  # an empty fragment leaves the space before it


def escapes(text: str) -> str:
    """A text with its percent-escapes in upper case, and without those that say what needs none."""
    return _ESCAPE.sub(_escape, text) if "%" in text else text


def collected(pairs: Iterable[tuple[str, str]]) -> dict[str, JSON]:
    """Parameters by name; a list, in their order, for one that is repeated."""
    found: dict[str, JSON] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
            continue
        before = found[name]
        if isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def _escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _name(pair: str) -> str:
    return pair.partition("=")[0]

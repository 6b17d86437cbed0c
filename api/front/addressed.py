"""What a path names for the servers behind us: they decode, collapse and climb before they look, and so must a door.

A call that a platform takes for the start of a run must not pass by the door that records it, or that refuses it to a
candidate's worker, because it is spelled `/api/v1/tasks/pay/%74rigger` or `/api/v1/x/../tasks/pay/trigger`. Pure.
"""

from __future__ import annotations

import re

_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_SEVERAL = re.compile(rb"/{2,}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986, 2.3: encoded or not, they mean the same. Everything else stays as it came: an id may hold a slash."""


def named(raw: bytes) -> bytes | None:
    """The path without what means nothing; None where it climbs, which nobody who means well does.

    Dot segments are found encoded, too, and behind backslashes, which servers that go by WHATWG's URLs take for
    slashes.
    """
    if b"%" not in raw and b"/." not in raw and b"//" not in raw and b"\\" not in raw and not raw.endswith(b"/"):
        return raw
    decoded = _ENCODED.sub(_plain, raw)
    if b"\\" in decoded or any(part in (b".", b"..") for part in decoded.split(b"/")):
        return None
    return _SEVERAL.sub(b"/", decoded).rstrip(b"/") or b"/"


def _plain(found: re.Match[bytes]) -> bytes:
    octet = int(found[1], 16)
    return bytes((octet,)) if octet in _UNRESERVED else found[0]

"""The address of a call below its target's base URL: taken apart once, so that all agree on what it names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_MOST_DECODINGS = 3
"""How often a segment is decoded in search of what would leave the base URL: servers differ in how often they do."""


class BadAddress(ValueError):
    """A path that can't be forwarded: it might name something else than it says."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a call goes, below the target's base URL."""

    raw: bytes
    """The path as it was sent, beginning with `/`."""
    segments: tuple[str, ...]
    """Decoded, without empty ones: `/v1//transfers/` names what `/v1/transfers` does."""

    @property
    def path(self) -> str:
        """As it stands in evidence."""
        return self.raw.decode("latin-1")


def address(raw: bytes) -> Address:
    """Take a path apart.

    Raises:
        BadAddress: it would leave the base URL, or holds what no path may.
    """
    if not raw.startswith(b"/"):
        raw = b"/" + raw
    if raw.startswith(b"//"):
        raise BadAddress("the path begins with two slashes, which would name another host")
    if any(byte <= 0x20 or byte == 0x7F for byte in raw) or b"#" in raw or b"\\" in raw:
        raise BadAddress("the path holds a control character, a space, a backslash or a fragment")
    segments = []
    for piece in raw.split(b"/"):
        _check(piece)
        try:
            text = unquote_to_bytes(piece).decode()
        except UnicodeDecodeError:
            raise BadAddress("the path is not UTF-8") from None
        if text:
            segments.append(text)
    return Address(raw, tuple(segments))


def _check(piece: bytes) -> None:
    """Refuse what climbs out, however often it is encoded."""
    decoded = piece
    for _ in range(_MOST_DECODINGS):
        parts = decoded.replace(b"\\", b"/").split(b"/")
        if any(part.split(b";")[0] in (b".", b"..") for part in parts):
            raise BadAddress("the path climbs with . or .. out of the base URL")
        if b"\x00" in decoded or b"\r" in decoded or b"\n" in decoded:
            raise BadAddress("the path holds an encoded control character")
        further = unquote_to_bytes(decoded)
        if further == decoded:
            return
        decoded = further
    raise BadAddress("the path is encoded several times over")

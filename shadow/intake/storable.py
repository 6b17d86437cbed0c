"""Which text PostgreSQL can keep in a column. One value it refuses would fail the whole group commit."""

from __future__ import annotations

import hashlib

LONGEST = 1024
"""Bytes of an id or name that is searched: index rows must stay below a third of a page."""


def storable(text: str) -> bool:
    """Whether `text` fits a searched column: no NUL, no lone surrogate, not overlong."""
    if len(text) > LONGEST or "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        return len(text.encode()) <= LONGEST
    except UnicodeEncodeError:  # half a character
        return False


def storable_or_none(text: str | None) -> str | None:
    """`text` where it can be kept and says something, else None."""
    return text if text and storable(text) else None


def key_of(*parts: str) -> str:
    """A dedupe key made of `parts`, readable when short, a digest of them otherwise. Other parts, another key."""
    key = ":".join(parts)
    if "\\" in key or key.count(":") >= len(parts):
        key = ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in parts)
    if len(key) <= 200 and storable(key):
        return key
    return "sha256:" + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()

"""Which text PostgreSQL can keep in a column. One value it refuses would fail the whole group commit."""

from __future__ import annotations

import hashlib

LONGEST = 1024
"""Characters of an id or name that is searched: index rows must stay below a third of a page."""


def storable(text: str) -> bool:
    """Whether `text` fits a searched column: no NUL, no lone surrogate, not overlong."""
    return len(text) <= LONGEST and "\x00" not in text and (text.isascii() or not _has_surrogate(text))


def storable_or_none(text: str | None) -> str | None:
    """`text` where it can be kept and says something, else None."""
    return text if text and storable(text) else None


def key_of(*parts: str) -> str:
    """A dedupe key made of `parts`, readable when short, a digest of them otherwise."""
    key = ":".join(parts)
    if len(key) <= 200 and storable(key):
        return key
    return "sha256:" + hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)

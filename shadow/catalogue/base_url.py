"""Base URLs of platforms and targets: whether what is sent to one arrives where it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import httpx

from shadow.catalogue.problems import Finding, Path


def wrong_with_url(
    text: str, schemes: Sequence[str], path: Path, *, instead: str, query: bool = False
) -> Iterator[Finding]:
    """What makes it no base URL. Every process reads it again when it starts, and must not fail then.

    Args:
        instead: where a user and a password belong.
        query: whether it may have one, as the address of an endpoint rather than the base of many.
    """
    try:
        url = urlsplit(text)
        # What sends has a reader of its own, and both must see the same host.
        usable = url.scheme in schemes and bool(url.hostname) and url.port != 0 and _is_host(url.hostname or "", text)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        yield Finding(path, repr(text) if "@" not in text else "a text", f"an absolute URL of {', '.join(schemes)}")
    elif url.username is not None or url.password is not None:
        yield Finding(path, "a URL with a user or password in it", f"it in {instead}")
    elif "#" in text or ("?" in text and not query):
        yield Finding(path, "a URL with a query or fragment", "a base URL")


def _is_host(name: str, text: str) -> bool:
    """Whether the URL leads to the host of that name, in whichever letters either writes it."""
    found = httpx.URL(text).raw_host.lower()
    # What no host is written with is quoted.
    return b"%" not in found and found == httpx.URL(scheme="http", host=name).raw_host.lower()

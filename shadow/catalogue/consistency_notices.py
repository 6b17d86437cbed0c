"""What is wrong with notifications, though each key by itself is fine. A channel's URL is a secret, never shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import urlsplit

from shadow.catalogue.base_url import wrong_with_url
from shadow.catalogue.model import Catalogue
from shadow.catalogue.notice_settings import NoticeChannel
from shadow.catalogue.problems import Finding, Path, one_of

_HIDDEN = "a URL (not shown)"
_PREFIX = "whsec_"
_SHORTEST_KEY = 24
"""Bytes, as Standard Webhooks asks."""


def notice_inconsistencies(catalogue: Catalogue) -> Iterator[Finding]:
    """Everything about notifications that makes the catalogue unusable."""
    links = catalogue.notifications.links
    if links is not None and any(wrong_with_url(links, ("http", "https"), (), instead="nothing")):
        expected = "where people reach the control port, such as `https://shadow.example.com`"
        yield Finding(("notifications", "links"), repr(links) if "@" not in links else "a text", expected)
    for name, channel in catalogue.notifications.channels.items():
        path: Path = ("notifications", "channels", name)
        yield from _url(channel, path)
        yield from _secret(channel, path)
        for index, task in enumerate(channel.tasks):
            if task not in catalogue.tasks:
                yield Finding((*path, "tasks", index), repr(task), one_of(catalogue.tasks, task))


def _url(channel: NoticeChannel, path: Path) -> Iterator[Finding]:
    try:
        url = urlsplit(channel.url.get_secret_value())
        usable = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield Finding((*path, "url"), _HIDDEN, "an absolute URL of http or https")
    elif url.username or url.password or url.fragment:
        yield Finding((*path, "url"), _HIDDEN, "one without a user, a password and a fragment")
    elif url.scheme == "http" and not channel.private:
        yield Finding((*path, "url"), _HIDDEN, "https, unless it is `private`")


def _secret(channel: NoticeChannel, path: Path) -> Iterator[Finding]:
    if channel.secret is None:
        return
    if channel.kind != "webhook":
        yield Finding(
            (*path, "secret"), f"one of a channel of kind {channel.kind}", "none: its messages are not signed"
        )
        return
    text = channel.secret.get_secret_value()
    expected = f"`{_PREFIX}` and at least {_SHORTEST_KEY} bytes in base64 (`openssl rand -base64 32` makes some)"
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_KEY:
        yield Finding((*path, "secret"), "a text (not shown)", expected)

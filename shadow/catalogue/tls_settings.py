"""How an upstream is known by TLS, and how Shadow is known to it; and what of that makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import httpx

from shadow.catalogue.problems import Finding, Path
from shadow.catalogue.values import Strict

_SECURE = {"https": 443, "smtps": 465, "smtp": 587}
"""Schemes with TLS, and their ports; mail servers begin it by STARTTLS."""


class Tls(Strict):
    """Of a platform or target that is reached by TLS."""

    ca: str | None = None
    """File of the authorities (PEM) that its certificate is verified against, in place of the usual ones."""
    certificate: str | None = None
    """File of the certificate, with its chain (PEM), that Shadow shows: mutual TLS."""
    key: str | None = None
    """File of that certificate's private key (PEM), where it is not in the same file. Not encrypted."""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    insecure: bool = False
    """Verify nothing. Refused of any host but this machine itself."""


def secure_origin(url: str) -> tuple[str, int] | None:
    """Host and port of a URL that is reached by TLS; None of any other."""
    try:
        split = urlsplit(url)
        if split.scheme not in _SECURE or not split.hostname:
            return None
        # As it is looked for when a connection is made: of other letters than ASCII's in their encoded form.
        host = split.hostname if split.hostname.isascii() else httpx.URL(url).raw_host.decode("ascii")
        return host, split.port or _SECURE[split.scheme]
    except (ValueError, httpx.InvalidURL):
        return None


def wrong_with(tls: Tls | None, urls: Iterator[str] | tuple[str, ...], path: Path) -> Iterator[Finding]:
    """What of an upstream's settings makes no sense."""
    if tls is None:
        return
    origins = [secure_origin(url) for url in urls]
    if None in origins:
        yield Finding(path, "settings of TLS", "a URL that is reached by TLS, such as https://")
    if tls.key is not None and tls.certificate is None:
        yield Finding((*path, "key"), "a key without a certificate", "`certificate` beside it")
    if tls.insecure and not all(origin is not None and _is_here(origin[0]) for origin in origins):
        yield Finding((*path, "insecure"), "true", "false: only this machine itself may go unverified; use `ca`")
    if tls.insecure and tls.ca is not None:
        yield Finding((*path, "insecure"), "true beside `ca`", "one of them")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

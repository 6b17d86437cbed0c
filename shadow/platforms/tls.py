"""The TLS contexts of upstreams: made once of the catalogue's settings, when a process starts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform
from shadow.catalogue.tls_settings import Tls, secure_origin
from shadow.platforms.pool import http_only

Contexts = dict[tuple[str, int], ssl.SSLContext]
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsFiles(ValueError):
    """A file of certificates or keys can't be read, or is none. `str()` names it, and nothing that is in it."""


def context_of(tls: Tls, *, http: bool = True) -> ssl.SSLContext:
    """The context of these settings.

    Args:
        http: whether HTTP is to be spoken by it.

    Raises:
        TlsFiles: a file is missing, or is not what it should be.
    """
    authorities = _there(tls.ca, "ca")
    if authorities is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        try:
            context = ssl.create_default_context(cafile=authorities)
        except ssl.SSLError:
            raise TlsFiles(f"tls.ca: {authorities} holds no certificate that can be read") from None
    context.minimum_version = _VERSIONS[tls.minimum_version]
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None:
        certificate, key = _there(tls.certificate, "certificate"), _there(tls.key, "key")
        assert certificate is not None
        try:
            # Without this OpenSSL would ask the terminal for a password, and wait.
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError):
            raise TlsFiles(f"tls.certificate: {certificate} and its key don't belong together, or are no PEM") from None
    return http_only(context) if http else context


def _there(path: str | None, what: str) -> str | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TlsFiles(f"tls.{what}: {path} can't be read ({type(error).__name__})") from None
    if b"-----BEGIN " not in content:
        raise TlsFiles(f"tls.{what}: {path} is no PEM")
    return path


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def contexts(catalogue: ResolvedCatalogue) -> Contexts:
    """Host and port of every platform with settings of its own -> its context.

    Raises:
        TlsFiles: a file is missing, or is not what it should be.
    """
    made: dict[Tls, ssl.SSLContext] = {}
    found: Contexts = {}
    for url, tls in _settings(catalogue):
        origin = secure_origin(url)
        if tls is not None and origin is not None:
            if tls not in made:
                made[tls] = context_of(tls)
            found[origin] = made[tls]
    return found


def _settings(catalogue: ResolvedCatalogue) -> Iterator[tuple[str, Tls | None]]:
    for platform in catalogue.platforms.values():
        if isinstance(platform, InngestPlatform):
            yield platform.event_url, platform.tls
            yield platform.api_url, platform.tls
        else:
            yield platform.url, platform.tls


def check(catalogue: ResolvedCatalogue) -> None:
    """Read every file that the catalogue names, so that a process does not start without one.

    Raises:
        TlsFiles: a file is missing, or is not what it should be.
    """
    contexts(catalogue)
    for target in catalogue.targets.values():
        if target.tls is not None:
            context_of(target.tls)

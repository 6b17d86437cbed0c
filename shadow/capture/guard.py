"""The guard's evidence: fingerprints of what secrets a worker holds, and hosts that calls were made to all the same."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from shadow.capture.reports import Reports
from shadow.capture.run import current_run
from shadow.capture.settings import Settings

PATH = "/shadow/guard"
SHORTEST = 6
"""Characters below which a value is no secret: `true`, `8080`."""
_MOST_UNTOLD = 1000
_TOLD_EVERY = 60.0
"""Seconds within which a host is told once."""

Covers: TypeAlias = Literal["clients", "process"]
"""What a guard reaches: the clients that the package made, or whatever the process calls with."""

_log = logging.getLogger("shadow.capture")


def fingerprints(environ: Mapping[str, str], key: bytes, secrets: Iterable[str] = ()) -> list[str]:
    """HMAC-SHA256 with that key, in hexadecimal, of every value and of every secret within one."""
    found = {part for value in (*environ.values(), *secrets) for part in _parts(value) if len(part) >= SHORTEST}
    return sorted(hmac.new(key, part.encode(errors="surrogatepass"), hashlib.sha256).hexdigest() for part in found)


def _parts(value: str) -> Iterator[str]:
    """The value, and what may be a secret inside: a token behind its scheme, a URL's password, a text in JSON."""
    yield value
    stripped = value.strip()
    yield stripped
    for scheme in ("bearer ", "basic ", "token "):
        if stripped.lower().startswith(scheme):
            credential = stripped[len(scheme) :].strip()
            yield credential
            if scheme == "basic ":
                yield from _basic(credential)
    if "://" in stripped:
        yield from _credentials(stripped)
    if stripped[:1] in ("{", "["):
        try:
            document = json.loads(stripped)
        except ValueError:
            return
        for text in _texts(document):
            yield from _parts(text)


def _basic(credential: str) -> Iterator[str]:
    try:
        plain = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    yield plain
    yield from plain.split(":", 1)


def _credentials(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    for part in (parts.username, parts.password):
        if part:
            yield part
            yield unquote(part)
    for pair in parts.query.split("&"):
        yield unquote(pair.partition("=")[2])


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for value in document.values():
            yield from _texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value)


class Guard:
    """Denies hosts, and tells Shadow of those that calls were made to."""

    def __init__(self, settings: Settings, reports: Reports) -> None:
        self._settings = settings
        self._reports = reports
        self._told: dict[str, float] = {}
        self._untold: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.covers: Covers = "clients"

    @property
    def denies(self) -> bool:
        """Whether every other host is denied."""
        return self._settings.other_hosts == "deny"

    def meet(self, host: str) -> bool:
        """Note a call to another host; whether it is denied."""
        now = time.monotonic()
        with self._lock:
            if now - self._told.get(host, -_TOLD_EVERY) >= _TOLD_EVERY:
                self._told[host] = now
                run = current_run()
                del self._untold[:-_MOST_UNTOLD]
                self._untold.append({"host": host, "denied": self.denies, **({} if run is None else run.marks())})
                _log.warning("shadow: a call to %s, which is neither a target nor allowed", host)
        return self.denies

    def tell(self) -> None:
        """Report the hosts met since; a report that is lost is told again with the next."""
        untold = self._taken()
        if untold and not self._reports.send(PATH, {**self.conduct(), "hosts": untold}, patience=0):
            self._untold.extend(untold)

    async def tell_async(self) -> None:
        """Report the hosts met since; a report that is lost is told again with the next."""
        untold = self._taken()
        if untold and not await self._reports.send_async(PATH, {**self.conduct(), "hosts": untold}, patience=0):
            self._untold.extend(untold)

    def conduct(self) -> dict[str, Any]:
        """What the guard does, as its reports say it."""
        return {
            "version": self._settings.version,
            **({} if self._settings.app is None else {"app": self._settings.app}),
            "gateway": urlsplit(self._settings.gateway_url).netloc,
            "denies_other_hosts": self.denies,
            "covers": self.covers,
            "allowed_hosts": list(self._settings.allow),
        }

    def report(self, environ: Mapping[str, str], secrets: Iterable[str]) -> bool:
        """Tell Shadow the guard's conduct and the fingerprints of what this worker holds; whether it was taken.

        Raises httpx.HTTPError when Shadow gives no key to take fingerprints with.
        """
        key = bytes.fromhex(self._reports.get(PATH)["key"])
        own = {self._settings.key, self._settings.report_key}
        held = {name: value for name, value in environ.items() if value not in own}
        return self._reports.send(PATH, {**self.conduct(), "fingerprints": fingerprints(held, key, secrets)})

    def _taken(self) -> list[dict[str, Any]]:
        with self._lock:
            untold, self._untold = self._untold, []
        return untold

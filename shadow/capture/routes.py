"""Where a call goes: to a target by way of the gateway, to the gateway itself, past it, or nowhere. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, urlsplit

from shadow.capture.run import Run
from shadow.capture.settings import Settings

KEY = "x-shadow-key"
ACCEPTS = "x-shadow-accepts"
ANSWERED_BY = "x-shadow-gateway"
WAIT = "wait"
WAIT_STATUS = 425
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WAIT_SECONDS = 5.0


class Way(Enum):
    """How a call leaves the worker."""

    GATEWAY = "gateway"
    """Through the gateway, with its headers."""
    FRONT = "front"
    """To one of Shadow's doors, which is told whose it is."""
    PAST = "past"
    """As it is: its host is allowed."""
    OTHER = "other"
    """Its host is neither a target nor allowed."""


@dataclass(frozen=True)
class Route:
    """Where one call goes."""

    way: Way
    host: str
    """As the worker named it, with its port if that is not the scheme's."""
    url: str | None = None
    """Where it goes instead."""


@dataclass(frozen=True)
class _Place:
    host: str
    port: int | None
    """None: the scheme's."""
    path: str
    target: str


class Routes:
    """The routes of one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._gateway = settings.gateway_url
        self._key = settings.key
        self._version = settings.version
        gateway = urlsplit(settings.gateway_url)
        self._front = (gateway.hostname or "", gateway.port or _DEFAULT_PORTS[gateway.scheme])
        self._egress = f"{gateway.path}/egress/"
        places = (_place(host, target) for host, target in settings.targets.items())
        self._places = sorted(places, key=lambda place: -len(place.path))
        self._allowed = [_place(host, "") for host in settings.allow]

    def route(self, scheme: str, host: str, port: int | None, path_and_query: str) -> Route:
        """Where a call goes. `path_and_query` is as it would be sent, escaped."""
        host = host.lower().strip("[]")
        usual = _DEFAULT_PORTS.get(scheme)
        port = port or usual
        named = host if port == usual else f"{host}:{port}"
        path = path_and_query or "/"
        if (host, port) == self._front:
            return Route(Way.GATEWAY if path.startswith(self._egress) else Way.FRONT, named)
        bare = path.partition("?")[0]
        for place in self._places:
            if _is(place, host, port) and (bare == place.path or bare.startswith(f"{place.path}/")):
                rest = path[len(place.path) :]
                rest = rest if rest.startswith("/") else f"/{rest}"
                return Route(Way.GATEWAY, named, f"{self._gateway}/egress/{quote(place.target, safe='')}{rest}")
        allowed = any(_is(place, host, port) for place in self._allowed)
        return Route(Way.PAST if allowed else Way.OTHER, named)

    def reachable(self, host: str, port: int | None) -> bool:
        """Whether a socket may connect there: to the gateway, or to what is allowed. None: any port."""
        host = host.lower().strip("[]")
        if host == self._front[0] and port in (None, self._front[1]):
            return True
        return any(_is(place, host, port if port is not None else place.port) for place in self._allowed)

    def headers(self, way: Way, run: Run | None) -> dict[str, str]:
        """What the gateway, or a door, is told beside the call."""
        headers = self.marks(run)
        if way is Way.GATEWAY:
            headers[KEY] = self._key
            if run is not None:
                headers[ACCEPTS] = WAIT
        return headers

    def marks(self, run: Run | None) -> dict[str, str]:
        """Whose something is, as headers."""
        marks = {} if self._version is None else {"x-shadow-version": self._version}
        if run is not None:
            marks.update({f"x-shadow-{name}": _header(str(value)) for name, value in run.marks().items()})
        return marks


def waits(status: int, headers: Mapping[str, str]) -> float | None:
    """For how many seconds the gateway asks to wait; None when this is an answer."""
    if status != WAIT_STATUS or headers.get(ANSWERED_BY) != WAIT:
        return None
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return _WAIT_SECONDS


def _header(value: str) -> str:
    """Ids are ASCII; whatever is not is escaped, so that no header breaks."""
    return value if value.isascii() and value.isprintable() else quote(value)


def _place(named: str, target: str) -> _Place:
    parts = urlsplit(named if "://" in named else f"//{named}")
    host = (parts.hostname or "").lower()
    port = parts.port
    if parts.scheme and port == _DEFAULT_PORTS.get(parts.scheme):
        port = None
    return _Place(host, port, parts.path.rstrip("/"), target)


def _is(place: _Place, host: str, port: int | None) -> bool:
    if place.port != port and not (place.port is None and port in _DEFAULT_PORTS.values()):
        return False
    if place.host.startswith("*."):
        return host.endswith(place.host[1:])
    return host == place.host

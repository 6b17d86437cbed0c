"""The one configuration of a worker, from its environment or from code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast
from urllib.parse import urlsplit

from shadow.capture.errors import Misconfigured

OtherHosts: TypeAlias = Literal["deny", "report"]
"""What becomes of calls to hosts that are neither targets nor allowed: `report` lets them through and says so."""

_INNGEST = ("INNGEST_EVENT_API_BASE_URL", "INNGEST_API_BASE_URL", "INNGEST_BASE_URL")
_TRIGGER = ("TRIGGER_API_URL", "TRIGGER_STREAM_URL", "TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT")
_INNGEST_KEYS = ("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY")
_TRIGGER_KEYS = ("TRIGGER_SECRET_KEY",)


@dataclass(frozen=True)
class Settings:
    """Without `gateway_url` there are none: nothing is captured."""

    gateway_url: str
    """Shadow's front listener: `https://shadow.example.com`."""
    key: str = field(repr=False)
    """The side's egress key."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """Host, `host:port` or base URL to the name of the target in the catalogue."""
    report_key: str | None = field(default=None, repr=False)
    """The side's key for reports, where this worker reports."""
    version: str | None = None
    """Of this deployment."""
    app: str | None = None
    """What is deployed, where the side has several apps: as the platform, or the catalogue's platform, names it."""
    allow: tuple[str, ...] = ()
    """Hosts that may be reached beside: `host`, `host:port` or `*.example.com`."""
    other_hosts: OtherHosts = "deny"
    report_patience: float = 30.0
    """Seconds for which a front that does not answer is told again."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.gateway_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise Misconfigured(
                f"SHADOW_GATEWAY_URL: expected http(s)://host[:port][/path], found {self.gateway_url!r}"
            )
        if not self.key:
            raise Misconfigured("SHADOW_GATEWAY_URL is set, so SHADOW_EGRESS_KEY must hold the side's egress key")
        if self.other_hosts not in ("deny", "report"):
            raise Misconfigured(f"SHADOW_OTHER_HOSTS: expected deny or report, found {self.other_hosts!r}")
        for host, name in self.targets.items():
            if not host or not name or "/" in name:
                raise Misconfigured(f"SHADOW_TARGETS: expected HOST=TARGET, found {host!r}={name!r}")
        object.__setattr__(self, "gateway_url", self.gateway_url.rstrip("/"))


def settings_from(environ: Mapping[str, str]) -> Settings | None:
    """What an environment says; None, whatever else it says, when it names no gateway.

    Raises:
        Misconfigured: it names one and is wrong about the rest.
    """
    gateway = environ.get("SHADOW_GATEWAY_URL", "").strip()
    if not gateway:
        return None
    return Settings(
        gateway_url=gateway,
        key=environ.get("SHADOW_EGRESS_KEY", "").strip(),
        targets=targets_of(environ.get("SHADOW_TARGETS", "")),
        report_key=environ.get("SHADOW_REPORT_KEY", "").strip() or None,
        version=environ.get("SHADOW_VERSION", "").strip() or None,
        app=environ.get("SHADOW_APP", "").strip() or None,
        allow=(*_listed(environ.get("SHADOW_ALLOW", "")), *platform_hosts(environ)),
        other_hosts=cast(OtherHosts, environ.get("SHADOW_OTHER_HOSTS", "").strip() or "deny"),
    )


def targets_of(text: str) -> dict[str, str]:
    """`{"host": "name"}` as JSON, or `host=name,host=name`.

    Raises:
        Misconfigured: it is neither.
    """
    if not text.lstrip().startswith("{"):
        pairs = (entry.rpartition("=") for entry in _listed(text))
        return {host.strip(): name.strip() for host, _, name in pairs}
    try:
        targets = json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"SHADOW_TARGETS: not JSON: {error}") from None
    if not all(isinstance(name, str) for name in targets.values()):
        raise Misconfigured(f"SHADOW_TARGETS: expected an object of host to target, found {text!r}")
    return dict(targets)


def platform_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the platforms are that this worker speaks to, as its environment says: they are always allowed.

    Only these: a contained candidate that could call the other platform would start real runs there.
    """
    inngest = [_host(environ[name]) for name in _INNGEST if environ.get(name)]
    dev = environ.get("INNGEST_DEV", "")
    if "://" in dev:
        inngest.append(_host(dev))
    elif dev and dev.lower() not in ("0", "false"):
        inngest.extend(("localhost:8288", "127.0.0.1:8288"))
    if not inngest and any(environ.get(name) for name in _INNGEST_KEYS):
        inngest.extend(("inn.gs", "api.inngest.com"))
    trigger = [_host(environ[name]) for name in _TRIGGER if environ.get(name)]
    if not trigger and any(environ.get(name) for name in _TRIGGER_KEYS):
        trigger.append("api.trigger.dev")
    return tuple(dict.fromkeys((*inngest, *trigger)))


def _host(url: str) -> str:
    return urlsplit(url if "://" in url else f"https://{url}").netloc.rpartition("@")[2]


def _listed(text: str) -> Iterable[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]

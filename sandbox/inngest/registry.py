"""Apps and their functions, as apps register them with `POST /fn/register`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.inngest.durations import parse_duration
from sandbox.inngest.events import INVOKED, METADATA_KEY, Event
from sandbox.inngest.expressions import compile_expression, holds
from sandbox.inngest.identifiers import app_uuid, function_uuid

DEFAULT_RETRIES = 4
LOOPBACK = re.compile(r"//127\.0\.0\.1(?=[:/])")
DENIED_JS = ((3, 22, 0), (3, 53, 1))
"""Versions of the JavaScript SDK which the real server refuses (CVE-2026-42047), both ends included."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `limit` starts in `period` seconds per key; the rest is dropped."""

    limit: int
    period: float
    key: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """One registered function. `id` is the slug `app-function`, `url` what the server calls for it."""

    id: str
    uuid: str
    name: str
    app_name: str
    app_uuid: str
    url: str
    shown_uri: str
    """The step's URI as the server shows it: 127.0.0.1 is rewritten to localhost."""
    retries: int | None
    triggers: tuple[dict[str, Any], ...]
    rate_limit: RateLimit | None
    cancels: tuple[dict[str, Any], ...]
    config: dict[str, Any]
    created_at: datetime

    @property
    def max_attempts(self) -> int:
        return (DEFAULT_RETRIES if self.retries is None else self.retries) + 1

    @property
    def crons(self) -> list[str]:
        return [trigger["cron"] for trigger in self.triggers if trigger.get("cron")]

    def is_triggered_by(self, event: Event) -> bool:
        """Whether an event starts this function, by name (with a trailing wildcard) and expression."""
        if event.name == INVOKED:
            metadata = (event.data or {}).get(METADATA_KEY)
            return isinstance(metadata, dict) and metadata.get("fn_id") in (self.id, self.uuid)
        return any(
            _name_matches(trigger.get("event"), event.name)
            and holds(trigger.get("expression"), {"event": event.sdk_form()})
            for trigger in self.triggers
        )


@dataclass(slots=True)
class App:
    """One app, as last synced."""

    name: str
    uuid: str
    url: str
    fingerprint: str
    functions: dict[str, Function]


class Registry:
    """What has been registered. Syncing an app again replaces all its functions."""

    def __init__(self) -> None:
        self.apps: dict[str, App] = {}
        self._functions: dict[str, Function] = {}

    def register(self, payload: Any, now: datetime) -> tuple[App, bool]:
        """Take an app's registration; returns the app and whether anything changed.

        Raises ValueError that names what is wrong with the payload.
        """
        if not isinstance(payload, dict):
            raise ValueError("a registration must be a JSON object")
        _refuse_denied_sdk(str(payload.get("sdk") or ""))
        name = payload.get("appName") or payload.get("appname")
        if not isinstance(name, str) or not name:
            raise ValueError("a registration must name its app (appName)")
        url = str(payload.get("url") or "")
        configs = payload.get("functions")
        if not isinstance(configs, list) or not configs:
            raise ValueError(f"app {name!r} registers no functions")
        functions = [_function(config, name, now) for config in configs]
        fingerprint = repr((url, configs))
        known = self.apps.get(name)
        if known is not None and known.fingerprint == fingerprint:
            return known, False
        app = App(name, app_uuid(name), url, fingerprint, {function.id: function for function in functions})
        self.apps[name] = app
        self._functions = {function.id: function for each in self.apps.values() for function in each.functions.values()}
        return app, True

    def get(self, function_id: str) -> Function | None:
        """A function by its slug or UUID."""
        found = self._functions.get(function_id)
        if found is None:
            found = next((each for each in self._functions.values() if each.uuid == function_id), None)
        return found

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())


def _function(config: Any, app_name: str, now: datetime) -> Function:
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise ValueError(f"app {app_name!r} registers a function without an id")
    function_id = config["id"]
    try:
        step = next(iter(config["steps"].values()))
        url = step["runtime"]["url"]
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"function {function_id!r} has no step with runtime.url") from error
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ValueError(f"function {function_id!r} has a runtime.url that is not http(s): {url!r}")
    triggers = config.get("triggers") or []
    if not isinstance(triggers, list) or not all(isinstance(trigger, dict) for trigger in triggers):
        raise ValueError(f"function {function_id!r}: triggers must be a list of objects")
    cancels = config.get("cancel") or []
    for expression in (
        *(trigger.get("expression") for trigger in triggers),
        *(cancel.get("if") for cancel in cancels),
    ):
        if expression:
            compile_expression(expression)
    name = config.get("name") or function_id
    shown_uri = LOOPBACK.sub("//localhost", url)
    retries = (step.get("retries") or {}).get("attempts")
    return Function(
        id=function_id,
        uuid=function_uuid(name, shown_uri),
        name=name,
        app_name=app_name,
        app_uuid=app_uuid(app_name),
        url=url,
        shown_uri=shown_uri,
        retries=retries,
        triggers=tuple(triggers),
        rate_limit=_rate_limit(config),
        cancels=tuple(cancels),
        config=config,
        created_at=now,
    )


def _rate_limit(config: dict[str, Any]) -> RateLimit | None:
    """`idempotency` is a rate limit of one start per day and key, and overrides `rateLimit`."""
    if config.get("idempotency"):
        found = RateLimit(1, 86400.0, config["idempotency"])
    elif config.get("rateLimit"):
        wanted = config["rateLimit"]
        found = RateLimit(int(wanted["limit"]), parse_duration(wanted["period"]), wanted.get("key"))
    else:
        return None
    if found.key:
        compile_expression(found.key)
    return found


def _name_matches(wanted: Any, name: str) -> bool:
    if not isinstance(wanted, str):
        return False
    if wanted.endswith(("/*", ".*")):
        return name.startswith(wanted[:-1])
    return wanted == name


def _refuse_denied_sdk(sdk: str) -> None:
    match = re.match(r"(?:inngest-)?js:v(\d+)\.(\d+)\.(\d+)", sdk)
    if match is not None:
        version = (int(match[1]), int(match[2]), int(match[3]))
        if DENIED_JS[0] <= version <= DENIED_JS[1]:
            raise ValueError(f"sdk_version_denied: {sdk} must be upgraded (CVE-2026-42047)")

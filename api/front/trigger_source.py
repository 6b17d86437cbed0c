"""Who calls the Trigger.dev door, and which tasks of the catalogue that source feeds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from starlette.types import Scope, Send

from api.front import trigger_shape
from api.front.exchange import fields
from api.front.keys import KeyRing, scopes_of
from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Origin, Side, TriggerPlatform, TriggerSource


@dataclass(frozen=True, slots=True)
class CallingSource:
    """A Trigger.dev source, made ready."""

    name: str
    origin: Origin
    forward_unknown: bool
    tasks: Mapping[str, ResolvedTask]
    """What it feeds, by the legacy platform's name of it."""
    platform_name: str
    platform: TriggerPlatform
    scopes: frozenset[str] | None = None
    """What its public token allows, where the call carries one."""

    def allows(self, tasks: Iterable[str]) -> bool:
        """Whether the call's credential may start all those legacy tasks (reference 1.1 and 2.2).

        The platform checks a token of the call itself, yet an intent is sent again under the platform's own key.
        """
        if self.scopes is None or "admin" in self.scopes:
            return True
        for task in tasks:
            if not any(right in self.scopes or f"{right}:{task}" in self.scopes for right in _STARTING):
                return False
        return True

    def may_read(self, what: str, name: str) -> bool:
        """Whether the call's credential may read that run or batch (reference 1.1)."""
        return self.scopes is None or not self.scopes.isdisjoint({"admin", f"read:{what}", f"read:{what}:{name}"})

    def may_read_run(self, name: str, task: str, tags: Iterable[str]) -> bool:
        """Whether it may read that run, by its id, its task or one of its tags (reference 1.1)."""
        wider = {f"read:tasks:{task}", *(f"read:tags:{tag}" for tag in tags)}
        return self.may_read("runs", name) or (self.scopes is not None and not self.scopes.isdisjoint(wider))

    def may_write(self, what: str, name: str) -> bool:
        """Whether the call's credential may change that run."""
        return self.scopes is None or not self.scopes.isdisjoint({"admin", f"write:{what}", f"write:{what}:{name}"})


_STARTING = ("trigger:tasks", "batchTrigger:tasks", "write:tasks")
"""The rights to start a task, of all tasks or, with its id, of one."""


class CallingSources:
    """The sources of kind `trigger.dev`, by their keys."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._rates = Rates.of(catalogue.limits.requests_per_second)
        self.default = _default_platform(catalogue)
        """Where calls go that need no key, or whose key is not Shadow's business."""
        held = [
            (source, settings.keys)
            for name, settings in catalogue.sources.items()
            if isinstance(settings, TriggerSource)
            and (source := _source(catalogue, name, settings, self.default)) is not None
        ]
        self._keys = KeyRing(held)
        self._of_candidates = any(source.origin is Origin.CANDIDATE for source, _keys in held)
        # Tokens that come with answers, Trigger.dev's and ours, are signed with the platform's key.
        producers = [source for source, _keys in held if source.origin is Origin.PRODUCER]
        self._signers = KeyRing((source, (source.platform.secret_key,)) for source in producers)

    async def authenticate(self, headers: Mapping[str, str], send: Send) -> CallingSource | None:
        """The source whose key the call carries; None when it has been refused.

        A public token is taken from whoever holds a key of the source. Ask its `allows` before storing anything.
        """
        authorization = headers.get("authorization")
        if authorization is None:
            await trigger_shape.no_authorization(send)
            return None
        token = _bearer(authorization)
        source = self._of(token)
        if source is None:
            public = token.count(".") == 2
            await trigger_shape.refuse(send, 401, "Public Access Token is invalid" if public else "Invalid API key")
            return None
        if self._rates is not None and (wait := self._rates.wait(token, time.monotonic())) > 0:
            await trigger_shape.too_often(send, wait)
            return None
        if source.origin is Origin.CANDIDATE:
            # Its runs may have no authority, and a run started on legacy would have all (DESIGN promise 4).
            await trigger_shape.refuse(send, 403, "Unauthorized: candidate workers cannot start legacy runs")
            return None
        return replace(source, scopes=scopes_of(token)) if token.count(".") == 2 else source

    def holder(self, headers: Mapping[str, str]) -> CallingSource | None:
        """The source whose key the call carries, not asked whether it may make it."""
        return self._of(_bearer(headers.get("authorization", "")))

    def is_candidates(self, scope: Scope) -> bool:
        """Whether a worker of the candidate makes the call."""
        if not self._of_candidates:
            return False
        found = self.holder(fields(scope))
        return found is not None and found.origin is Origin.CANDIDATE

    def platform_of(self, headers: Mapping[str, str]) -> tuple[str, TriggerPlatform] | None:
        """The platform that a call is meant for, whoever makes it."""
        source = self._of(_bearer(headers.get("authorization", "")))
        return (source.platform_name, source.platform) if source is not None else self.default

    def _of(self, token: str) -> CallingSource | None:
        if token.count(".") != 2:
            return self._keys.holder(token)
        return self._keys.signer(token) or self._signers.signer(token)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _default_platform(catalogue: ResolvedCatalogue) -> tuple[str, TriggerPlatform] | None:
    for name, settings in catalogue.platforms.items():
        if isinstance(settings, TriggerPlatform) and settings.side is Side.LEGACY:
            return name, settings
    return None


def _source(
    catalogue: ResolvedCatalogue,
    name: str,
    settings: TriggerSource,
    default: tuple[str, TriggerPlatform] | None,
) -> CallingSource | None:
    """None where the catalogue has no platform to which its calls could go."""
    tasks: dict[str, ResolvedTask] = {}
    platform = default
    for task in catalogue.tasks.values():
        target = catalogue.platforms[task.legacy.platform]
        if name in task.sources and isinstance(target, TriggerPlatform):
            tasks[task.legacy.task] = task
            platform = (task.legacy.platform, target)
    if platform is None:
        return None
    if settings.origin is not Origin.PRODUCER:  # a run may start any task of its platform
        tasks = {task.legacy.task: task for task in catalogue.tasks.values() if task.legacy.platform == platform[0]}
    return CallingSource(name, settings.origin, settings.unknown == "forward", tasks, *platform)

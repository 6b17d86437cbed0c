"""What is allowed in a catalogue but likely not meant: the warnings of `shadow tasks check`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import SecretStr

from shadow.catalogue.check_schedules import cron_warnings
from shadow.catalogue.check_world import world_warnings
from shadow.catalogue.model import (
    HttpPlatform,
    InngestPlatform,
    InngestSource,
    Origin,
    Platform,
    Side,
    Source,
    TriggerPlatform,
    TriggerSource,
    WebhookSource,
)
from shadow.catalogue.problems import dotted
from shadow.catalogue.resolved import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.warning import CatalogueWarning

TRIGGER_OPTIONS = frozenset(
    {
        "concurrencyKey",
        "delay",
        "externalDeploymentId",
        "lockToVersion",
        "machine",
        "maxAttempts",
        "maxDuration",
        "metadata",
        "metadataType",
        "priority",
        "queue",
        "region",
        "tags",
        "test",
        "ttl",
    }
)
"""What a Trigger.dev call takes from a catalogue (reference, trigger_dev_api.md 1.3)."""


def check(resolved: ResolvedCatalogue) -> tuple[CatalogueWarning, ...]:
    """All warnings, by the place they are about."""
    found = [
        *_platforms(resolved),
        *_targets(resolved),
        *_sources(resolved),
        *(warning for task in resolved.tasks.values() for warning in _task(task, resolved)),
        *_shared_keys(resolved),
    ]
    return tuple(sorted(found, key=lambda warning: (warning.key, warning.code, warning.message)))


def _platforms(resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    for name, platform in resolved.platforms.items():
        key = f"platforms.{name}"
        for field, url in _urls(platform):
            if url.lower().startswith("http://") and not _is_loopback(url) and _has_secrets(platform):
                yield CatalogueWarning(
                    "plain-http",
                    f"{key}.{field}",
                    "its secrets travel unencrypted; use https:// beyond this machine",
                )
        if (
            isinstance(platform, InngestPlatform)
            and platform.signing_key is None
            and not _is_loopback(platform.api_url)
        ):
            yield CatalogueWarning(
                "no-signing-key",
                f"{key}.signing_key",
                "without it runs cannot be read, and only pushed outcomes are seen (only a dev server asks for none)",
            )


def _targets(resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    for name, target in resolved.targets.items():
        has_secrets = target.credential is not None or bool(target.headers)
        if target.url.lower().startswith("http://") and has_secrets and not _is_loopback(target.url):
            says = "its credential travels unencrypted; use https:// beyond this machine"
            yield CatalogueWarning("plain-http", f"targets.{name}.url", says)


def _urls(platform: Platform) -> Iterator[tuple[str, str]]:
    if isinstance(platform, InngestPlatform):
        yield "event_url", platform.event_url
        yield "api_url", platform.api_url
    else:
        yield "url", platform.url


def _has_secrets(platform: Platform) -> bool:
    return not isinstance(platform, HttpPlatform) or bool(platform.headers)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sources(resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    for name, source in resolved.sources.items():
        if isinstance(source, WebhookSource):
            yield from _mapped_for_nobody(name, source, resolved)
            yield from _never_taken(name, source)
        elif source.origin is Origin.PRODUCER and not any(name in task.sources for task in resolved.tasks.values()):
            yield CatalogueWarning("unused-source", f"sources.{name}", "no task is fed by it")


def _mapped_for_nobody(name: str, source: WebhookSource, resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    for index, event in enumerate(source.events):
        if not any(name in task.sources for task in resolved.tasks_of_event(event.name)):
            key = dotted(("sources", name, "events", index, "name"))
            yield CatalogueWarning("event-without-task", key, f"no task takes {event.name} from this source")


def _never_taken(name: str, source: WebhookSource) -> Iterator[CatalogueWarning]:
    for index, event in enumerate(source.events[:-1]):
        if not event.when:
            key = dotted(("sources", name, "events", index, "when"))
            yield CatalogueWarning("takes-everything", key, "it always holds, so what follows is never taken")
            return


def _task(task: ResolvedTask, resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    key = f"tasks.{task.id}"
    sources = {name: resolved.sources[name] for name in task.sources}
    yield from _doors(key, sources)
    for index, (name, source) in enumerate(sources.items()):
        if isinstance(source, WebhookSource) and task.event not in {event.name for event in source.events}:
            yield CatalogueWarning(
                "event-unsourced", dotted(("tasks", task.id, "sources", index)), f"{name} never brings {task.event}"
            )
    if task.candidate.flow:
        flow = ", ".join(task.candidate.flow)
        yield CatalogueWarning(
            "flow-control",
            f"{key}.candidate.flow",
            f"{flow} may drop or merge candidate runs; a pair that lost its run to it is not comparable and says so",
        )
    legacy, candidate = resolved.platforms[task.legacy.platform], resolved.platforms[task.candidate.platform]
    yield from _side(f"{key}.legacy.platform", task.legacy.platform, legacy, Side.LEGACY, resolved)
    yield from _side(f"{key}.candidate.platform", task.candidate.platform, candidate, Side.CANDIDATE, resolved)
    if isinstance(legacy, TriggerPlatform):
        for option in sorted(task.legacy.options.keys() - TRIGGER_OPTIONS):
            yield CatalogueWarning(
                "unknown-option", f"{key}.legacy.options.{option}", "Trigger.dev knows no such option and drops it"
            )
    elif any(isinstance(source, TriggerSource) for source in sources.values()):
        yield CatalogueWarning(
            "no-trigger-platform",
            f"{key}.legacy.platform",
            "fed by tasks.trigger, but is on no trigger.dev platform",
        )
    if isinstance(candidate, InngestPlatform) and not task.candidate.function.startswith(f"{candidate.app}-"):
        yield CatalogueWarning(
            "foreign-app",
            f"{key}.candidate.function",
            f"{task.candidate.function} is no function of the app {candidate.app}: slugs are app-function",
        )
    if task.settle > task.deadline:
        yield CatalogueWarning("settle-after-deadline", f"{key}.settle", "longer than the deadline")
    yield from world_warnings(task, resolved)
    yield from cron_warnings(task, resolved)


def _doors(key: str, sources: dict[str, Source]) -> Iterator[CatalogueWarning]:
    """An event is mirrored at one door only."""
    doors = {
        "webhook": [name for name, one in sources.items() if isinstance(one, WebhookSource)],
        "Inngest": [name for name, one in sources.items() if isinstance(one, InngestSource)],
        "Trigger.dev": [name for name, one in sources.items() if isinstance(one, TriggerSource)],
    }
    used = [f"{door} ({', '.join(names)})" for door, names in doors.items() if names]
    if len(used) > 1:
        yield CatalogueWarning(
            "both-doors",
            f"{key}.sources",
            f"fed at {len(used)} doors: {' and '.join(used)}; what arrives at both is mirrored twice",
        )


def _side(
    key: str, name: str, platform: Platform, side: Side, resolved: ResolvedCatalogue
) -> Iterator[CatalogueWarning]:
    if platform.side is not side:
        yield CatalogueWarning("side-reversed", key, f"{name} is declared as side {platform.side}, but used as {side}")
    if isinstance(platform, HttpPlatform) and not getattr(resolved.report_keys, side):
        yield CatalogueWarning(
            "no-reporter",
            key,
            f"{name} cannot be asked for outcomes and report_keys.{side} is empty: every run would be missing",
        )


def _shared_keys(resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    """A key tells who calls; one that two hold tells nothing."""
    holders: dict[tuple[str, str], list[str]] = {}

    def hold(door: str, keys: tuple[SecretStr, ...], holder: str) -> None:
        for one in keys:
            holders.setdefault((door, one.get_secret_value()), []).append(holder)

    for name, source in resolved.sources.items():
        if not isinstance(source, WebhookSource):
            hold(source.kind, source.keys, f"sources.{name}.keys")
    hold("reports", resolved.report_keys.legacy, "report_keys.legacy")
    hold("reports", resolved.report_keys.candidate, "report_keys.candidate")
    for sharing in holders.values():
        if len(sharing) > 1:
            first, *others = sharing
            yield CatalogueWarning(
                "shared-key", others[0], f"a key of {first} too: it must tell who calls, so everybody has their own"
            )

"""What pydantic cannot see, because it takes two keys to be wrong: names that lead nowhere, tasks that collide."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import assert_never

from comparators.rules import RuleError
from shadow.catalogue.consistency_notices import notice_inconsistencies
from shadow.catalogue.consistency_outside import outside_inconsistencies
from shadow.catalogue.cron_settings import SCHEDULE
from shadow.catalogue.model import (
    Catalogue,
    CronSettings,
    HttpPlatform,
    InngestPlatform,
    RuleSettings,
    Signature,
    SignatureScheme,
    Task,
    TriggerPlatform,
    TriggerSource,
    WebhookSource,
)
from shadow.catalogue.paths import parsed
from shadow.catalogue.problems import Finding, Path, one_of
from shadow.catalogue.rule_settings import IgnoreSetting, ValueSetting, ignore_rule, value_rule
from shadow.catalogue.schedule import Schedule, zone_of

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$")
_NAME_EXPECTED = "letters, digits and . _ : - (it stands in URLs)"
_HMAC_ONLY = ("header", "algorithm", "encoding", "prefix")
_IDEMPOTENCY = re.compile(r"^idempotency", re.IGNORECASE)
_LONGEST_EVENT_NAME = 256


def inconsistencies(catalogue: Catalogue) -> Iterator[Finding]:
    """Everything that makes the catalogue unusable though each key by itself is fine."""
    for section, names in (
        ("platforms", catalogue.platforms),
        ("sources", catalogue.sources),
        ("tasks", catalogue.tasks),
        ("targets", catalogue.targets),
        ("databases", catalogue.databases),
        ("notifications.channels", catalogue.notifications.channels),
    ):
        for name in names:
            if section == "sources" and name == SCHEDULE:
                yield Finding((section, name), f"the name {name!r}", "another: it means the clock", at_key=True)
            if not _NAME.fullmatch(name):
                expected = _NAME_EXPECTED
                if section == "tasks":
                    expected += "; legacy.task may have any other id"
                yield Finding((*section.split("."), name), f"the name {name!r}", expected, at_key=True)
    for name, source in catalogue.sources.items():
        if isinstance(source, WebhookSource):
            yield from _webhook(source, ("sources", name), catalogue)
    yield from _rules(catalogue.defaults.rules, ("defaults", "rules"))
    for category, defaults in catalogue.categories.items():
        yield from _rules(defaults.rules, ("categories", category, "rules"))
    for task_id, task in catalogue.tasks.items():
        yield from _task(task, ("tasks", task_id), catalogue)
    yield from _collisions(catalogue)
    yield from outside_inconsistencies(catalogue)
    yield from notice_inconsistencies(catalogue)
    for key, named, known in (
        ("platforms", catalogue.prices.platforms, catalogue.platforms),
        ("executions", catalogue.prices.executions, catalogue.tasks),
    ):
        for name in named:
            if name not in known:
                yield Finding(("prices", key, name), repr(name), one_of(known, name), at_key=True)
    for name, executions in catalogue.prices.executions.items():
        if not 1 <= executions < math.inf:
            yield Finding(("prices", "executions", name), str(executions), "1 or more: a run is one itself")


def legacy_task(task_id: str, task: Task) -> str:
    """Its id on the legacy platform."""
    return task.legacy.task if task.legacy.task is not None else task_id


def candidate_function(task_id: str, task: Task, catalogue: Catalogue) -> str:
    """The full slug of the function that shall replace it."""
    if task.candidate.function is not None:
        return task.candidate.function
    platform = catalogue.platforms.get(task.candidate.platform)
    return f"{platform.app}-{task_id}" if isinstance(platform, InngestPlatform) else task_id


def _webhook(source: WebhookSource, path: Path, catalogue: Catalogue) -> Iterator[Finding]:
    yield from _signature(source.signature, (*path, "signature"))
    for index, event in enumerate(source.events):
        yield from _event_name(event.name, (*path, "events", index, "name"))
    if source.forward is not None:
        takers = [name for name, one in catalogue.platforms.items() if isinstance(one, HttpPlatform)]
        if source.forward not in takers:
            expected = f"a platform of kind http: {one_of(takers, source.forward)}"
            yield Finding((*path, "forward"), repr(source.forward), expected)
    elif source.answer == "passthrough":
        yield Finding((*path, "answer"), "'passthrough'", "'accepted', or a platform in forward that can answer")


def _signature(signature: Signature, path: Path) -> Iterator[Finding]:
    match signature.scheme:
        case SignatureScheme.HMAC:
            if not signature.header:
                yield Finding((*path, "header"), "nothing", "the header that carries the signature")
        case (
            SignatureScheme.SHOPIFY
            | SignatureScheme.STRIPE
            | SignatureScheme.GITHUB
            | SignatureScheme.SLACK
            | SignatureScheme.STANDARD
        ):
            for key in _HMAC_ONLY:
                if key in signature.model_fields_set:
                    found = f"{key!r} with the scheme {signature.scheme.value}"
                    yield Finding((*path, key), found, "it with the scheme hmac only", at_key=True)
        case _:
            assert_never(signature.scheme)


def _event_name(name: str, path: Path) -> Iterator[Finding]:
    # reference, inngest_api.md 1.3: senders may not use the prefix, whatever its case; names have 256 characters
    if not name or len(name) > _LONGEST_EVENT_NAME:
        yield Finding(path, f"{len(name)} characters", f"1 to {_LONGEST_EVENT_NAME}")
    elif name.lower().startswith("inngest/"):
        yield Finding(path, repr(name), "another prefix: inngest/ is the platform's own")


def _cron(cron: CronSettings, task: Task, path: Path) -> Iterator[Finding]:
    try:
        Schedule.parse(cron.expression)
    except ValueError as error:
        expected = "five fields: minute, hour, day of month, month, day of week"
        yield Finding((*path, "expression"), f"{cron.expression!r} ({error})", expected)
    try:
        zone_of(cron.timezone)
    except ValueError:
        yield Finding((*path, "timezone"), repr(cron.timezone), "an IANA name, such as Europe/Berlin")
    if cron.drains and not task.world:
        yield Finding((*path, "drains"), "true without `world`", "the rows of the queue in the task's `world`")


def _task(task: Task, path: Path, catalogue: Catalogue) -> Iterator[Finding]:
    if task.cron is not None:
        yield from _cron(task.cron, task, (*path, "cron"))
    elif not task.sources:
        yield Finding((*path, "sources"), "an empty list", "at least one source, or a `cron`")
    for index, source in enumerate(task.sources):
        if source not in catalogue.sources:
            yield Finding((*path, "sources", index), repr(source), one_of(catalogue.sources, source))
        elif source in task.sources[:index]:
            yield Finding((*path, "sources", index), f"{source!r} again", "each source once")
    for side, platform in (("legacy", task.legacy.platform), ("candidate", task.candidate.platform)):
        if platform not in catalogue.platforms:
            yield Finding((*path, side, "platform"), repr(platform), one_of(catalogue.platforms, platform))
    if isinstance(catalogue.platforms.get(task.candidate.platform), TriggerPlatform):
        # A candidate is told of an event and finds its functions by itself; Trigger.dev must be told the task.
        takers = [name for name, one in catalogue.platforms.items() if not isinstance(one, TriggerPlatform)]
        expected = "a platform of kind inngest or http, which starts functions by an event"
        if takers:
            expected += f": {one_of(takers, task.candidate.platform)}"
        yield Finding((*path, "candidate", "platform"), f"{task.candidate.platform!r} of kind trigger.dev", expected)
    # Without declared categories there are no defaults to miss, and the category is but a heading.
    if task.category is not None and catalogue.categories and task.category not in catalogue.categories:
        yield Finding((*path, "category"), repr(task.category), one_of(catalogue.categories, task.category))
    yield from _event_name(task.event, (*path, "event"))
    for option in task.legacy.options:
        if _IDEMPOTENCY.match(option):
            yield Finding(
                (*path, "legacy", "options", option),
                f"the option {option!r}",
                "none: the key that makes a retry start no second run is Shadow's or the producer's",
                at_key=True,
            )
    yield from _rules(task.rules, (*path, "rules"))


def _rules(rules: RuleSettings | None, path: Path) -> Iterator[Finding]:
    if rules is None:
        return
    for index, identity in enumerate(rules.identities):
        for position, text in enumerate(identity.paths):
            yield from _json_path(text, (*path, "identities", index, "paths", position))
    for key, settings in (("ignore", rules.ignore), ("values", rules.values)):
        for index, setting in enumerate(settings):
            here = (*path, key, index)
            problems = list(_json_path(setting.path, (*here, "path")))
            yield from problems or _refused(setting, here)


def _refused(setting: IgnoreSetting | ValueSetting, path: Path) -> Iterator[Finding]:
    """What the judge would refuse: a rule that says nothing, or would weaken what is protected."""
    try:
        if isinstance(setting, IgnoreSetting):
            ignore_rule(setting)
        else:
            value_rule(setting)
    except RuleError as error:
        yield Finding((*path, error.key), error.found, error.expected)


def _json_path(text: str, path: Path) -> Iterator[Finding]:
    try:
        parsed(text)
    except ValueError as error:
        yield Finding(path, f"{text!r} ({error})", "a JSONPath as in RFC 9535")


def _collisions(catalogue: Catalogue) -> Iterator[Finding]:
    """Two tasks must be told apart by what runs them, and by the events of calls that name one of them."""
    legacy: dict[tuple[str, str], str] = {}
    functions: dict[str, str] = {}
    for task_id, task in catalogue.tasks.items():
        here: Path = ("tasks", task_id)
        mine = legacy_task(task_id, task)
        first = legacy.setdefault((task.legacy.platform, mine), task_id)
        if first != task_id:
            key = "task" if task.legacy.task is not None else "platform"
            yield Finding(
                (*here, "legacy", key),
                f"{mine!r} on {task.legacy.platform}",
                "a legacy task of its own",
                also=("taken by", ("tasks", first)),
            )
        function = candidate_function(task_id, task, catalogue)
        first = functions.setdefault(function, task_id)
        if first != task_id:
            key = "function" if task.candidate.function is not None else "platform"
            yield Finding(
                (*here, "candidate", key), repr(function), "a function of its own", also=("taken by", ("tasks", first))
            )
    yield from _shared_calls(catalogue)


def _shared_calls(catalogue: Catalogue) -> Iterator[Finding]:
    """A Trigger.dev call means one task, but its event would start every function that shares the event."""
    sharing: dict[str, list[str]] = {}
    for task_id, task in catalogue.tasks.items():
        sharing.setdefault(task.event, []).append(task_id)
    for event, tasks in sharing.items():
        called = [task_id for task_id in tasks if _is_called(catalogue.tasks[task_id].sources, catalogue)]
        if len(tasks) > 1 and called:
            other = next(task_id for task_id in tasks if task_id != called[0])
            yield Finding(
                ("tasks", called[0], "event"),
                f"{event!r}, shared with another task though a trigger.dev source feeds this one",
                "an event of its own, as tasks.trigger means one task only",
                also=("shared with", ("tasks", other)),
            )


def _is_called(sources: Iterable[str], catalogue: Catalogue) -> bool:
    return any(isinstance(catalogue.sources.get(source), TriggerSource) for source in sources)

"""A first catalogue from what two platforms list: tasks and functions matched by name, for a person to finish."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TypeVar

from shadow.catalogue.model import Flow
from shadow.catalogue.schedule import Schedule

T = TypeVar("T")

_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_./-]*$")
_WORDS_OF_YAML = frozenset({"true", "false", "null"})
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task that the legacy platform has run or scheduled."""

    id: str
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A cron schedule of a legacy task."""

    task: str
    cron: str
    timezone: str = "UTC"
    active: bool = True
    external: bool = False
    """Whether it has an external id, as the schedules of tenants do."""


@dataclass(frozen=True, slots=True)
class LegacyListing:
    """What the legacy platform knows."""

    url: str
    tasks: tuple[ListedTask, ...]
    schedules: tuple[ListedSchedule, ...] = ()
    complete: bool = True
    """False when the run list was longer than was read."""


@dataclass(frozen=True, slots=True)
class ListedFunction:
    """A function of the candidate's app."""

    slug: str
    events: tuple[str, ...] = ()
    crons: tuple[str, ...] = ()
    flow: tuple[Flow, ...] = ()
    """What may drop or merge its runs."""


@dataclass(frozen=True, slots=True)
class CandidateListing:
    """What the candidate platform knows."""

    url: str
    app: str
    functions: tuple[ListedFunction, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    task: ListedTask
    function: ListedFunction
    exact: bool
    key: str
    event: str


def draft(legacy: LegacyListing, candidate: CandidateListing) -> str:
    """A catalogue's YAML text that loads once its variables are set. What found no match stands in comments."""
    pairs, tasks_left, functions_left = _matched(legacy.tasks, candidate)
    shared = Counter(match.event for match in pairs)
    lines = [*_HEAD, *_platforms(legacy, candidate), *_SOURCES]
    if not legacy.complete:
        lines += ["", "# The list of runs was longer than was read: rare tasks may be missing below."]
    lines += ["", "tasks:" if pairs else "tasks: {}"]
    for match in pairs:
        lines += _task(match, legacy.schedules, candidate.app, alone=shared[match.event] == 1)
    lines += _unmatched_tasks(tasks_left, functions_left, candidate.app, legacy.schedules)
    lines += _unmatched_functions(functions_left)
    return "\n".join(lines) + "\n"


_HEAD = (
    "# yaml-language-server: $schema=catalogue.schema.json",
    "#",
    "# Drafted by `shadow tasks import`. Look through every task: names were matched, not what they do.",
    "# `shadow tasks check FILE` says what is wrong, `shadow tasks schema` prints the schema for editors.",
    "version: 1",
)
_SOURCES = (
    "",
    "sources:",
    "  # The app's Trigger.dev client, pointed here with TRIGGER_API_URL.",
    "  app-trigger:",
    "    kind: trigger.dev",
    '    keys: ["${SHADOW_TRIGGER_KEY}"]',
    "    unknown: forward",
    "  # The app's Inngest client, pointed here with INNGEST_BASE_URL.",
    "  app-inngest:",
    "    kind: inngest",
    '    keys: ["${SHADOW_EVENT_KEY}"]',
    "  # Events that come as webhooks need a source of kind webhook.",
)


def _platforms(legacy: LegacyListing, candidate: CandidateListing) -> list[str]:
    return [
        "",
        "platforms:",
        "  trigger:",
        "    kind: trigger.dev",
        "    side: legacy",
        f"    url: {_text(legacy.url)}",
        "    secret_key: ${TRIGGER_SECRET_KEY}",
        "  inngest:",
        "    kind: inngest",
        "    side: candidate",
        "    event_url: ${INNGEST_EVENT_URL:-https://inn.gs}",
        f"    api_url: {_text(candidate.url)}",
        "    event_key: ${INNGEST_EVENT_KEY}",
        "    signing_key: ${INNGEST_SIGNING_KEY}",
        f"    app: {_text(candidate.app)}",
    ]


def _task(match: _Match, schedules: Sequence[ListedSchedule], app: str, *, alone: bool) -> list[str]:
    function = match.function
    lines = ["", *_seen(match.task, schedules)]
    if not match.exact:
        lines.append(f"  # matched by likeness: {_line(match.task.id)} and {_line(function.slug)}")
    lines += [f"  {_text(match.key)}:", f"    event: {_text(match.event)}"]
    if not function.events:
        crons = ", ".join(function.crons) or "no trigger"
        lines[-1] += f"  # a made-up name: the function has {_line(crons)} and no event"
    elif len(function.events) > 1:
        lines[-1] += f"  # it has more triggers: {_line(', '.join(function.events[1:]))}"
    cron = _cron(match.task, schedules)
    lines += cron
    if cron and not function.events:
        lines.append("    sources: []  # its clock alone starts it")
    elif alone:
        lines.append("    sources: [app-trigger]")
    else:
        lines.append("    sources: [app-inngest]  # shares its event, so no tasks.trigger call can mean it alone")
    task = "" if match.task.id == match.key else f", task: {_text(match.task.id)}"
    lines.append(f"    legacy: {{platform: trigger{task}}}")
    slug = "" if function.slug == f"{app}-{match.key}" else f", function: {_text(function.slug)}"
    flow = f", flow: [{', '.join(function.flow)}]" if function.flow else ""
    lines.append(f"    candidate: {{platform: inngest{slug}{flow}}}")
    return lines


def _seen(task: ListedTask, schedules: Iterable[ListedSchedule]) -> list[str]:
    lines = [] if task.last_seen is None else [f"  # last seen {task.last_seen.date().isoformat()}"]
    for schedule in schedules:
        if schedule.task == task.id:
            state = "" if schedule.active else ", inactive"
            lines.append(f"  # scheduled: {_line(schedule.cron)} ({_line(schedule.timezone)}{state})")
    return lines


def _cron(task: ListedTask, schedules: Iterable[ListedSchedule]) -> list[str]:
    """The `cron` of a task that one schedule starts, or the schedules of its tenants, all alike."""
    its = [schedule for schedule in schedules if schedule.task == task.id and schedule.active]
    alike = {(" ".join(schedule.cron.split()), schedule.timezone) for schedule in its}
    if not alike:
        return []
    expression, timezone = sorted(alike)[0]
    try:
        Schedule.parse(expression, timezone)
    except ValueError as problem:
        return [
            f"    # cron: not drafted, as {_line(expression)} ({_line(timezone)}) can't be read: {_line(str(problem))}"
        ]
    fields = [f"expression: {_text(expression)}"]
    if timezone != "UTC":
        fields.append(f"timezone: {_text(timezone)}")
    if all(schedule.external for schedule in its):
        fields.append("tenants: true")
    several = "  # it has more schedules, which differ" if len(alike) > 1 else ""
    return [f"    cron: {{{', '.join(fields)}}}{several}"]


def _unmatched_tasks(
    tasks: Sequence[ListedTask], functions: Sequence[ListedFunction], app: str, schedules: Sequence[ListedSchedule]
) -> list[str]:
    if not tasks:
        return []
    lines = ["", "# Legacy tasks for which no function was found:"]
    names = {function.slug.removeprefix(f"{app}-"): function for function in functions}
    for task in tasks:
        notes = [note.removeprefix("  # ") for note in _seen(task, schedules)]
        close = get_close_matches(task.id, names, n=1, cutoff=0.5)
        notes += [f"perhaps {_line(names[name].slug)}" for name in close]
        lines.append(f"#   {_line(task.id)}" + (f"  ({'; '.join(notes)})" if notes else ""))
    return lines


def _unmatched_functions(functions: Sequence[ListedFunction]) -> list[str]:
    if not functions:
        return []
    lines = ["", "# Functions for which no legacy task was found:"]
    for function in functions:
        triggers = ", ".join([*function.events, *function.crons])
        lines.append(f"#   {_line(function.slug)}" + (f"  ({_line(triggers)})" if triggers else ""))
    return lines


def _matched(
    tasks: Sequence[ListedTask], candidate: CandidateListing
) -> tuple[list[_Match], list[ListedTask], list[ListedFunction]]:
    """Pairs of the same name first, then those whose names differ only in case, separators and word order."""
    names = {function.slug: function.slug.removeprefix(f"{candidate.app}-") for function in candidate.functions}
    left = sorted(tasks, key=lambda task: task.id)
    free = {function.slug: function for function in sorted(candidate.functions, key=lambda one: one.slug)}
    pairs: list[_Match] = []
    used: set[str] = set()
    for exact in (True, False):
        alike = _by_name((task.id, task) for task in left) if exact else _by_words((task.id, task) for task in left)
        others = [(names[slug], function) for slug, function in free.items()]
        functions = _by_name(others) if exact else _by_words(others)
        for name, candidates in functions.items():
            mine = alike.get(name, [])
            # Two of a name on either side: a person has to say which is which.
            if len(mine) != 1 or len(candidates) != 1:
                continue
            task, function = mine[0], candidates[0]
            key = _key(task.id, used)
            used.add(key)
            event = next(iter(function.events), f"cron/{key}" if function.crons else f"task/{key}")
            pairs.append(_Match(task, function, exact, key, event))
            left.remove(task)
            del free[function.slug]
    return sorted(pairs, key=lambda match: match.key), left, list(free.values())


def _by_name(named: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = {}
    for name, thing in named:
        grouped.setdefault(name, []).append(thing)
    return grouped


def _by_words(named: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    return _by_name((_words(name), thing) for name, thing in named)


def _words(name: str) -> str:
    """`syncShopifyOrder`, `sync_shopify_order` and `shopify.order-sync` are all the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(sorted(word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word))


def _key(task_id: str, used: set[str]) -> str:
    """The catalogue's id for a legacy task, whose own may have characters that stand in no URL."""
    base = _NOT_IN_NAMES.sub("-", task_id).strip("-._:")[:180] or "task"
    key, number = base, 2
    while key in used:
        key, number = f"{base}-{number}", number + 1
    return key


def _text(value: str) -> str:
    """A YAML scalar that reads back as this text; `$` would begin a variable."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    escaped = "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
    return f'"{escaped}"'


def _line(value: str) -> str:
    """Text inside a comment, where a line break would end it."""
    return "".join(char if char.isprintable() else " " for char in value)

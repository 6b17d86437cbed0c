"""Witnesses outside the gateway: what providers list before and after the canary, and what the worker's guard saw."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from jsonpath import JSONPathError

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.catalogue.outside import Target
from shadow.catalogue.paths import parsed
from shadow.containment.guard_reports import GuardReport, reports_since
from shadow.containment.part import Part, failed, passed, unknown
from shadow.containment.record import Leaks
from shadow.effects.probes import FetchesTarget
from shadow.effects.sql_reading import CannotRead
from shadow.store.database import Connection

SLACK = timedelta(seconds=30)
"""How long before the first reading a forwarded write may have left that shows in the second only."""

_FORWARDED = """
SELECT DISTINCT effects.id FROM effects JOIN runs ON runs.id = effects.run_id
WHERE effects.target = %s AND effects.disposition = 'forward' AND effects.writes AND effects.received_at >= %s
  AND runs.authority = 'real'
"""
_INCIDENTS = """
SELECT detail FROM incidents WHERE kind = 'unguarded_host' AND side = 'candidate' AND noticed_at >= %s
"""


class ReadBodies(Protocol):
    """Reads what the gateway recorded of calls: the texts of their requests and answers."""

    async def __call__(self, effects: Collection[Any], /) -> Sequence[bytes]: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider listed at one moment."""

    items: Mapping[str, Any]
    """By what makes an item that item: its `id`, else all of it."""
    problem: str | None = None
    """Why it could not be read."""


async def read_witness(fetches: FetchesTarget, name: str, target: Target) -> Reading:
    """Ask the provider itself, with the real credential."""
    assert target.witness is not None
    method, _, where = target.witness.request.strip().partition(" ")
    path, _, query = where.strip().partition("?")
    try:
        fetched = await fetches.fetch(name, method.upper(), path, query, target.timeout)
    except CannotRead as error:
        return Reading({}, str(error))
    if not 200 <= fetched.status < 300:
        return Reading({}, f"it answered {fetched.status}")
    try:
        found = parsed(target.witness.items).findall(fetched.body)
    except (JSONPathError, TypeError) as error:
        return Reading({}, f"its answer can't be read: {error}")
    # `$.data` finds the list, `$.data[*]` what is in it: both are meant the same.
    items = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    return Reading({_identity(item): item for item in items})


async def read_witnesses(fetches: FetchesTarget, catalogue: ResolvedCatalogue) -> dict[str, Reading]:
    """Every target that has one."""
    return {
        name: await read_witness(fetches, name, target)
        for name, target in catalogue.targets.items()
        if target.witness is not None
    }


@dataclass(frozen=True, slots=True)
class Testimony:
    """All that witnesses said."""

    before: Mapping[str, Reading]
    after: Mapping[str, Reading]
    explained: Mapping[str, Collection[str]]
    """Target -> those of its new items that a forwarded call of a run with authority made."""
    guard: GuardReport | None
    """Of the candidate's worker, before."""
    at_work: bool
    """Whether that worker's client package showed itself in the canary's runs: then a guard that tells of no host met
    none."""
    told: Sequence[GuardReport]
    """The reports since the canary began of guards in workers of the candidate's task."""
    met: Sequence[str] = ()
    """What the guard met since then: calls to other hosts, most of them denied."""


async def testimony(
    connection: Connection,
    task: str,
    before: Mapping[str, Reading],
    after: Mapping[str, Reading],
    began_at: datetime,
    bodies: ReadBodies,
    *,
    guard: GuardReport | None,
    at_work: bool,
) -> Testimony:
    """Bring together what witnesses saw since the canary began."""
    explained = {}
    for target in after.keys() & before.keys():
        new = after[target].items.keys() - before[target].items.keys()
        if not new:
            continue
        rows = await (await connection.execute(_FORWARDED, (target, began_at - SLACK))).fetchall()
        texts = await bodies([row[0] for row in rows])
        explained[target] = new & _named(texts)
    told = await reports_since(connection, Side.CANDIDATE, task, began_at)
    incidents = await (await connection.execute(_INCIDENTS, (began_at,))).fetchall()
    return Testimony(before, after, explained, guard, at_work, told, [row[0] for row in incidents])


def judge_witnesses(told: Testimony, written: Collection[str], version: str | None) -> tuple[Part, Leaks]:
    """What the witnesses saw, and what is known of leaks.

    Args:
        written: the targets that legacy or the canary writes to: each needs a witness.
        version: of the candidate whose guard is believed.
    """
    saw: list[str] = []
    blind: dict[str, str] = {}
    silent: list[str] = []
    facts: dict[str, Any] = {"targets": sorted(written)}
    for name in sorted(told.before.keys() & told.after.keys()):
        before, after = told.before[name], told.after[name]
        if (problem := before.problem or after.problem) is not None:
            blind[name] = problem
            continue
        new = after.items.keys() - before.items.keys()
        unexplained = sorted(new - set(told.explained.get(name, ())))
        facts[name] = {"items": len(after.items), "new": len(new), "explained": len(new) - len(unexplained)}
        if unexplained:
            saw.append(f"{name} lists what no forwarded call made: {', '.join(unexplained[:5])}")
        else:
            silent.append(name)
    past = sorted({host for report in told.told for host in report.reached})
    saw += [f"the worker's guard saw a call to {host}" for host in past]
    if saw:
        return (
            failed(
                *saw,
                todo=[
                    "find who made these; if it was legacy's own traffic that does not pass the gateway, lead it"
                    " through the gateway or try again at a quiet time"
                ],
                **facts,
            ),
            "found",
        )
    guarded = _guarded(told, version)
    facts["guard"] = guarded
    unwatched = [] if guarded else sorted(set(written) - set(silent))
    if unwatched or not (silent or guarded):
        return (
            unknown(
                *(f"{name}: {blind[name]}" for name in unwatched if name in blind),
                "nobody outside the gateway watched "
                + (", ".join(unwatched) or "anything")
                + ": whether there were leaks is unknown",
                todo=[
                    "declare a `witness` at these targets, or let the worker's guard watch (client package with"
                    " SHADOW_OTHER_HOSTS=deny, whose headers must be on the canary's calls)"
                ],
                **facts,
            ),
            "unknown",
        )
    who = [*silent, *(["the worker's guard"] if guarded else [])]
    warnings = [f"{name} could not be read: {problem}" for name, problem in blind.items()]
    warnings += [f"the worker's guard met {detail}" for detail in told.met]
    return passed(f"nothing was seen by {', '.join(who)}", warnings=warnings, **facts), "none"


def _guarded(told: Testimony, version: str | None) -> bool:
    """Whether the worker's guard watched: it denies, is of that version, and was seen at work since."""
    reports = [report for report in (told.guard, *told.told) if report is not None]
    seen = told.at_work or any(report.version == version for report in told.told)
    return seen and bool(reports) and all(report.denies and report.version == version for report in reports)


_LONG = 8
"""Characters from which a value is taken for an id wherever it stands."""


def _named(texts: Collection[bytes]) -> set[str]:
    """What recorded calls name: every value of a key `id`, and every long text."""
    named: set[str] = set()
    for text in texts:
        try:
            waiting = [orjson.loads(text)]
        except orjson.JSONDecodeError:
            continue
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                if isinstance(value.get("id"), str | int):
                    named.add(str(value["id"]))
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str) and len(value) >= _LONG:
                named.add(value)
    return named


def _identity(item: Any) -> str:
    """What makes an item that item."""
    if isinstance(item, dict) and isinstance(item.get("id"), str | int):
        return str(item["id"])
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()

"""Whose a trace of Trigger.dev is. A call of a task that is instrumented with OpenTelemetry carries `traceparent`, and
nothing but it; the platform can be asked for the trace of a run, never for the run of a trace (reference 3.6, 8.4).

So each run that was under way is asked for its trace once, when a call comes whose trace nobody knows, and what it says
is kept. Children that are waited for share their parent's trace, and may begin at any moment: before a trace is
believed its runs' own records, which are never late by more than a replica, are read for children. Where more
than one run fits, the span tells, once the platform has it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import httpx
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side, TriggerPlatform
from shadow.catalogue.values import RateBudget
from shadow.effects.record import CLOCKS_DIFFER
from shadow.effects.traceparent import Traceparent
from shadow.model.ids import first_id_at
from shadow.model.moments import moment
from shadow.observe import metrics
from shadow.outcomes.budget import Budget
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import quota
from shadow.platforms.trigger_api import Json, Refused, TriggerApi
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_Kept = TypeVar("_Kept")

FRESH_SECONDS = 0.25
"""How long what a run's record says of its children is believed: the platform needs longer to start one, half a second
in the transcripts."""
AGAIN_SECONDS = 1.0
"""When a run whose trace can't be told yet is asked for it again; doubling each time."""
_LONGEST_SECONDS = 60.0
_SHARE = 0.25
"""Of the platform's budget: the reconciler needs the rest."""
_AT_ONCE = 8
_MOST = 40
"""Runs that are asked for their traces for one call."""
_MOST_IN_A_TREE = 100
_PATIENCE_SECONDS = 2.0
"""How long a call waits for the platform."""
_REMEMBERED = 50_000
_LONGEST_RUN = timedelta(days=1)

_KNOWN = b"""
SELECT run.id, run.platform_run_id FROM run_traces AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.trace = %s AND run.side = %s AND run.platform_run_id IS NOT NULL
"""
_TRACELESS = b"""
SELECT run.platform_run_id FROM runs AS run
WHERE run.side = %(side)s AND run.platform = %(platform)s AND run.platform_run_id IS NOT NULL AND run.id >= %(oldest)s
  AND (run.finished_at IS NULL OR run.finished_at >= %(at)s::timestamptz - %(clocks)s)
  AND (run.started_at IS NULL OR run.started_at <= %(at)s::timestamptz + %(clocks)s)
  AND NOT EXISTS (SELECT FROM run_traces WHERE run_traces.run_id = run.id)
ORDER BY run.id DESC LIMIT 1000
"""
_RUNS = b"""
SELECT platform_run_id, id FROM runs WHERE platform = %s AND side = %s AND platform_run_id = ANY(%s::text[])
"""
_LEARNED = b"""
INSERT INTO run_traces (run_id, platform, trace)
SELECT run_id, %s, %s FROM unnest(%s::uuid[]) AS of_trace (run_id) ON CONFLICT (run_id, trace) DO NOTHING
"""

Discover = Callable[[str], Awaitable[UUID | None]]
"""The run of ours that the platform calls so, if it is the child of one."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What `/trace` tells: the trace, its runs, and whose each span is."""

    trace: str
    runs: frozenset[str]
    spans: Mapping[str, str]

    @classmethod
    def read(cls, body: Json) -> Tree | None:
        """None where it is not what the reference shows."""
        told = body.get("trace")
        if not isinstance(told, Mapping) or not isinstance(trace := told.get("traceId"), str):
            return None
        spans = dict(_spans(told.get("rootSpan")))
        return cls(trace, frozenset(spans.values()), spans) if spans else None


def _spans(root: object) -> Iterator[tuple[str, str]]:
    waiting = [root]
    while waiting:
        span = waiting.pop()
        if not isinstance(span, Mapping):
            continue
        identifier, run = span.get("id"), span.get("runId")
        if isinstance(identifier, str) and isinstance(run, str):
            yield identifier, run
        children = span.get("children")
        if isinstance(children, list):
            waiting.extend(children)


@dataclass(slots=True)
class _Environment:
    """One environment of the platform, and what this process has read of it lately."""

    name: str
    side: Side
    api: TriggerApi
    budget: Budget
    trees: OrderedDict[str, tuple[float, int, Tree | None]] = field(default_factory=OrderedDict)
    """By run: when it may be asked again, how often it was asked, what it said."""
    records: OrderedDict[str, tuple[float, Json]] = field(default_factory=OrderedDict)
    """By run: until when it is believed, and the run as the platform tells it."""


class _Unsaid(Exception):
    """The platform did not say, or may not be asked now."""


class TriggerTraces:
    """Asks the environments of Trigger.dev, within a share of their budgets."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        http: httpx.AsyncClient,
        discover: Discover,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._catalogue = catalogue
        self._database = database
        self._discover = discover
        self._fresh = fresh_seconds
        self._again = again_seconds
        now = time.time()
        self._environments = [
            _Environment(name, platform.side, TriggerApi(platform, http), Budget.of(_share(platform.budget), now))
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, TriggerPlatform)
        ]

    def asks(self, side: Side) -> bool:
        """Whether a side has environments that can be asked."""
        return any(environment.side is side for environment in self._environments)

    async def runs(self, side: Side, call: Traceparent, at: datetime) -> tuple[UUID, ...]:
        """The runs that a call may be of which carries that `traceparent`; none where nobody can say for certain.

        Raises:
            psycopg.Error: the database is away.
        """
        for environment in self._environments:
            if environment.side is not side:
                continue
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    found = await self._runs(environment, call, at)
            except (_Unsaid, TimeoutError) as error:
                log.info("effects.trace_untold", platform=environment.name, reason=str(error) or type(error).__name__)
                continue
            if found:
                return tuple(sorted(found))
        return ()

    async def _runs(self, environment: _Environment, call: Traceparent, at: datetime) -> list[UUID]:
        known = await self._known(environment, call.trace)
        if not known:
            await self._seek(environment, call.trace, at)
            known = await self._known(environment, call.trace)
        if not known:
            return []
        fitting = await self._fitting(environment, known, call, at)
        if len(fitting) > 1:
            for name in fitting:
                tree = await self._tree(environment, name, until=call.span)
                if tree is not None and tree.spans.get(call.span) in fitting:
                    return [fitting[tree.spans[call.span]]]
        return list(fitting.values())

    async def _known(self, environment: _Environment, trace: str) -> dict[str, UUID]:
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_KNOWN, (environment.name, trace, environment.side))
            return {name: run for run, name in await cursor.fetchall()}

    async def _seek(self, environment: _Environment, trace: str, at: datetime) -> None:
        """Ask the runs that were under way and whose traces nobody knows, the newest first."""
        longest = max((task.deadline for task in self._catalogue.tasks.values()), default=_LONGEST_RUN)
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(
                _TRACELESS,
                {
                    "side": environment.side,
                    "platform": environment.name,
                    "oldest": first_id_at(at - max(longest, _LONGEST_RUN)),
                    "at": at,
                    "clocks": CLOCKS_DIFFER,
                },
            )
            names = [row[0] for row in await cursor.fetchall()]
        due = [name for name in names if self._may_be_asked(environment, name)][:_MOST]
        for start in range(0, len(due), _AT_ONCE):
            trees = await asyncio.gather(
                *(self._tree(environment, name) for name in due[start : start + _AT_ONCE]), return_exceptions=True
            )
            wrong = next((tree for tree in trees if isinstance(tree, BaseException)), None)
            if any(isinstance(tree, Tree) and tree.trace == trace for tree in trees):
                return
            if wrong is not None:
                raise wrong

    async def _fitting(
        self, environment: _Environment, known: Mapping[str, UUID], call: Traceparent, at: datetime
    ) -> dict[str, UUID]:
        """The runs of the trace that were under way; asks for relatives that share it and are not known yet.

        Raises:
            _Unsaid: there is one of which nobody can say whether it does.
        """
        fitting: dict[str, UUID] = {}
        looked: set[str] = set()
        waiting = dict(known)
        while waiting:
            name, run = waiting.popitem()
            looked.add(name)
            record = await self._record(environment, name)
            if _was_under_way(record, at):
                fitting[name] = run
            for relative in _relatives(record):
                other = relative.get("id")
                if not isinstance(other, str) or other in looked or other in waiting:
                    continue
                if not _was_under_way(relative, at):
                    looked.add(other)
                    continue
                if len(looked) > _MOST_IN_A_TREE:
                    raise _Unsaid(f"more than {_MOST_IN_A_TREE} runs may share the trace")
                tree = await self._tree(environment, other)
                if tree is None:
                    raise _Unsaid(f"run {other} was under way too, and its trace can't be told yet")
                looked.add(other)
                if tree.trace == call.trace:
                    waiting.update(await self._runs_called(environment, [other]))
        return fitting

    def _may_be_asked(self, environment: _Environment, name: str) -> bool:
        asked = environment.trees.get(name)
        return asked is None or (asked[2] is None and time.monotonic() >= asked[0])

    async def _tree(self, environment: _Environment, name: str, until: str | None = None) -> Tree | None:
        """The trace of a run, asked for once and then only if it was not told, or to see a span.

        Raises:
            _Unsaid: the platform can't be asked now, or a run of that trace is none of ours.
        """
        again_at, asked, tree = environment.trees.get(name, (0.0, 0, None))
        if (tree is not None and (until is None or until in tree.spans)) or time.monotonic() < again_at:
            return tree
        answered = await self._ask(environment, lambda api: api.trace(name))
        tree = Tree.read(answered) if answered is not None else tree
        wait = min(self._again * 2.0**asked, _LONGEST_SECONDS)
        _remember(environment.trees, name, (time.monotonic() + wait, asked + 1, tree))
        if tree is not None:
            await self._learn(environment, tree)
        return tree

    async def _learn(self, environment: _Environment, tree: Tree) -> None:
        runs = await self._runs_called(environment, sorted(tree.runs))
        if len(runs) < len(tree.runs):
            strangers = sorted(tree.runs - set(runs))
            found = [await self._discover(name) for name in strangers]
            if None in found:
                raise _Unsaid(f"{strangers[found.index(None)]} shares the trace and is no run of ours")
            runs |= {name: run for name, run in zip(strangers, found, strict=True) if run is not None}
        async with self._database.connection(Work.OUTCOMES) as conn:
            await conn.execute(_LEARNED, (environment.name, tree.trace, sorted(runs.values())))

    async def _runs_called(self, environment: _Environment, names: Sequence[str]) -> dict[str, UUID]:
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_RUNS, (environment.name, environment.side, list(names)))
            return dict(await cursor.fetchall())

    async def _record(self, environment: _Environment, name: str) -> Json:
        until, record = environment.records.get(name, (0.0, {}))
        if time.monotonic() < until:
            return record
        asked_at = time.monotonic()
        answered = await self._ask(environment, lambda api: _first(api.retrieve(name)))
        if answered is None:
            raise _Unsaid(f"the platform does not show run {name}")
        ended = moment(answered.get("finishedAt")) is not None  # and starts no child any more
        _remember(environment.records, name, (math.inf if ended else asked_at + self._fresh, answered))
        return answered

    async def _ask(
        self, environment: _Environment, call: Callable[[TriggerApi], Awaitable[Json | None]]
    ) -> Json | None:
        """One request, if the budget has room for it now; None where the platform knows nothing of it.

        Raises:
            _Unsaid: it has not, or the platform can't be reached.
        """
        now = time.time()
        if environment.budget.wait(now) > 0:
            metrics.trace_asked("over_budget")
            raise _Unsaid("the budget for asking is used up")
        environment.budget.spend(now)
        try:
            answered = await call(environment.api)
        except Refused as error:
            metrics.trace_asked("refused")
            left = quota(error.answer.fields)
            if left is not None:
                environment.budget.quota(left.limit, left.remaining, left.resets_at.timestamp())
            if error.answer.status == 404:
                return None
            if error.answer.status == 429:
                environment.budget.hold(now + _LONGEST_SECONDS if left is None else left.resets_at.timestamp())
            raise _Unsaid(f"HTTP {error.answer.status}") from None
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            metrics.trace_asked("unreachable")
            raise _Unsaid(type(error).__name__) from None
        metrics.trace_asked("told")
        return answered


async def _first(asked: Awaitable[tuple[Json, object]]) -> Json:
    return (await asked)[0]


def _share(budget: RateBudget) -> RateBudget:
    return budget.model_copy(
        update={
            "requests_per_minute": max(1, int(budget.requests_per_minute * _SHARE)),
            "burst": max(1, int(budget.burst * _SHARE)),
        }
    )


def _relatives(record: Json) -> Iterator[Mapping[str, object]]:
    related = record.get("relatedRuns")
    if not isinstance(related, Mapping):
        return
    children = related.get("children")
    for relative in (related.get("parent"), *(children if isinstance(children, list) else ())):
        if isinstance(relative, Mapping):
            yield relative


def _was_under_way(run: Mapping[str, object], at: datetime) -> bool:
    created_at, finished_at = moment(run.get("createdAt")), moment(run.get("finishedAt"))
    return (created_at is None or created_at - CLOCKS_DIFFER <= at) and (
        finished_at is None or at <= finished_at + CLOCKS_DIFFER
    )


def _remember(kept: OrderedDict[str, _Kept], name: str, what: _Kept) -> None:
    kept[name] = what
    kept.move_to_end(name)
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)

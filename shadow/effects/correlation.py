"""Whose an effect is, in the order of trust: the run that a call names, its trace, a business key of the event.

`attribute` and what it calls are pure: they are told what a call carries and which runs it may be of. `Correlator`
looks those runs up. A call that fits two runs is nobody's; it says which they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import orjson

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side
from shadow.effects.business_keys import indexed, named_in, texts_in
from shadow.effects.record import CLOCKS_DIFFER, AttributedBy
from shadow.effects.traceparent import Traceparent
from shadow.effects.traceref import trace_in, trace_of_run
from shadow.model.ids import derived_id, first_id_at, time_of
from shadow.model.run_names import may_be
from shadow.store.database import Connection

_PATIENCE = timedelta(days=1)
"""How long a run without an outcome is taken to be under way, where its task is not in the catalogue any more."""
_MOST = 200

RUN, TASK, ATTEMPT, EVENT = "x-shadow-run", "x-shadow-task", "x-shadow-attempt", "x-shadow-event"
_INNGEST_RUN = "x-run-id"

_RUN = b"""
run.id, run.event_id, run.task, run.side, run.platform, run.platform_run_id, run.authority, run.scheduled_at,
run.started_at, run.finished_at
"""
_BY_ALIAS = (
    b"SELECT "
    + _RUN
    + b"FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id"
    + b" WHERE known.platform = ANY(%s::text[]) AND known.alias = %s AND run.side = %s LIMIT 2"
)
_BY_NAME = (
    b"SELECT " + _RUN + b"FROM runs AS run WHERE run.platform_run_id = %s AND run.side = %s"
    b" AND run.platform = ANY(%s::text[]) LIMIT 2"
)
_BY_ID = b"SELECT " + _RUN + b"FROM runs AS run WHERE run.id = ANY(%s::uuid[]) AND run.side = %s"
_EVENTS = b"SELECT id FROM events WHERE delivery_id = %s ORDER BY id DESC LIMIT 20"
_NAMED = (
    b"SELECT "
    + _RUN
    + b"FROM runs AS run WHERE run.side = %s AND run.platform = ANY(%s::text[]) AND run.platform_run_id IS NOT NULL"
    + b" AND (run.finished_at IS NULL OR run.finished_at >= %s) AND run.id >= %s ORDER BY run.id DESC LIMIT 5000"
)
_LEARN = b"""
INSERT INTO run_aliases (platform, alias, run_id) VALUES (%s, %s, %s) ON CONFLICT (platform, alias) DO NOTHING
"""
# A dead letter may have arrived all the same; one that waits has not been sent.
_BEGUN = b"""
  AND (run.finished_at IS NULL OR run.finished_at >= %(at)s::timestamptz - %(clocks)s)
  AND (run.started_at IS NULL OR run.started_at <= %(at)s::timestamptz + %(clocks)s)
  AND (run.state <> 'expected' OR NOT EXISTS (
        SELECT FROM dispatches WHERE dispatches.event_id = run.event_id AND dispatches.side = run.side
          AND (dispatches.task IS NULL OR dispatches.task = run.task)
          AND dispatches.state IN ('sequenced', 'held')))
"""
_BY_KEY = (
    b"SELECT "
    + _RUN
    + b""", array_agg(named.digest) FROM run_keys AS named JOIN runs AS run ON run.id = named.run_id
WHERE named.digest = ANY(%(digests)s::bigint[]) AND named.side = %(side)s AND run.side = %(side)s
"""
    + _BEGUN
    + b"GROUP BY "
    + _RUN
    + b"ORDER BY run.id DESC LIMIT %(most)s"
)
_KEYLESS = (
    b"SELECT "
    + _RUN
    + b"""FROM runs AS run
WHERE run.side = %(side)s AND run.task = ANY(%(tasks)s::text[]) AND run.authority = 'none' AND run.id >= %(oldest)s
  AND NOT EXISTS (SELECT FROM run_keys WHERE run_keys.run_id = run.id)
"""
    + _BEGUN
    + b"ORDER BY run.id DESC LIMIT %(most)s"
)


def trace_alias(trace: str) -> str:
    """The alias of a run whose trace is known."""
    return f"trace:{trace}"


@dataclass(frozen=True, slots=True)
class CallTraits:
    """What a call (or row, or mail) carries that may tell whose it is."""

    run: str | None = None
    """The platform's id of the run, as its sender said."""
    task: str | None = None
    event: str | None = None
    attempt: int = 1
    trace: str | None = None
    """Of Inngest's own trace of the run."""
    parent: Traceparent | None = None
    """Says whose it is where its platform tells of which runs a trace is: `Traces`."""
    names: frozenset[int] = frozenset()
    """Digests of the values and words in it."""

    @classmethod
    def of(cls, headers: Mapping[str, str], *documents: Any) -> CallTraits:
        """The traits of a call.

        Args:
            headers: names in lower case.
            documents: its path's parameters, query and body, as JSON values.
        """
        attempt = headers.get(ATTEMPT, "")
        return cls(
            run=headers.get(RUN) or headers.get(_INNGEST_RUN) or None,
            task=headers.get(TASK) or None,
            event=headers.get(EVENT) or None,
            attempt=int(attempt) if attempt.isascii() and attempt.isdigit() and int(attempt[:9]) > 0 else 1,
            trace=trace_in(headers.get("tracestate", "")),
            parent=Traceparent.read(headers.get("traceparent", "")),
            names=named_in(texts_in(*documents)),
        )

    def stored(self) -> bytes:
        """As it is kept with an effect that is nobody's yet, so that it can be asked for again."""
        return orjson.dumps(
            {
                "run": self.run,
                "task": self.task,
                "event": self.event,
                "attempt": self.attempt,
                "trace": self.trace,
                "parent": None if self.parent is None else str(self.parent),
                "names": sorted(self.names),
            }
        )

    @classmethod
    def read(cls, stored: bytes) -> CallTraits:
        """What `stored` kept.

        Raises:
            ValueError: it is not what `stored` gives.
        """
        told = orjson.loads(stored)
        try:
            parent = Traceparent.read(told.get("parent") or "")
            return cls(**{**told, "parent": parent, "names": frozenset(told["names"])})
        except (AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"the traits of a call are kept as {sorted(told)}") from error


class Traces(Protocol):
    """Tells of which runs the trace of a `traceparent` is."""

    def asks(self, side: Side) -> bool:
        """Whether it knows any of that side's."""

    async def runs(self, side: Side, call: Traceparent, at: datetime) -> tuple[UUID, ...]:
        """The runs that a call may be of; none where that is not certain. Takes its time: hold no connection."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that a call may be of."""

    id: UUID
    event_id: UUID | None
    task: str
    side: Side
    platform: str
    platform_run_id: str | None
    authority: str
    since: datetime
    until: datetime | None
    """None: it has no end yet, and could still be under way."""
    keys: frozenset[int] = frozenset()
    """Digests of its event's business keys, of those that the call names."""

    def under_way(self, at: datetime) -> bool:
        """Whether something that was done then may be of it."""
        return self.since - CLOCKS_DIFFER <= at and (self.until is None or at <= self.until + CLOCKS_DIFFER)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose an effect is and how that is known, or who it may be of."""

    run: OpenRun | None = None
    by: AttributedBy | None = None
    candidates: tuple[UUID, ...] = ()
    """The runs that it may be of, when it is nobody's: two or more that fit. Empty: any that is under way."""
    attempt: int = 1
    said: str | None = None
    """What the call's sender calls its run. Kept with the effect, it finds the run once the platform's id is known."""

    @property
    def nobodys(self) -> bool:
        """Whether the effect has to be kept as unattributed."""
        return self.run is None and self.said is None


def attribute(
    call: CallTraits,
    at: datetime,
    *,
    named: Sequence[OpenRun] = (),
    traced: Sequence[OpenRun] = (),
    keyed: Sequence[OpenRun] = (),
    keyless: Sequence[OpenRun] = (),
) -> Attribution:
    """Whose a call is.

    Args:
        named: the runs that its headers name. What a worker said is believed at any time.
        traced: the runs of its trace.
        keyed: the runs of whose event it names a business key, with those that it names.
        keyless: runs without authority of whose events no keys are known, of tasks of `keyed`.
    """
    for found, by in ((named, AttributedBy.HEADERS), (traced, AttributedBy.TRACE)):
        runs = {run.id: run for run in found}
        if len(runs) == 1:
            run = next(iter(runs.values()))
            return Attribution(run, by, attempt=call.attempt, said=call.run or run.platform_run_id)
        if runs:
            return Attribution(candidates=tuple(sorted(runs)), attempt=call.attempt)
    if call.run is not None:
        # It says whose it is, and nobody knows that run (yet): what else it carries must not overrule it.
        return Attribution(by=AttributedBy.HEADERS, attempt=call.attempt, said=call.run)
    fitting = _fitting([run for run in keyed if run.under_way(at)], [run for run in keyless if run.under_way(at)])
    if len(fitting) == 1:
        return Attribution(fitting[0], AttributedBy.KEY, attempt=call.attempt, said=fitting[0].platform_run_id)
    return Attribution(candidates=tuple(sorted(run.id for run in fitting)), attempt=call.attempt)


def _fitting(keyed: Sequence[OpenRun], keyless: Sequence[OpenRun]) -> Sequence[OpenRun]:
    """The runs that fit best. A key gives nobody authority: where one of them had it and another had not, all fit."""
    if len({run.authority for run in keyed}) > 1:
        return keyed
    best = _best(keyed)
    if len(best) == 1 and best[0].authority == "real":
        return [*best, *(run for run in keyless if run.task == best[0].task and run.id != best[0].id)]
    return best


def _best(runs: Collection[OpenRun]) -> list[OpenRun]:
    """Those of whose keys no other's are a larger set: an order's call names its customer too, whose other order's
    run fits by the customer alone."""
    return [run for run in runs if run.keys and not any(run.keys < other.keys for other in runs)]


@dataclass
class Correlator:
    """Looks up whose calls are. Keeps nothing but which traces it has learned."""

    catalogue: ResolvedCatalogue
    _learned: set[tuple[str, str]] = field(default_factory=set)

    async def whose(
        self, conn: Connection, side: Side, call: CallTraits, at: datetime, sharing: Collection[UUID] = ()
    ) -> Attribution:
        """Whose a call of that side at that time is.

        Args:
            sharing: the runs of its `traceparent`, as `Traces` tells.

        A call that names its run and carries a trace teaches whose the trace is.
        """
        named = await self._named(conn, side, call)
        traced: list[OpenRun] = []
        keyed: list[OpenRun] = []
        keyless: list[OpenRun] = []
        if len(named) == 1 and call.trace is not None:
            await self._learn(conn, named[0], call.trace)
        if not named and call.trace is not None:
            traced = await self._traced(conn, side, call.trace, at)
        if not (named or traced) and sharing:
            traced = await self._runs(conn, _BY_ID, (sorted(sharing), side))
        if not (named or traced) and call.names:
            keyed = await self._keyed(conn, side, call.names, at)
            keyless = await self._keyless(conn, side, {run.task for run in keyed if run.authority == "real"}, at)
        return attribute(call, at, named=named, traced=traced, keyed=keyed, keyless=keyless)

    async def _named(self, conn: Connection, side: Side, call: CallTraits) -> list[OpenRun]:
        platforms = self._platforms(side)
        if call.run is not None:
            found = await self._runs(conn, _BY_ALIAS, (platforms, call.run, side))
            found = found or await self._runs(conn, _BY_NAME, (call.run, side, platforms))
            if found:
                return found
        task = call.task and self._task(side, call.task)
        if call.event is None or not task:
            return []
        cursor = await conn.execute(_EVENTS, (call.event,))
        events = [row[0] for row in await cursor.fetchall()]
        found = await self._runs(conn, _BY_ID, ([derived_id(event, task, side) for event in events], side))
        fits = [run for run in found if may_be(run.platform_run_id, call.run)]
        return sorted(fits, key=lambda run: run.id, reverse=True)[:1]

    async def _traced(self, conn: Connection, side: Side, trace: str, at: datetime) -> list[OpenRun]:
        platforms = [
            name
            for name, platform in self.catalogue.platforms.items()
            if platform.side is side and isinstance(platform, InngestPlatform)
        ]
        if not platforms:
            return []
        found = await self._runs(conn, _BY_ALIAS, (platforms, trace_alias(trace), side))
        if found:
            return found
        oldest = at - max((task.deadline for task in self.catalogue.tasks.values()), default=_PATIENCE)
        runs = await self._runs(conn, _NAMED, (side, platforms, at - CLOCKS_DIFFER, first_id_at(oldest)))
        fits = [run for run in runs if trace_of_run(run.platform_run_id or "") == trace]
        for run in fits[:1]:
            await self._learn(conn, run, trace)
        return fits

    async def _learn(self, conn: Connection, run: OpenRun, trace: str) -> None:
        if (run.platform, trace) not in self._learned:
            await conn.execute(_LEARN, (run.platform, trace_alias(trace), run.id))
            if len(self._learned) >= 100_000:
                self._learned.clear()
            self._learned.add((run.platform, trace))

    async def _keyed(self, conn: Connection, side: Side, names: Iterable[int], at: datetime) -> list[OpenRun]:
        cursor = await conn.execute(
            _BY_KEY,
            {
                "digests": sorted(indexed(await conn.vault.business_keys(), names)),
                "side": side.value,
                "at": at,
                "clocks": CLOCKS_DIFFER,
                "most": _MOST,
            },
        )
        return [self._open(row, frozenset(row[-1])) for row in await cursor.fetchall()]

    async def _keyless(self, conn: Connection, side: Side, tasks: Collection[str], at: datetime) -> list[OpenRun]:
        """Runs that nothing of ours started, or of events that lack the keys: any call of the task may be theirs."""
        if not tasks:
            return []
        known = [task.deadline for name in tasks if (task := self.catalogue.tasks.get(name)) is not None]
        cursor = await conn.execute(
            _KEYLESS,
            {
                "side": side.value,
                "tasks": sorted(tasks),
                "oldest": first_id_at(at - max(known, default=_PATIENCE) - CLOCKS_DIFFER),
                "at": at,
                "clocks": CLOCKS_DIFFER,
                "most": _MOST,
            },
        )
        return [self._open(row) for row in await cursor.fetchall()]

    async def _runs(self, conn: Connection, query: bytes, parameters: tuple[object, ...]) -> list[OpenRun]:
        cursor = await conn.execute(query, parameters)
        return [self._open(row) for row in await cursor.fetchall()]

    def _open(self, row: Sequence[Any], keys: frozenset[int] = frozenset()) -> OpenRun:
        run_id, event_id, task, side, platform, name, authority, scheduled_at, started_at, finished_at = row[:10]
        starts_at = scheduled_at or time_of(run_id)
        known = self.catalogue.tasks.get(task)
        latest = starts_at + (known.deadline if known else _PATIENCE)
        return OpenRun(
            id=run_id,
            event_id=event_id,
            task=task,
            side=Side(side),
            platform=platform,
            platform_run_id=name,
            authority=authority,
            since=started_at or starts_at,
            until=finished_at or latest,
            keys=keys,
        )

    def _platforms(self, side: Side) -> list[str]:
        return [name for name, platform in self.catalogue.platforms.items() if platform.side is side]

    def _task(self, side: Side, name: str) -> str | None:
        """The catalogue's id of a task by any of its names."""
        if name in self.catalogue.tasks:
            return name
        for task in self.catalogue.tasks.values():
            function, platform = task.candidate.function, self.catalogue.platforms.get(task.candidate.platform)
            app = f"{platform.app}-" if isinstance(platform, InngestPlatform) else ""
            if name in ((task.legacy.task,) if side is Side.LEGACY else (function, function.removeprefix(app))):
                return task.id
        return None


async def whose(
    conn: Connection, catalogue: ResolvedCatalogue, side: Side, call: CallTraits, at: datetime
) -> Attribution:
    """As `Correlator.whose`, for who asks once."""
    return await Correlator(catalogue).whose(conn, side, call, at)

"""Whose call it is: from what a call says of itself to a run of ours and its authority.

The headers of the client packages come first; then the correlator is asked, which knows of traces and business keys.
A run that is not known yet is waited for a little while, without a connection: a
worker may begin before the answer that named its run is written down.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import HttpPlatform, Side
from shadow.cutover.decision import Authority, Decision
from shadow.effects.correlation import Attribution, CallTraits, Correlator, Traces
from shadow.effects.evidence import UNKNOWN, Tenant
from shadow.effects.record import AttributedBy
from shadow.egress.strangers import Strangers
from shadow.intake.storable import storable_or_none
from shadow.model.ids import derived_id
from shadow.model.run_names import may_be, needs_proof
from shadow.store.database import Connection, Database, Work
from shadow.store.patience import patience
from shadow.store.rounds import Rounds

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 2.0
"""How long an unknown run is waited for."""
DATABASE_SECONDS = 2.0
"""How long the database may take to say whose a call is."""
GLANCE_SECONDS = 0.5
"""The same, once it was found to be away."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.3
_ASKED_AT_MOST = 3
"""How often a platform is asked for one call's run: its read replica may lag."""
_FRESH_SECONDS = 30.0
"""How long a run that is known is not looked up again. Its authority never changes; what it is paired with may."""
_REMEMBERED = 100_000

_COLUMNS = """
run.id, run.side, run.task, run.authority, run.pair_id, run.platform_run_id,
CASE WHEN pair.legacy_run = run.id THEN pair.candidate_run ELSE pair.legacy_run END AS twin, event.tenant,
event.id AS event, original.id AS original, original.authority AS originals_authority, event.upstream_id
FROM runs AS run LEFT JOIN pairs AS pair ON pair.id = run.pair_id LEFT JOIN events AS event ON event.id = run.event_id
LEFT JOIN events AS original ON original.id = event.repeats
"""
_BY_ALIAS = f"""
SELECT found.*, asked.name FROM unnest(%s::text[]) AS asked (name) CROSS JOIN LATERAL (
    SELECT {_COLUMNS} WHERE run.id IN (SELECT run_id FROM run_aliases WHERE alias = asked.name)
    UNION ALL
    SELECT {_COLUMNS} WHERE run.platform_run_id = asked.name
    LIMIT 1
) AS found
"""  # noqa: S608  # of constants
_BY_IDS = f"SELECT {_COLUMNS} WHERE run.id = ANY(%s::uuid[])"
_EVENTS = b"""
SELECT asked.name, event.id FROM unnest(%s::text[]) AS asked (name) CROSS JOIN LATERAL (
    SELECT id FROM events WHERE delivery_id = asked.name ORDER BY id DESC LIMIT 20
) AS event
"""

_Name = tuple[Side, str | None, str | None, str | None]
"""Side, run, event and task: all that headers say of whose a call is."""


class Unknown(Exception):
    """Nobody knows whose call it is; the message says what was tried."""

    def __init__(self, detail: str, suspects: tuple[UUID, ...] = (), *, is_new: bool = False) -> None:
        super().__init__(detail)
        self.suspects = suspects
        """The runs that it may be of, where that is known."""
        self.is_new = is_new
        """Whether it names a run that nobody has heard of before, so that it may be known in a moment."""


class WrongSide(Exception):
    """The run is of the other side than the key."""

    def __init__(self, run: KnownRun, side: Side) -> None:
        super().__init__(f"the key is of {side.value}, the run {run.platform_run_id} of {run.side.value}")
        self.run = run


@dataclass(frozen=True, slots=True)
class Told:
    """What a call says of itself in its headers."""

    run: str | None
    task: str | None
    attempt: int
    event: str | None
    version: str | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Told:
        attempt = headers.get("x-shadow-attempt", "")
        return cls(
            run=storable_or_none(headers.get("x-shadow-run")),
            task=storable_or_none(headers.get("x-shadow-task")),
            attempt=min(max(int(attempt), 1), 32_767) if attempt.isdecimal() and attempt.isascii() else 1,
            event=storable_or_none(headers.get("x-shadow-event")),
            version=storable_or_none(headers.get("x-shadow-version")),
        )

    @property
    def says_nothing(self) -> bool:
        return self.run is None and self.event is None


@dataclass(frozen=True, slots=True)
class KnownRun:
    """The run that makes a call."""

    id: UUID | None
    """None only for one of which nothing is known but that it may: while the database is away."""
    side: Side
    task: str
    """The catalogue's id."""
    authority: Authority
    pair_id: UUID | None
    twin: UUID | None
    """The run whose recorded answers it gets: that which it is compared with; of a repeated event, that which had
    authority when it was new."""
    platform_run_id: str | None
    attributed_by: AttributedBy = AttributedBy.HEADERS
    tenant: Tenant = UNKNOWN
    """Of its event."""
    upstream_id: str | None = None
    """What the candidate's platform calls its event."""


def _known(row: Sequence[Any], attributed_by: AttributedBy) -> KnownRun:
    run, side, task, authority, pair, name, twin, tenant, event, original, real, upstream = row
    return KnownRun(
        run,
        Side(side),
        task,
        authority,
        pair,
        twin if original is None or real is None else derived_id(original, task, Side(real)),
        name,
        attributed_by,
        UNKNOWN if event is None else tenant,
        upstream,
    )


class AsksPlatform(Protocol):
    """Tells of a legacy run that was not started through Shadow."""

    async def unsolicited(self, told: Told) -> UUID | None:
        """The run as it is kept, with an authority, once the platform has said what it is.

        None while the platform doesn't know it.
        """


Identify = Callable[[str], Awaitable[UUID | None]]
"""Has the candidate's platform say which run of ours it calls so; it is known by that name then."""


class Decides(Protocol):
    """The routing, as far as the gateway knows it: without I/O, from what this process read last."""

    def decision(self, route: str, key: str | None = None) -> Decision: ...


def _is_the_one(run: KnownRun, said: str | None) -> bool:
    """Whether the run of that event and task is the one that calls, as far as its name tells."""
    known = run.platform_run_id
    return may_be(known, said) and not (run.authority == "real" and needs_proof(known, said, run.upstream_id))


class TaskNames:
    """Every name by which a worker may call its task."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        names: dict[str, set[str]] = {}
        for task in catalogue.tasks.values():
            own = {task.id, task.legacy.task, task.candidate.function}
            platform = catalogue.platforms[task.candidate.platform]
            app = getattr(platform, "app", None)
            if isinstance(app, str) and task.candidate.function.startswith(app + "-"):
                own.add(task.candidate.function.removeprefix(app + "-"))
            for name in own:
                names.setdefault(name, set()).add(task.id)
        self._tasks = catalogue.tasks
        # The catalogue's own id wins; another name that means two tasks means none.
        self._names = {
            name: name if name in catalogue.tasks else next(iter(tasks))
            for name, tasks in names.items()
            if name in catalogue.tasks or len(tasks) == 1
        }

    def task(self, name: str | None) -> ResolvedTask | None:
        return self._tasks.get(self._names.get(name or "", ""))


class Runs:
    """Finds runs, and remembers them."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        routing: Decides,
        *,
        platform: AsksPlatform | None = None,
        traces: Traces | None = None,
        identify: Identify | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._identify = identify
        self._catalogue = catalogue
        self._database = database
        self._routing = routing
        self._platform = platform
        self._traces = traces
        self._correlator = Correlator(catalogue)
        self._patience = patience
        self.names = TaskNames(catalogue)
        self._known: OrderedDict[_Name, tuple[float, KnownRun]] = OrderedDict()
        self._strangers = Strangers()
        self._asked = Rounds(self._by_headers)

    async def find(self, side: Side, told: Told, carries: Callable[[], CallTraits]) -> KnownRun:
        """The run that makes this call.

        Args:
            carries: tells what else it carries; not called where nothing of it is needed.

        Raises:
            Unknown: nobody's, or not known in time.
            WrongSide: it is known to be of the other side.
            psycopg.Error, TimeoutError: the database can't say.
        """
        key = (side, told.run, told.event, told.task)
        remembered = self._known.get(key)
        if remembered is not None and time.monotonic() < remembered[0]:
            self._known.move_to_end(key)
            return remembered[1]
        traits = carries()
        if told.says_nothing:
            return await self._correlated(side, traits)
        until = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        asked = 0
        while True:
            async with asyncio.timeout(DATABASE_SECONDS):
                run = await self._asked.ask((side, told))
                if run is not None and traits.trace is not None:
                    async with self._database.connection(Work.EGRESS) as conn:  # whose trace it is, is learned
                        await self._correlator.whose(conn, side, traits, datetime.now(UTC))
            if run is not None:
                break
            if time.monotonic() >= until:
                detail = f"no run is known by run {told.run!r}, event {told.event!r} and task {told.task!r}"
                raise Unknown(detail, is_new=self._strangers.is_new(key, time.monotonic()))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if pause == _LONGEST_PAUSE and asked < _ASKED_AT_MOST:
                # The doors are quicker than that: what is still unknown was not started through them.
                asked += 1
                await self._ask(side, told)
        self._strangers.is_known(key)
        if run.side is not side:
            raise WrongSide(run, side)
        self._remember(key, run)
        return run

    async def _ask(self, side: Side, told: Told) -> None:
        """Have the platform say which run it is."""
        if told.run is None:
            return
        if side is Side.LEGACY and self._platform is not None:
            await self._platform.unsolicited(told)
        if side is Side.CANDIDATE and self._identify is not None:
            await self._identify(told.run)

    async def last_known(self, side: Side, told: Told, *, contained_legacy: bool) -> KnownRun | None:
        """The run as it was last known, while the database is away; None: it answers, and does not know that run yet.

        A legacy run of which nothing was ever known is let through while legacy has authority for all of its
        route; a candidate's never. It is asked once more before: what fails at one call may be there at the next.

        Args:
            contained_legacy: whether legacy runs without authority are under way. It may be one of them then.

        Raises:
            Unknown: it may not.
            WrongSide: it is known to be of the other side.
        """
        remembered = self._known.get((side, told.run, told.event, told.task))
        if remembered is not None:
            return remembered[1]
        try:
            async with asyncio.timeout(GLANCE_SECONDS):
                run = await self._asked.ask((side, told))
        except (psycopg.Error, TimeoutError, OSError):
            return self._let_through(side, told, contained_legacy)
        if run is None:
            return None
        if run.side is not side:
            raise WrongSide(run, side)
        self._remember((side, told.run, told.event, told.task), run)
        return run

    def _let_through(self, side: Side, told: Told, contained_legacy: bool) -> KnownRun:
        """A run of which nothing is known but that it may."""
        if contained_legacy:
            raise Unknown("the database is away, and this may be one of the legacy runs without authority")
        task = self.names.task(told.task)
        if side is not Side.LEGACY or task is None or told.run is None:
            raise Unknown("the database is away and nothing is known of this run")
        decision = self._routing.decision(task.route)
        if decision.authority is not Side.LEGACY:
            raise Unknown("the database is away and legacy has no authority for this route")
        if not decision.whole(Side.LEGACY):
            raise Unknown("the database is away and the route's authority is divided")
        return KnownRun(None, side, task.id, "real", None, None, told.run)

    async def by_id(self, run_id: UUID, attributed_by: AttributedBy) -> KnownRun | None:
        """A run of ours by its own id."""
        async with asyncio.timeout(DATABASE_SECONDS), self._database.connection(Work.EGRESS) as conn:
            return await self._one(conn, run_id, attributed_by)

    def _remember(self, key: _Name, run: KnownRun) -> None:
        # Without a pair a contained run may get one yet: it is looked up each time.
        fresh = 0.0 if run.authority == "none" and run.twin is None else _FRESH_SECONDS
        self._known[key] = (time.monotonic() + fresh, run)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _by_headers(self, asked: Sequence[tuple[Side, Told]]) -> list[KnownRun | None]:
        """The runs that these calls say they are of, as far as they are known."""
        async with self._database.connection(Work.CALLS) as conn, patience(conn, DATABASE_SECONDS):
            return await self._looked_up(conn, asked)

    async def _looked_up(self, conn: Connection, asked: Sequence[tuple[Side, Told]]) -> list[KnownRun | None]:
        names = {told.run for _side, told in asked if told.run is not None}
        by_name: dict[str, KnownRun] = {}
        if names:
            cursor = await conn.execute(_BY_ALIAS.encode(), (sorted(names),))
            by_name = {row[-1]: _known(row[:-1], AttributedBy.HEADERS) for row in await cursor.fetchall()}
        found = [by_name.get(told.run or "") for _side, told in asked]
        by_event = {
            number: (told.event, task)
            for number, ((side, told), run) in enumerate(zip(asked, found, strict=True))
            if run is None and told.event is not None and (task := self._task_by_event(side, told)) is not None
        }
        if not by_event:
            return found
        cursor = await conn.execute(_EVENTS, (sorted({event for event, _task in by_event.values()}),))
        events: dict[str, list[UUID]] = {}
        for delivery, event in await cursor.fetchall():
            events.setdefault(delivery, []).append(event)
        ids = {
            number: [derived_id(event, task, asked[number][0]) for event in events.get(delivery, ())]
            for number, (delivery, task) in by_event.items()
        }
        wanted = sorted({run for runs in ids.values() for run in runs})
        runs = {run.id: run for run in await self._all(conn, wanted)} if wanted else {}
        for number, of_call in ids.items():
            newest = sorted((run for run in of_call if run in runs), reverse=True)
            told = asked[number][1]
            found[number] = next((runs[run] for run in newest if _is_the_one(runs[run], told.run)), None)
        return found

    def _task_by_event(self, side: Side, told: Told) -> str | None:
        """The task whose run is known by its event."""
        task = self.names.task(told.task)
        if task is None or (side is Side.LEGACY and not self._named_by_event(task)):
            # An event has a run on either side: a candidate's worker with a key of legacy's would pass for its twin.
            return None
        return task.id

    def _named_by_event(self, task: ResolvedTask) -> bool:
        """Whether legacy's runs of that task have no other name: those of a plain HTTP endpoint."""
        return isinstance(self._catalogue.platforms[task.legacy.platform], HttpPlatform)

    async def _one(self, conn: Connection, run: UUID, attributed_by: AttributedBy) -> KnownRun | None:
        return next(iter(await self._all(conn, [run], attributed_by)), None)

    async def _all(
        self, conn: Connection, runs: Sequence[UUID], attributed_by: AttributedBy = AttributedBy.HEADERS
    ) -> list[KnownRun]:
        cursor = await conn.execute(_BY_IDS.encode(), (list(runs),))
        return [_known(row, attributed_by) for row in await cursor.fetchall()]

    async def _correlated(self, side: Side, traits: CallTraits) -> KnownRun:
        found, run = await self._by_what_it_carries(side, traits, datetime.now(UTC))
        if run is None:
            raise Unknown(
                "the call names no run, by x-shadow-run or x-shadow-event with x-shadow-task, and nothing else in it"
                " tells whose it is",
                found.candidates,
            )
        if run.side is not side:
            raise WrongSide(run, side)
        return run

    async def _by_what_it_carries(
        self, side: Side, traits: CallTraits, at: datetime
    ) -> tuple[Attribution, KnownRun | None]:
        """The platform is asked about a trace for as long as an unknown run is waited for: it tells of runs late.

        Which of several runs that share it is meant is told by spans alone, which it has when the call is over.
        """
        asked = self._traces if self._traces is not None and self._traces.asks(side) else None
        until = time.monotonic() + (self._patience if asked is not None and traits.parent is not None else 0.0)
        pause = _FIRST_PAUSE
        while True:
            sharing: tuple[UUID, ...] = ()
            if asked is not None and traits.parent is not None:
                sharing = await asked.runs(side, traits.parent, at)
            run = None
            async with asyncio.timeout(DATABASE_SECONDS), self._database.connection(Work.EGRESS) as conn:
                found = await self._correlator.whose(conn, side, traits, at, sharing)
                if found.run is not None and found.by is not None:
                    run = await self._one(conn, found.run.id, found.by)
            if run is not None or len(sharing) > 1 or time.monotonic() >= until:
                return found, run
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

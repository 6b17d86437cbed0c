"""Starting a replay: recorded events run once more, hermetically, and are compared with legacy's runs on record.

Either on the candidate, for the events behind a signature (what has a fix cleared?) or of a task (what does its gate
lack?), or on legacy itself (what differs
though nothing was changed: noise). Each is an event of its own with an id that the platform has not seen (Inngest would
swallow the first one's), gives nobody authority, and its calls get the answers that legacy's run got. Such pairs are
judged like any other and counted apart: neither tallies nor signatures know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg.types.json import Jsonb

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.causes.authority import Purpose
from shadow.causes.repeats import Repeater
from shadow.containment.record import refusal, uncontained
from shadow.effects.business_keys import KeyedRun, note_keys
from shadow.effects.evidence import data_of_events
from shadow.model.ids import derived_id, first_id_at, new_id
from shadow.model.world import NOT_COPIED
from shadow.observe.fail_points import reach
from shadow.replays.second_run import why_event_is_not_run_twice, why_task_is_not_run_twice
from shadow.store.database import Connection, Database, Work
from shadow.world.copying import Worlds

log = structlog.get_logger(__name__)

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 500
LONGEST_REASON = 2000

_TASK = b"SELECT task FROM signatures WHERE id = %s"
_SHOWING = b"""
SELECT pair.id, pair.event_id, pair.tenant, pair.legacy_run, event.accepted_at,
       legacy.state = 'finished' AND legacy.authority = 'real', event.repeats IS NULL
FROM (SELECT DISTINCT pair_id FROM differences WHERE signature = %s ORDER BY pair_id DESC LIMIT %s) AS showing
JOIN pairs AS pair ON pair.id = showing.pair_id AND pair.replay IS NULL
JOIN events AS event ON event.id = pair.event_id
LEFT JOIN runs AS legacy ON legacy.id = pair.legacy_run
ORDER BY pair.id DESC
"""
_NEWEST = b"""
SELECT pair.id, pair.event_id, pair.tenant, pair.legacy_run, event.accepted_at,
       legacy.state = 'finished' AND legacy.authority = 'real', event.repeats IS NULL
FROM pairs AS pair JOIN events AS event ON event.id = pair.event_id
LEFT JOIN runs AS legacy ON legacy.id = pair.legacy_run
WHERE pair.task = %s AND pair.replay IS NULL AND pair.verdict IS NOT NULL
ORDER BY pair.id DESC LIMIT %s
"""
_EPOCH = b"SELECT started_at FROM epochs WHERE task = %s AND ended_at IS NULL"
# First those with a shape of which nothing was compared in the epoch, then the newest; none twice in an epoch.
_OF_TASK = b"""
SELECT pair.id, pair.event_id, pair.tenant, pair.legacy_run, event.accepted_at,
       legacy.state = 'finished' AND legacy.authority = 'real', event.repeats IS NULL
FROM (SELECT id, min(rank) AS rank FROM (
        SELECT example_pair AS id, 0 AS rank FROM task_shapes
        WHERE task = %(task)s AND legacy_at >= %(shown_from)s AND example_pair IS NOT NULL
          AND (compared_at IS NULL OR compared_at < %(since)s)
        UNION ALL
        (SELECT id, 1 FROM pairs
         WHERE task = %(task)s AND id < %(first)s AND replay IS NULL AND verdict IS NOT NULL
         ORDER BY id DESC LIMIT %(most)s)) AS wanted
      GROUP BY id) AS wanted
JOIN pairs AS pair ON pair.id = wanted.id AND pair.replay IS NULL
JOIN events AS event ON event.id = pair.event_id
LEFT JOIN runs AS legacy ON legacy.id = pair.legacy_run
WHERE NOT EXISTS (SELECT FROM pairs AS again WHERE again.replays = pair.id AND again.id >= %(first)s)
ORDER BY wanted.rank, pair.id DESC LIMIT %(limit)s
"""
_BEGIN = b"""
INSERT INTO replays (id, task, purpose, signature, actor, reason, skipped) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_SKIPPED = b"UPDATE replays SET skipped = %s WHERE id = %s"
_RUN = b"""
INSERT INTO runs (id, event_id, pair_id, task, side, platform, authority, state, world)
VALUES (%s, %s, %s, %s, %s, %s, 'none', 'expected', %s)
"""
_PAIR = b"""
INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at, starts_at, replay,
                   replays)
VALUES (%s, %s, %s, %s, %s, %s, 'open', now() + %s, now() + %s, now(), %s, %s)
"""


class ReplayRefused(ValueError):
    """Nothing was started; the message says why."""


class UnknownSignature(LookupError):
    """No pair ever showed it."""


Progress: TypeAlias = "Callable[[int, int], None]"
"""Is told how many events are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Started:
    """A replay whose events are on their way."""

    id: UUID
    task: str
    events: int
    skipped: dict[str, str] = field(default_factory=dict)
    """Pair -> why its event could not be run again."""


@dataclass(frozen=True, slots=True)
class _Original:
    pair: UUID
    event: UUID
    tenant: str | None
    legacy_run: UUID
    accepted_at: datetime
    recorded: bool
    """Whether legacy's run is known to the end, and was the one with authority: only its answers are on record."""
    first: bool
    """Whether the event is no repetition itself."""


def _silent(done: int, of: int) -> None:
    del done, of


async def start_replay(
    database: Database,
    catalogue: ResolvedCatalogue,
    signature: str,
    *,
    actor: str,
    reason: str,
    limit: int = DEFAULT_LIMIT,
    progress: Progress = _silent,
) -> Started:
    """Send the events of the newest pairs that show a signature to the candidate again.

    Every event is started in a transaction of its own: what was started when it is broken off goes on.

    Args:
        limit: events at most, from 1 to `LARGEST_LIMIT`.

    Raises:
        UnknownSignature: no pair ever showed it.
        ReplayRefused: its task is not in the catalogue any more, the candidate is not contained, or no pair shows
            the signature now.
    """
    _check(limit, reason)
    async with database.connection(Work.CONTROL) as connection:
        task = await _task(connection, catalogue, signature)
        await _check_contained(connection, catalogue, task)
        originals = await _showing(connection, signature, limit)
    if not originals:
        raise ReplayRefused(f"no pair shows {signature} now, so there is no event to replay")
    asked = _Asked(task, Purpose.REPLAY, Side.CANDIDATE, signature, actor, reason)
    return await _start_all(database, catalogue, asked, originals, progress)


async def start_task_replay(
    database: Database,
    catalogue: ResolvedCatalogue,
    task: str,
    *,
    actor: str,
    reason: str,
    limit: int = DEFAULT_LIMIT,
    progress: Progress = _silent,
) -> Started:
    """Send recorded events of a task to the candidate again, as evidence for its present epoch.

    First those that show a shape of which nothing was compared in the epoch, then the newest of those from before it.
    None is sent twice in an epoch.

    Args:
        limit: events at most, from 1 to `LARGEST_LIMIT`.

    Raises:
        ReplayRefused: the task is not in the catalogue, has no epoch, or no such event; or it is not contained.
    """
    _check(limit, reason)
    found = catalogue.tasks.get(task)
    if found is None:
        raise ReplayRefused(f"the catalogue has no task {task!r}")
    async with database.connection(Work.CONTROL) as connection:
        await _check_contained(connection, catalogue, found)
        epoch = await (await connection.execute(_EPOCH, (task,))).fetchone()
        if epoch is None:
            raise ReplayRefused(f"{task} has no epoch yet: it begins with its first pair in shadow")
        wanted = {
            "task": task,
            "since": epoch[0],
            "first": first_id_at(epoch[0]),
            "shown_from": datetime.now(UTC) - found.gate.coverage,
            "limit": limit,
            "most": limit * 10,
        }
        originals = _by_event(await (await connection.execute(_OF_TASK, wanted)).fetchall())
    if not originals:
        raise ReplayRefused(f"no recorded event of {task} is left that could count in its epoch")
    asked = _Asked(found, Purpose.REPLAY, Side.CANDIDATE, None, actor, reason)
    return await _start_all(database, catalogue, asked, originals, progress)


async def start_legacy_twice(
    database: Database,
    catalogue: ResolvedCatalogue,
    task: str,
    *,
    actor: str,
    reason: str,
    limit: int = DEFAULT_LIMIT,
    progress: Progress = _silent,
) -> Started:
    """Have legacy run the newest events of a task once more, without authority, to see what it does not do alike.

    Of its route only that task is run. What would not be contained is left out (`second_run.py`), as far as legacy's
    recorded run shows it; that this was all it did is what the actor vouches for.

    Args:
        reason: why a second run of legacy does no harm; kept.
        limit: events at most, from 1 to `LARGEST_LIMIT`.

    Raises:
        ReplayRefused: the task is not in the catalogue or is probed, or no pair of it was judged.
    """
    _check(limit, reason)
    found = catalogue.tasks.get(task)
    if found is None:
        raise ReplayRefused(f"the catalogue has no task {task!r}")
    if (because := why_task_is_not_run_twice(found)) is not None:
        raise ReplayRefused(because)
    async with database.connection(Work.CONTROL) as connection:
        originals = _by_event(await (await connection.execute(_NEWEST, (task, limit))).fetchall())
    if not originals:
        raise ReplayRefused(f"no pair of {task} was judged yet, so there is no event to run again")
    asked = _Asked(found, Purpose.LEGACY_TWICE, Side.LEGACY, None, actor, reason)
    return await _start_all(database, catalogue, asked, originals, progress)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run again, where, and who wants it."""

    task: ResolvedTask
    purpose: Purpose
    side: Side
    signature: str | None
    actor: str
    reason: str

    @property
    def platform(self) -> str:
        return self.task.legacy.platform if self.side is Side.LEGACY else self.task.candidate.platform


def _check(limit: int, reason: str) -> None:
    if not reason.strip():
        raise ReplayRefused("expected a reason, found none")
    if not 1 <= limit <= LARGEST_LIMIT:
        raise ReplayRefused(f"expected a limit from 1 to {LARGEST_LIMIT}, found {limit}")


async def _start_all(
    database: Database,
    catalogue: ResolvedCatalogue,
    asked: _Asked,
    originals: list[_Original],
    progress: Progress,
) -> Started:
    replay = new_id()
    async with database.connection(Work.CONTROL) as connection:
        values = (asked.task.id, asked.purpose.value, asked.signature, asked.actor, asked.reason)
        await connection.execute(_BEGIN, (replay, *values, Jsonb({})))
    repeater = await Repeater.of(database, catalogue)
    skipped: dict[str, str] = {}
    async with aclosing(_Copies(catalogue)) as copies:
        for done, original in enumerate(originals):
            progress(done, len(originals))
            if (because := await _start(database, repeater, copies, asked, replay, original)) is not None:
                skipped[str(original.pair)] = because
            reach("replays.repeated")
    progress(len(originals), len(originals))
    if skipped:
        async with database.connection(Work.CONTROL) as connection:
            await connection.execute(_SKIPPED, (Jsonb(skipped), replay))
    started = len(originals) - len(skipped)
    reach("replays.started")
    log.info(
        "replay.started",
        replay=str(replay),
        task=asked.task.id,
        purpose=asked.purpose.value,
        events=started,
        skipped=len(skipped),
        actor=asked.actor,
    )
    return Started(replay, asked.task.id, started, skipped)


async def _task(connection: Connection, catalogue: ResolvedCatalogue, signature: str) -> ResolvedTask:
    row = await (await connection.execute(_TASK, (signature,))).fetchone()
    if row is None:
        raise UnknownSignature(signature)
    task = catalogue.tasks.get(row[0])
    if task is None:
        raise ReplayRefused(f"the catalogue has no task {row[0]!r} any more")
    return task


async def _check_contained(connection: Connection, catalogue: ResolvedCatalogue, task: ResolvedTask) -> None:
    """The candidate's platform starts every function of the event, so all of them must be contained."""
    together = [one.id for one in catalogue.tasks_of_event(task.event)]
    if reasons := await uncontained(connection, together):
        raise ReplayRefused(refusal(reasons))


async def _showing(connection: Connection, signature: str, limit: int) -> list[_Original]:
    # Replays show signatures too: some more are looked at, so that they take nobody's place.
    cursor = await connection.execute(_SHOWING, (signature, limit * 10))
    return _by_event(await cursor.fetchall())[:limit]


def _by_event(rows: Sequence[Sequence[Any]]) -> list[_Original]:
    """One of each event, in their order."""
    found: dict[UUID, _Original] = {}
    for row in rows:
        original = _Original(*row)
        found.setdefault(original.event, original)
    return list(found.values())


class _Copies:
    """The rows that a task needs, copied as they are copied before any run without authority."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._worlds = Worlds(catalogue)

    async def aclose(self) -> None:
        await self._worlds.close()

    async def copied(self, task: ResolvedTask, data: Any, since: datetime) -> str | None:
        """How it went; None when it needs none."""
        if not task.world:
            return None
        try:
            return await self._worlds.copy(task, data, since, Side.LEGACY, Side.CANDIDATE)
        except (psycopg.OperationalError, TimeoutError):
            return f"{NOT_COPIED}: a database could not be reached"


async def _start(
    database: Database,
    repeater: Repeater,
    copies: _Copies,
    asked: _Asked,
    replay: UUID,
    original: _Original,
) -> str | None:
    """Start one event's; the reason when it can't be."""
    if not original.first:
        return "its event is a repetition itself"
    if not original.recorded:
        return "legacy's run with its recorded answers is not there: it has not ended, or had no authority"
    world = None
    async with database.connection(Work.CONTROL) as connection:
        if asked.side is Side.LEGACY:
            because = await why_event_is_not_run_twice(connection, original.legacy_run, original.accepted_at)
            if because is not None:
                return because
        data = (await data_of_events(connection, {original.event})).get(original.event)
    if data is not None and asked.side is Side.CANDIDATE:
        world = await copies.copied(asked.task, orjson.loads(data), original.accepted_at)
    async with database.connection(Work.CONTROL) as connection:
        try:
            again = await repeater.repeat(connection, original.event, asked.purpose, (asked.side,), asked.task.id)
        except LookupError as error:
            await connection.rollback()
            return str(error)
        await _pair(connection, asked, replay, original, again, world)
        if data is not None and asked.task.business_keys:
            run = derived_id(again, asked.task.id, asked.side)
            await note_keys(connection, [KeyedRun(run, asked.side, asked.task.business_keys, data)])
    return None


async def _pair(
    connection: Connection, asked: _Asked, replay: UUID, original: _Original, again: UUID, world: str | None
) -> None:
    """Write the run that is to come and its pair, before anybody can hand the event over."""
    task = asked.task
    pair, run = derived_id(again, task.id), derived_id(again, task.id, asked.side)
    await connection.execute(_RUN, (run, again, pair, task.id, asked.side.value, asked.platform, world))
    await connection.execute(
        _PAIR,
        (
            pair,
            again,
            task.id,
            original.tenant,
            original.legacy_run,
            run,
            task.deadline,
            task.deadline,
            replay,
            original.pair,
        ),
    )

"""The judge's loop: claims pairs that are due, lets them settle or judges them, writes what was found.

Any number of loops in any number of processes share the work. A claim is a lease: the pair's `due_at` is pushed
ahead, and whatever is written afterwards holds only while it still stands there. Who records an outcome or an
effect sets `due_at` to now, which voids a judgement made without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog

from comparators import Judgement, Verdict
from shadow.catalogue import ResolvedCatalogue
from shadow.judge.committing import committed
from shadow.judge.doubt import note_targets
from shadow.judge.facts import ClaimedPair, PairFacts, load_facts
from shadow.judge.hearing import Hearing
from shadow.judge.judging import failed, judgement_of
from shadow.judge.ledger import Evidence, load_evidence
from shadow.judge.pair import PairKnown, PairState, Step, next_state
from shadow.judge.rule_counts import note_rules
from shadow.judge.rulebook import Rulebook
from shadow.judge.shapes_seen import ShapesSeen
from shadow.judge.writing import Leased, postpone, write_judgements
from shadow.model.attendance import TOUCH_SECONDS
from shadow.model.giving_way import Turns
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

Asked = TypeVar("Asked")
Loaded = TypeVar("Loaded")

BATCH = 500
"""Pairs claimed at once."""
CHUNK = 100
"""Pairs whose ledgers are in memory at once."""
LEASE = timedelta(minutes=2)
POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.02
"""After a wake-up, so that what comes in a burst is judged together."""
_GATHER_MORE_SECONDS = 0.1
"""The same while pairs keep coming: a round takes about ten queries, however few pairs it finds."""
_LOOK_SECONDS = 30.0
"""How old may be what a judge knows of legacy's order."""
_SILENCE = timedelta(seconds=TOUCH_SECONDS)
"""When a pair is looked at again of which it is not known yet whether a gateway was there for its runs."""
_STILL = frozenset({PairState.OPEN, PairState.WAITING, PairState.SETTLING})
"""Where a pair stays whatever its ledgers say."""

_CLAIM = """
UPDATE pairs SET due_at = coalesce(%(now)s::timestamptz, statement_timestamp()) + %(lease)s
WHERE id = ANY(ARRAY(
    SELECT id FROM pairs WHERE due_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING due_at, id, event_id, task, tenant, legacy_run, candidate_run, deadline_at, incomparable,
          probed_at, probe_failures
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What one turn of the loop did, in pairs."""

    claimed: int = 0
    postponed: int = 0
    judged: int = 0


class JudgeLoop:
    """Judges pairs until it is stopped.

    Raises:
        ValueError: (when made) the catalogue holds rules that the comparators refuse.
    """

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        *,
        batch: int = BATCH,
        lease: timedelta = LEASE,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._database = database
        self._rulebook = Rulebook(catalogue)
        self._batch = batch
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._targets: set[tuple[str, str]] = set()
        self._shapes = ShapesSeen()
        self._hearing = Hearing()
        self._looked: float | None = None
        self._noted: dict[str, list[str]] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._run())]

    async def stop(self) -> None:
        """End at once: what was claimed and not written is judged by whoever finds its lease expired."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def once(self, now: datetime | None = None) -> Round:
        """Claim what is due and take each pair one step.

        Args:
            now: the time; the database's own clock by default.
        """
        await self._look_around()
        async with self._database.connection(Work.JUDGE) as connection:
            leased_until, pairs = await self._claim(connection, now)
        self._hearing.note()
        if pairs:
            reach("judge.claimed")
        if leased_until is None:
            await self._shapes.write(self._database)
            return Round()
        moment = leased_until - self._lease
        facts, spoilt = await self._each(load_facts, pairs, lambda pair: pair.id)
        waiting, ready = self._steps(facts, moment, spoilt)
        judged = 0
        for start in range(0, len(ready), CHUNK):
            late, written = await self._judge(ready[start : start + CHUNK], moment, leased_until)
            waiting |= late
            judged += written
        if waiting:
            await self._postpone(waiting, leased_until)
        if spoilt:
            judged += len(await self._conclude(spoilt, leased_until))
        await self._shapes.write(self._database)
        return Round(len(pairs), len(waiting), judged)

    async def _look_around(self) -> None:
        """Read now and then what order legacy keeps and which rules were accepted; say which are in force, once."""
        if self._looked is not None and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        async with self._database.connection(Work.JUDGE) as connection:
            await self._rulebook.look(connection)
        rules = self._rulebook.ids()
        if rules != self._noted:
            await committed(self._database, lambda connection: note_rules(connection, self._rulebook))
            self._noted = rules
        self._looked = time.monotonic()

    def _steps(
        self, facts: Sequence[PairFacts], moment: datetime, spoilt: dict[UUID, Judgement]
    ) -> tuple[dict[UUID, Step], list[PairFacts]]:
        """(those that wait, those whose ledgers are to be read); a pair for which there is no step joins `spoilt`."""
        waiting: dict[UUID, Step] = {}
        ready: list[PairFacts] = []
        for fact in facts:
            try:
                step = next_state(self._known(fact), moment)
            except Exception as error:
                spoilt[fact.pair.id] = _spoilt(fact.pair.id, error)
                continue
            if step.state in _STILL:
                waiting[fact.pair.id] = step
            else:
                ready.append(fact)
        return waiting, ready

    async def _each(
        self,
        load: Callable[[Connection, Sequence[Asked]], Awaitable[Sequence[Loaded]]],
        asked: Sequence[Asked],
        pair_of: Callable[[Asked], UUID],
    ) -> tuple[list[Loaded], dict[UUID, Judgement]]:
        """Load for all together; where that fails, for each alone, and what fails then is spoilt."""
        try:
            return await self._load(load, asked), {}
        except psycopg.OperationalError:
            raise
        except Exception as error:
            log.warning("judge.batch_unreadable", pairs=len(asked), error=type(error).__name__)
        loaded: list[Loaded] = []
        spoilt: dict[UUID, Judgement] = {}
        for one in asked:
            try:
                loaded += await self._load(load, [one])
            except psycopg.OperationalError:
                raise
            except Exception as error:
                spoilt[pair_of(one)] = _spoilt(pair_of(one), error)
        return loaded, spoilt

    async def _load(
        self, load: Callable[[Connection, Sequence[Asked]], Awaitable[Sequence[Loaded]]], asked: Sequence[Asked]
    ) -> list[Loaded]:
        async with self._database.connection(Work.JUDGE) as connection:
            return list(await load(connection, asked))

    async def _with_evidence(
        self, connection: Connection, facts: Sequence[PairFacts]
    ) -> list[tuple[PairFacts, Evidence]]:
        evidence = await load_evidence(connection, facts, heard=self._hearing.lasts)
        return [(fact, evidence) for fact in facts]

    async def _claim(self, connection: Connection, now: datetime | None) -> tuple[datetime | None, list[ClaimedPair]]:
        cursor = await connection.execute(_CLAIM, {"now": now, "lease": self._lease, "limit": self._batch})
        rows = await cursor.fetchall()
        return (rows[0][0] if rows else None), [ClaimedPair(*row[1:]) for row in rows]

    def _known(self, fact: PairFacts, last_effect_at: datetime | None = None) -> PairKnown:
        return PairKnown(
            legacy_finished_at=fact.legacy.finished_at if fact.legacy else None,
            candidate_finished_at=fact.candidate.finished_at if fact.candidate else None,
            deadline_at=fact.pair.deadline_at,
            settle=self._rulebook.settle(fact.pair.task),
            last_effect_at=last_effect_at,
            probes_due=fact.pair.probed_at is None and self._rulebook.probes(fact.pair.task),
        )

    async def _postpone(self, steps: dict[UUID, Step], lease: datetime) -> None:
        await committed(self._database, lambda connection: postpone(connection, steps, lease))

    async def _judge(
        self, ready: Sequence[PairFacts], moment: datetime, lease: datetime
    ) -> tuple[dict[UUID, Step], int]:
        """Judge these pairs, those apart that have had effects of late; (what these do, how many verdicts were
        written)."""
        loaded, judgements = await self._each(self._with_evidence, ready, lambda fact: fact.pair.id)
        late: dict[UUID, Step] = {}
        turns = Turns()
        for fact, evidence in loaded:
            await turns.give_way()
            started = time.perf_counter()
            try:
                step = next_state(self._known(fact, evidence.last_effect_at(fact)), moment)
            except Exception as error:
                judgements[fact.pair.id] = _spoilt(fact.pair.id, error)
                continue
            if not step.judge:
                late[fact.pair.id] = step
                continue
            judgement = judgement_of(fact, evidence, self._rulebook)
            if judgement.verdict is Verdict.mismatch and evidence.missed(fact) is not None:
                # It may be the gateway's doing: its silence tells soon.
                late[fact.pair.id] = Step(PairState.SETTLING, moment + _SILENCE)
                continue
            judgements[fact.pair.id] = judgement
            metrics.judging_took(time.perf_counter() - started)
        await self._note_targets({(fact.pair.task, target) for fact, found in loaded for target in found.targets(fact)})
        written = await self._conclude(judgements, lease) if judgements else {}
        for fact, evidence in loaded:
            if fact.pair.id in written:
                self._shapes.see(fact, evidence, written[fact.pair.id])
        return late, len(written)

    async def _note_targets(self, seen: set[tuple[str, str]]) -> None:
        """Keep what is new of which task has effects on which target."""
        new = sorted(seen - self._targets)
        if new:
            await committed(self._database, lambda connection: note_targets(connection, new))
            self._targets.update(new)

    async def _conclude(self, judgements: dict[UUID, Judgement], lease: datetime) -> dict[UUID, Verdict]:
        """Write these judgements and count them; returns the verdicts of those that were still wanted."""
        written = await self._write(judgements, lease)
        if written:
            reach("judge.written")
        for verdict in written.values():
            metrics.judged(verdict.value)
        metrics.judged_void(len(judgements) - len(written))
        return written

    async def _write(self, judgements: dict[UUID, Judgement], lease: datetime) -> dict[UUID, Verdict]:
        """Write them together; when the database refuses what one of them holds, each alone."""
        try:
            return await self._write_all(judgements, lease)
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            log.warning("judge.batch_refused", pairs=len(judgements), error=type(error).__name__)
        written: dict[UUID, Verdict] = {}
        for pair in judgements:
            try:
                written |= await self._write_all({pair: judgements[pair]}, lease)
            except (psycopg.DataError, psycopg.ProgrammingError) as error:
                log.error("judge.refused", pair=str(pair), error=type(error).__name__)
                judgements[pair] = failed(error)
                written |= await self._write_all({pair: judgements[pair]}, lease)
        return written

    async def _write_all(self, judgements: dict[UUID, Judgement], lease: datetime) -> dict[UUID, Verdict]:
        return await committed(
            self._database, lambda connection: write_judgements(connection, judgements, Leased(lease), self._rulebook)
        )

    async def _run(self) -> None:
        while True:
            try:
                done = await self.once()
            except psycopg.OperationalError as error:
                log.warning("judge.unreachable", error=type(error).__name__)
                await asyncio.sleep(self._poll_seconds)
                continue
            except Exception as error:
                # A bug must not end the loop: the leases of this round expire and others may go on.
                log.exception("judge.round_failed", error=type(error).__name__)
                await asyncio.sleep(self._poll_seconds)
                continue
            if done.claimed < self._batch:
                await self._rest(_GATHER_MORE_SECONDS if done.claimed else _GATHER_SECONDS)

    async def _rest(self, gather: float) -> None:
        """Until somebody notifies and so many seconds are over, or until the next poll."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._woken.wait()
            await asyncio.sleep(gather)
        except TimeoutError:
            pass
        self._woken.clear()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute("LISTEN shadow_pairs")
                    async for _notice in connection.notifies():
                        self._woken.set()
            except psycopg.Error as error:
                log.warning("judge.not_listening", error=type(error).__name__)
            await asyncio.sleep(self._poll_seconds)


def _spoilt(pair: UUID, error: Exception) -> Judgement:
    """The judgement on a pair of which something stored cannot even be read: it must not hold up the others."""
    log.error("judge.unreadable", pair=str(pair), error=type(error).__name__)
    return failed(error)

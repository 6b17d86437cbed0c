"""What the twin of a run did: its recorded calls, its answers, and waiting for them without thread or connection."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

import psycopg
import structlog

from shadow.effects import evidence
from shadow.effects.evidence import Nobody
from shadow.egress import answers
from shadow.egress.answers import Answer
from shadow.egress.calls import CHANNEL
from shadow.egress.disposition import CallEffect, Knowledge
from shadow.egress.matching import Made, counterpart
from shadow.egress.runs import DATABASE_SECONDS, KnownRun
from shadow.sealing.vault import Forgotten
from shadow.store.database import Database, Work
from shadow.store.patience import patience
from shadow.store.rounds import Rounds

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""How long a waiting call sleeps at most: a notice may be lost, and that the twin has ended is not told here."""
MOST_WAITING = 5_000
"""Calls that wait in this process; any further is not held."""
_RETRY_SECONDS = 1.0
_RECENT_SECONDS = 30.0
"""How long calls of this process are remembered besides what the database says of them."""

# One look at the database: what the twin recorded before it ended is seen wherever it is seen to have ended.
_CALLS = b"""
SELECT asked.number, twin.state, twin.authority, call.run_id, call.id, call.attempt, call.digest, call.status,
       call.disposition
FROM unnest(%(twin)s::uuid[], %(run)s::uuid[], %(target)s::text[], %(operation)s::text[], %(identity)s::text[])
     WITH ORDINALITY AS asked (twin, run, target, operation, identity, number)
CROSS JOIN LATERAL (SELECT state, authority FROM runs WHERE id = asked.twin OFFSET 0) AS twin
LEFT JOIN LATERAL (
    SELECT * FROM effects
    WHERE run_id IN (asked.twin, asked.run) AND seen_by IN ('gateway', 'mail') AND target = asked.target
      AND operation = asked.operation AND identity IS NOT DISTINCT FROM asked.identity
    OFFSET 0
) AS call ON true
ORDER BY asked.number, call.sequence, call.id
"""
_ANSWERS = b"""
SELECT effects.id, effects.status, body.content, headers.content FROM effects
JOIN bodies AS body ON body.id = effects.id AND body.part = 'answer'
JOIN bodies AS headers ON headers.id = effects.id AND headers.part = 'answer_headers'
WHERE effects.id = ANY(%(calls)s::uuid[]) AND body.id = ANY(%(calls)s::uuid[]) AND headers.id = ANY(%(calls)s::uuid[])
  AND effects.status IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of a run without authority, as far as its counterpart is concerned."""

    run: KnownRun
    attempt: int
    target: str
    operation: str
    identity: str | None
    digest: bytes | None
    effect: CallEffect


class _Group(NamedTuple):
    """Calls among which a counterpart is looked for, as they are stored."""

    twin: UUID
    run: UUID
    target: str
    operation: str
    identity: str | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the database has of such a group."""

    ended: bool
    """Whether the twin makes no further calls."""
    theirs: list[Made]
    """The twin's that were forwarded."""
    ours: list[Made]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of the counterpart, and the answer that it got."""

    knowledge: Knowledge
    answer: Answer | None = None
    extra: bool = False
    """Whether the twin made fewer such calls."""


class Recent:
    """Calls that this process has just decided on, so that two at once don't take the same counterpart."""

    def __init__(self) -> None:
        self._calls: defaultdict[tuple[UUID, str, str, str | None], dict[UUID, tuple[float, Made]]] = defaultdict(dict)
        self._swept = 0.0

    def add(self, asked: Asked, made: Made) -> None:
        self._sweep()
        if asked.run.id is not None:
            self._calls[_group(asked, asked.run.id)][made.id] = (time.monotonic(), made)

    def of(self, asked: Asked) -> list[Made]:
        """In the order in which they were decided."""
        if asked.run.id is None:
            return []
        return [made for _at, made in self._calls.get(_group(asked, asked.run.id), {}).values()]

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < _RECENT_SECONDS:
            return
        self._swept = now
        for group in list(self._calls):
            calls = self._calls[group]
            for identifier in [key for key, (at, _made) in calls.items() if now - at > _RECENT_SECONDS]:
                del calls[identifier]
            if not calls:
                del self._calls[group]


def _group(asked: Asked, run: UUID) -> tuple[UUID, str, str, str | None]:
    return (run, asked.target, asked.operation, asked.identity)


class Twins:
    """Looks up counterparts; wakes who waits for them."""

    def __init__(self, database: Database, *, poll: float = POLL_SECONDS) -> None:
        self._database = database
        self._poll = poll
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._held = 0
        self.stopping = False
        """Whether calls get at once what they would get at the end of their wait."""
        self._task: asyncio.Task[None] | None = None
        self.recent = Recent()
        self._looks = Rounds(self._look)
        self._answers = Rounds(self._read_answers)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="egress-twins")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self, asked: Asked, made: UUID) -> Found:
        """What is known of the counterpart now; unless it is still pending, the call takes its place under `made`.

        Raises:
            psycopg.Error, TimeoutError: the database can't say.
        """
        twin = asked.run.twin
        if twin is None or asked.run.id is None:
            return Found(Knowledge.NONE)
        vault, tenant = self._database.vault, asked.run.tenant
        async with asyncio.timeout(DATABASE_SECONDS):
            await vault.ready([None if isinstance(tenant, Nobody) else tenant])
            redactor = evidence.redactor(vault, tenant)
            keyed = evidence.digester(vault, tenant)
            group = _Group(
                twin,
                asked.run.id,
                asked.target,
                redactor.text(asked.operation),
                None if asked.identity is None else redactor.text(asked.identity),
            )
            seen = await self._looks.ask(group)
            if seen is None:
                return Found(Knowledge.NONE)
            # Nothing is waited for between here and taking the place: no other call of this process comes between. What
            # was decided here since the database was asked is among the recent ones.
            ours = {call.id: call for call in seen.ours}
            for call in self.recent.of(asked):
                ours.setdefault(call.id, replace(call, digest=keyed(call.digest)))
            before = [call for call in ours.values() if call.attempt == asked.attempt and call.id != made]
            found = counterpart(seen.theirs, before, keyed(asked.digest))
            match = found.occurrence
            if not seen.ended and (match is None or match.status is None):
                return Found(Knowledge.PENDING)
            self.recent.add(asked, Made(made, asked.attempt, asked.digest))
            if match is None:
                # A write again is answered as it was the first time; what is read again has gone on meanwhile.
                match = found.first if asked.effect is CallEffect.WRITE else found.last
                if match is None:
                    return Found(Knowledge.SETTLED_WITHOUT, extra=True)
                knowledge = Knowledge.FIRST_ONLY
            else:
                knowledge = Knowledge.ANSWERED
            extra = knowledge is Knowledge.FIRST_ONLY
            kept = await self._answers.ask(match.id)
            if kept is None:
                return Found(Knowledge.SETTLED_WITHOUT, extra=extra)
            status, *contents = kept
            body, headers = await vault.open(
                [(match.id, "answer", contents[0]), (match.id, "answer_headers", contents[1])]
            )
        if isinstance(body, Forgotten) or isinstance(headers, Forgotten):
            log.warning("egress.answer_forgotten", call=str(match.id))
            return Found(Knowledge.SETTLED_WITHOUT, extra=extra)
        answer = Answer(status, answers.decoded_headers(headers), body)
        return Found(knowledge, answer, extra)

    async def _look(self, groups: Sequence[_Group]) -> list[_Seen | None]:
        """What the database says of each; None where it does not have the twin."""
        async with self._database.connection(Work.CALLS) as conn, patience(conn, DATABASE_SECONDS):
            twin, run, target, operation, identity = map(list, zip(*groups, strict=True))
            asked = {"twin": twin, "run": run, "target": target, "operation": operation, "identity": identity}
            cursor = await conn.execute(_CALLS, asked)
            rows = await cursor.fetchall()
        seen: list[_Seen | None] = [None] * len(groups)
        for number, state, authority, maker, call, attempt, digest, status, disposition in rows:
            index = number - 1
            known = seen[index]
            if known is None:
                known = seen[index] = _Seen(state == "finished" or authority != "real", [], [])
            if maker == groups[index].twin and disposition == "forward":
                known.theirs.append(Made(call, attempt, digest, status))
            elif maker == groups[index].run:
                known.ours.append(Made(call, attempt, digest, status))
        return seen

    async def _read_answers(self, calls: Sequence[UUID]) -> list[tuple[int, bytes, bytes] | None]:
        """The status, the body and the headers that each got, sealed; None where they were not kept."""
        async with self._database.connection(Work.CALLS) as conn, patience(conn, DATABASE_SECONDS):
            cursor = await conn.execute(_ANSWERS, {"calls": sorted(set(calls))})
            found = {row[0]: (row[1], row[2], row[3]) for row in await cursor.fetchall()}
        return [found.get(call) for call in calls]

    def give_up(self, asked: Asked, made: UUID) -> None:
        """The call takes its place though nothing is known of a counterpart."""
        self.recent.add(asked, Made(made, asked.attempt, asked.digest))

    @asynccontextmanager
    async def waiting(self, twin: UUID) -> AsyncIterator[asyncio.Event | None]:
        """An event that is set whenever the twin's calls are answered; None when too many wait already."""
        if self._held >= MOST_WAITING:
            yield None
            return
        event = asyncio.Event()
        self._waiting[twin].add(event)
        self._held += 1
        try:
            yield event
        finally:
            self._held -= 1
            self._waiting[twin].discard(event)
            if not self._waiting[twin]:
                del self._waiting[twin]

    def let_go(self) -> None:
        """Nobody shall wait any more: the process is stopping."""
        self.stopping = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def pause(self, event: asyncio.Event, until: float) -> None:
        """Sleep until woken, the next poll, or that moment of the monotonic clock."""
        try:
            async with asyncio.timeout(max(min(self._poll, until - time.monotonic()), 0.0)):
                await event.wait()
        except TimeoutError:
            return
        finally:
            event.clear()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        self._tell(notice.payload)
            except psycopg.Error as error:
                log.warning("egress.twins_unreachable", error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    def _tell(self, payload: str) -> None:
        runs = [UUID(hex=text) for text in payload.split()] if payload else list(self._waiting)
        for run in runs:
            for event in self._waiting.get(run, ()):
                event.set()

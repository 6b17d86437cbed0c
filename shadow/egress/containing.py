"""A call without authority: answered as the twin was, by the stub, or not at all. A write never leaves from here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import MappingFailed
from shadow.effects.answered import ids_of
from shadow.egress.answers import RawHeaders
from shadow.egress.calls import Call
from shadow.egress.disposition import Disposition, Knowledge, ReadsPolicy, decide
from shadow.egress.incoming import Understood
from shadow.egress.journal import Journal
from shadow.egress.replies import Refusal, Reply, own, problem
from shadow.egress.runs import DATABASE_SECONDS, KnownRun
from shadow.egress.twin import Asked, Found, Twins
from shadow.model.backoff import Backoff
from shadow.observe import metrics
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0
"""When a worker that can wait is asked to come back for the first time."""
_RETRIES = Backoff(base=timedelta(seconds=RETRY_SECONDS), factor=2.0, cap=timedelta(seconds=30))


def retry_seconds(attempt: int) -> float:
    """When it is asked to come back the next time. Each time is an attempt of its run, and a run has few: four of them
    last through half a minute."""
    return _RETRIES.ceiling(attempt).total_seconds()


_MARGIN = 0.1
"""Share of the target's timeout that is left for the answer itself."""
_LONGEST_MARGIN = 1.0
_MADE = b"SELECT count(*) FROM effects WHERE run_id = %s"


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided."""

    id: UUID
    """Of the effect."""
    asked: Asked
    reads: ReadsPolicy
    has_stub: bool
    accepts_wait: bool = False
    """Whether the worker can come back later."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of a call without authority."""

    disposition: Disposition
    found: Found
    waited: float
    """Seconds for which it was held."""
    late: str | None = None
    """Why the pair can't be compared from here on."""


class Containing:
    """Decides on calls without authority and answers those that stay here."""

    def __init__(self, database: Database, twins: Twins, journal: Journal) -> None:
        self._database = database
        self._twins = twins
        self._journal = journal
        self._was_slow = False
        """The last look at the database."""

    async def decide(self, run: KnownRun, call: Understood, reads: ReadsPolicy, patience: float) -> Decided:
        """What becomes of an HTTP call; see `settle`."""
        asked = Asked(
            run,
            call.told.attempt,
            call.target,
            call.operation.template,
            call.record(run, Disposition.REFUSE).identity,
            call.evidence.digest,
            call.operation.effect,
        )
        stubbed = call.operation.stub is not None
        return await self.settle(Question(call.id, asked, reads, stubbed, call.accepts_wait), patience)

    async def settle(self, question: Question, patience: float) -> Decided:
        """The disposition, once it is known.

        Args:
            patience: how long the target's clients wait.

        Raises:
            Refusal: the worker can come back later, and said so.
        """
        asked, run = question.asked, question.asked.run
        begun = time.monotonic()
        until = begun + patience - min(patience * _MARGIN, _LONGEST_MARGIN)
        found, disposition = await self._look(question)
        if disposition is Disposition.WAIT and question.accepts_wait:
            detail = "the twin has not made this call yet"
            raise Refusal(425, detail, retry_after=retry_seconds(asked.attempt), gateway="wait")
        if disposition is Disposition.WAIT and run.twin is not None:
            metrics.egress_held(asked.target)
            async with self._twins.waiting(run.twin) as woken:
                while (
                    disposition is Disposition.WAIT
                    and woken is not None
                    and not self._twins.stopping
                    and time.monotonic() < until
                ):
                    await self._twins.pause(woken, until)
                    found, disposition = await self._look(question)
        late = None
        if disposition is Disposition.WAIT:
            found = Found(Knowledge.NONE)
            self._twins.give_up(asked, question.id)
            disposition = _decided(found, question)
            done = "stubbed" if disposition is Disposition.STUB else "refused"
            late = f"held too long: {done} from effect {await self._number(run)} on"
        elif self._journal.away and found.knowledge is Knowledge.NONE and run.twin is not None:
            if question.accepts_wait:
                detail = "the database is away"
                raise Refusal(425, detail, retry_after=retry_seconds(asked.attempt), gateway="wait")
            late = "database_away: the twin's answers could not be read"
        return Decided(disposition, found, time.monotonic() - begun, late)

    async def answer(self, run: KnownRun, call: Understood, decided: Decided) -> Reply:
        """The answer to a call that is not forwarded; it is written down first."""
        head = call.outgoing.method == "HEAD"
        disposition, detail = decided.disposition, "this run has no authority, and there is no answer to give it"
        reply: Reply | None = None
        given: bytes | None = None
        if disposition is Disposition.REPLAY and decided.found.answer is not None:
            answer = decided.found.answer.for_client(call.fields.get("accept-encoding", ""))
            reply = own(answer.status, answer.headers, answer.body, gateway="replay", head=head)
            given = _ids(answer.headers, answer.body)
        elif disposition is Disposition.STUB and call.operation.stub is not None:
            stub = call.operation.stub
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in stub.headers]
            try:
                body = stub.answer(call.evidence.document)
                reply = own(stub.status, headers, body, gateway="stub", head=head)
                given = _ids(headers, body)
            except MappingFailed as error:
                detail = f"the stub can't be made: {error}"
        if reply is None:
            disposition, reply = Disposition.REFUSE, problem(403, detail)
        record = replace(call.record(run, disposition), given=given)
        await self.written(record, reply.status, decided, run.pair_id)
        return reply

    async def written(self, record: Call, status: int, decided: Decided | None, pair: UUID | None) -> None:
        """Write a call down that got an answer of the gateway's own."""
        waited = math.floor(decided.waited * 1000) if decided is not None and decided.waited > 0.001 else None
        late = decided.late if decided is not None else None
        await self._journal.write(
            replace(
                record,
                status=status,
                answered_at=datetime.now(UTC),
                waited_ms=waited,
                incomparable=(pair, late) if late is not None and pair is not None else None,
            )
        )

    async def _look(self, question: Question) -> tuple[Found, Disposition]:
        found = Found(Knowledge.NONE)
        if not self._journal.away:
            begun = time.monotonic()
            try:
                found = await self._twins.look(question.asked, question.id)
                self._was_slow = False
                if found.knowledge is Knowledge.SETTLED_WITHOUT and self._journal.catches_up:
                    # What the twin did while the database was away may still lie in a spool.
                    found = Found(Knowledge.PENDING)
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.warning("egress.twin_unknown", error=type(error).__name__)
                if not self._was_slow and time.monotonic() - begun >= DATABASE_SECONDS:
                    # It may be busy for a moment: the call is held, and it is looked once more.
                    self._was_slow = True
                    found = Found(Knowledge.PENDING)
                else:
                    self._was_slow = False
                    self._journal.found_away()
        return found, _decided(found, question)

    async def _number(self, run: KnownRun) -> int:
        """Which effect of the run comes next."""
        try:
            async with self._database.connection(Work.EGRESS) as conn:
                cursor = await conn.execute(_MADE, (run.id,))
                row = await cursor.fetchone()
        except psycopg.Error:
            return 1
        return (row[0] if row is not None else 0) + 1


def _decided(found: Found, question: Question) -> Disposition:
    return decide("none", question.asked.effect, found.knowledge, question.reads, question.has_stub)


def _ids(headers: RawHeaders, body: bytes) -> bytes | None:
    return ids_of(body, ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers))

"""Effects that were nobody's are asked for again: a platform names its runs late, and rows may be read before them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.correlation import Attribution, CallTraits, Correlator, Traces
from shadow.effects.record import tell_the_judge
from shadow.observe import metrics
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
BATCH = 200
LONGEST = timedelta(days=1)
"""How long an effect is asked for."""
_BEYOND = timedelta(minutes=5)
"""How much longer than the longest deadline, at most `LONGEST`."""

_FIRST_WAIT_SECONDS = 4.0
_LONGEST_WAIT_SECONDS = 600.0
"""Between two questions about one trace: most are told at once, and some never."""
_ASKING_SECONDS = 10.0
"""How long a turn asks platforms at most."""
_ASKED = 20_000

_NOBODYS = b"""
SELECT id, side, coalesce(occurred_at, received_at), content, suspects FROM effects
JOIN bodies USING (id)
WHERE run_id IS NULL AND platform_run_id IS NULL AND part = 'traits' AND received_at >= %s AND id > %s
ORDER BY id LIMIT %s
"""
_ATTRIBUTED = b"""
UPDATE effects SET run_id = %s, platform_run_id = %s, task = %s, attributed_by = %s, attempt = %s, suspects = NULL
WHERE id = %s AND run_id IS NULL AND platform_run_id IS NULL
"""
_SUSPECTED = b"""
UPDATE effects SET suspects = %s::uuid[] WHERE id = %s AND run_id IS NULL AND platform_run_id IS NULL
"""


@dataclass(frozen=True, slots=True)
class _Nobodys:
    id: UUID
    side: Side
    at: datetime
    suspects: tuple[UUID, ...]
    found: Attribution


def _read(traits: bytes | Forgotten) -> CallTraits | None:
    if isinstance(traits, Forgotten):
        return None
    try:
        return CallTraits.read(traits)
    except ValueError as error:
        log.error("effects.traits_unreadable", error=type(error).__name__)
        return None


class Reattribution:
    """Asks every few seconds whose the unattributed effects of the last hours are."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        traces: Traces | None = None,
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._traces = traces
        self._correlator = Correlator(catalogue)
        self._every = every_seconds
        longest = max((task.deadline for task in catalogue.tasks.values()), default=LONGEST)
        self._asked_for = min(longest + _BEYOND, LONGEST)
        self._after = UUID(int=0)
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By `traceparent`: when its platform may be asked again, and how long to wait after that."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self, now: datetime | None = None) -> int:
        """Ask for the next of them, from the first again after the last; how many are somebody's now."""
        now = now or datetime.now(UTC)
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_NOBODYS, (now - self._asked_for, self._after, BATCH))
            rows = await cursor.fetchall()
            self._after = rows[-1][0] if len(rows) == BATCH else UUID(int=0)
            opened = [_read(traits) for traits in await conn.vault.open([(row[0], "traits", row[3]) for row in rows])]
        until = time.monotonic() + _ASKING_SECONDS
        sharing = [
            await self._sharing(Side(side), at, call) if time.monotonic() < until else ()
            for (_effect, side, at, _stored, _suspects), call in zip(rows, opened, strict=True)
        ]
        async with self._database.connection(Work.OUTCOMES) as conn:
            asked = [
                _Nobodys(
                    effect,
                    Side(side),
                    at,
                    tuple(suspects or ()),
                    Attribution() if call is None else await self._correlator.whose(conn, Side(side), call, at, runs),
                )
                for (effect, side, at, _stored, suspects), call, runs in zip(rows, opened, sharing, strict=True)
            ]
            return await self._write(conn, asked)

    async def _sharing(self, side: Side, at: datetime, call: CallTraits | None) -> tuple[UUID, ...]:
        if self._traces is None or call is None or call.parent is None:
            return ()
        asked = str(call.parent)
        due, wait = self._asked.get(asked, (0.0, _FIRST_WAIT_SECONDS))
        now = time.monotonic()
        if now < due:
            return ()
        found = await self._traces.runs(side, call.parent, at)
        self._asked[asked] = (now + wait, min(wait * 2, _LONGEST_WAIT_SECONDS))
        self._asked.move_to_end(asked)
        if len(self._asked) > _ASKED:
            self._asked.popitem(last=False)
        return found

    async def _write(self, conn: Connection, asked: Sequence[_Nobodys]) -> int:
        found = 0
        for one in asked:
            run = one.found.run
            if run is None:
                if one.found.candidates and one.found.candidates != one.suspects:
                    await conn.execute(_SUSPECTED, (list(one.found.candidates), one.id))
                    await self._tell(conn, one)
                continue
            cursor = await conn.execute(
                _ATTRIBUTED,
                (run.id, run.platform_run_id, run.task, one.found.by, one.found.attempt, one.id),
            )
            if cursor.rowcount:
                found += 1
                await self._tell(conn, one)
                metrics.attributed_late(one.side.value)
        return found

    async def _tell(self, conn: Connection, one: _Nobodys) -> None:
        """The pairs that it kept from being compared, and the one whose it is."""
        runs = {*one.suspects, *one.found.candidates}
        if one.found.run is not None:
            runs.add(one.found.run.id)
        await tell_the_judge(conn, one.side, run_ids=runs, moments=() if one.suspects else (one.at,))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.once()
            except psycopg.OperationalError as error:
                log.warning("effects.unreachable", error=type(error).__name__)
            except Exception as error:
                log.exception("effects.reattribution_failed", error=type(error).__name__)

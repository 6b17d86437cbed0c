"""Pairs as fan-out and judge would leave them, so that counting can be tested alone. Nothing waits for the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.gate import epochs
from shadow.gate.counting import CountingLoop, Turn
from shadow.gate.epochs import Epoch
from shadow.judge.recounting import recount
from shadow.judge.rulebook import Rulebook
from shadow.model.ids import derived_id, new_id
from shadow.store.database import Database, Work
from tests.integration.judge.world import catalogue

TASK = "order-sync"
T0 = datetime(2026, 5, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""A moment at which every pair has long been accepted."""
VERDICTS = {
    "m": "match",
    "x": "mismatch",
    "c": "missing_candidate",
    "l": "missing_legacy",
    "n": "not_comparable",
    "a": "allowed",
    ".": None,
}


@dataclass
class World:
    database: Database
    catalogue: ResolvedCatalogue = field(default_factory=catalogue)

    def __post_init__(self) -> None:
        self.rulebook = Rulebook(self.catalogue)
        self.loop = CountingLoop(self.database, self.catalogue, look_seconds=0)

    async def pairs(
        self,
        verdicts: str,
        start: datetime = T0,
        *,
        task: str = TASK,
        rules: str | None = None,
        versions: tuple[str | None, str | None] = (None, None),
        purpose: str = "live",
        replays: Sequence[UUID] | None = None,
        accepted: datetime | None = None,
    ) -> list[UUID]:
        """Pairs with these verdicts (`VERDICTS`), a second apart.

        Args:
            versions: of legacy's run and of the candidate's.
            replays: the pairs whose events these are run again.
            accepted: when their events were; by default they start at once.
        """
        rows = []
        replay = new_id() if replays is not None else None
        for number, letter in enumerate(verdicts):
            event, moment = new_id(), start + timedelta(seconds=number)
            original = replays[number] if replays is not None else None
            rows.append((event, derived_id(event, task), moment, VERDICTS[letter], original))
        async with self.database.connection(Work.CONTROL) as connection, connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO events (id, source, door, origin, name, delivery_id, accepted_at, scheduled_at, route,"
                " phase, authority, purpose) VALUES (%s, 'app', 'inngest', 'producer', %s, %s, %s, %s, %s, 'shadow',"
                " 'legacy', %s)",
                [
                    (event, self.catalogue.tasks[task].event, str(event), accepted or at, at, task, purpose)
                    for event, _pair, at, _verdict, _original in rows
                ],
            )
            await cursor.executemany(
                "INSERT INTO runs (id, event_id, pair_id, task, side, platform, authority, state, version)"
                " VALUES (%s, %s, %s, %s, %s, 'x', 'none', 'finished', %s)",
                [
                    (derived_id(event, task, side), event, pair, task, side.value, version)
                    for event, pair, _at, _verdict, _original in rows
                    for side, version in zip(Side, versions, strict=True)
                ],
            )
            await cursor.executemany(
                "INSERT INTO pairs (id, event_id, task, legacy_run, candidate_run, state, deadline_at, due_at,"
                " starts_at, verdict, rules, replay, replays)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        pair,
                        event,
                        task,
                        *(derived_id(event, task, side) for side in Side),
                        "judged" if verdict else "open",
                        LATER,
                        None if verdict else LATER,
                        at,
                        verdict,
                        (rules or self.rulebook.fingerprint(task)) if verdict else None,
                        replay,
                        original,
                    )
                    for event, pair, at, verdict, original in rows
                ],
            )
        return [row[1] for row in rows]

    async def judged(self, pair: UUID, letter: str, *, rules: str | None = None) -> None:
        """The pair has that verdict now."""
        async with self.database.connection(Work.JUDGE) as connection:
            await connection.execute("SELECT FROM pairs WHERE id = %s FOR UPDATE", (pair,))
            await connection.execute(
                "UPDATE pairs SET state = 'judged', due_at = NULL, verdict = %s, rules = %s, revision = revision + 1"
                " WHERE id = %s",
                (VERDICTS[letter], rules or self.rulebook.fingerprint(TASK), pair),
            )
            await recount(connection, [pair])

    async def counted(self, now: datetime = LATER) -> Turn:
        """One turn of the loop."""
        return await self.loop.once(now)

    async def epoch(self, task: str = TASK) -> Epoch:
        async with self.database.connection(Work.CONTROL) as connection:
            return (await epochs.current(connection, [task]))[task]

    async def said(self, task: str = TASK) -> dict[str, int]:
        """What was counted live in the present epoch, zeroes left out."""
        live = (await self.epoch(task)).live
        return {name: number for name in live.__dataclass_fields__ if (number := getattr(live, name))}

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as connection:
            return list(await (await connection.execute(statement, values)).fetchall())

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(statement, values)

"""The wall clock of a machine jumps: what comes in is stored once, decided by one phase, and goes on as before.

Leases and due times are the database's clock; waiting inside a process goes by a clock that does not jump.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.cutover import routing
from shadow.cutover.decision import Phase
from shadow.cutover.routing import Routing
from shadow.fanout.queue import Queue, Taken
from shadow.intake import batch
from shadow.intake.arrival import Receipt
from shadow.intake.intake import Intake
from shadow.model.ids import Seed, first_id_at, new_id, time_of
from shadow.store.database import Database, Work
from tests.integration.intake.test_intake import arrival
from tests.unit.shadow.catalogues import small

HOUR = timedelta(hours=1)
STEPS = (timedelta(0), HOUR, -HOUR, timedelta(days=400), timedelta(days=-400), timedelta(0))
_TIME_BITS = 80


class Clock:
    """The wall clock, which a test sets."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def id(self) -> UUID:
        moment = first_id_at(datetime.now(UTC) + self.ahead)
        return UUID(int=moment.int | new_id().int & ((1 << _TIME_BITS) - 1))

    def seed(self) -> Seed:
        made = Seed.new()
        return dataclasses.replace(made, milliseconds=made.milliseconds + int(self.ahead.total_seconds() * 1000))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(batch, "new_ids_bytes", lambda number: [clock.id().bytes for _ in range(number)])
    monkeypatch.setattr(batch, "Seed", type("Seeds", (), {"new": staticmethod(clock.seed)}))
    yield clock


async def test_whatever_is_accepted_is_stored_once_under_ids_that_come_once(clock: Clock, database: Database) -> None:
    """Far from now it lies in the default partition; a repetition is known whenever it comes."""
    intake = Intake(database)
    await intake.start()
    told: list[Receipt] = []
    for number, step in enumerate(STEPS):
        clock.ahead = step
        told += await intake.accept([arrival(2 * number), arrival(2 * number + 1)])
        (again,) = await intake.accept([arrival(0)])
        assert (again.event_id, again.duplicate) == (told[0].event_id, True)
    await intake.stop()
    assert len({receipt.event_id for receipt in told}) == len({receipt.upstream_id for receipt in told}) == 12
    async with database.connection(Work.CONTROL) as connection:
        rows = await (await connection.execute("SELECT id FROM events")).fetchall()
        assert {row[0] for row in rows} == {receipt.event_id for receipt in told}
        due = await (await connection.execute("SELECT count(*) FROM dispatches WHERE due_at <= now()")).fetchall()
    assert due == [(24,)], "what is due is the database's to say"
    assert max(time_of(row[0]) for row in rows) > datetime.now(UTC) + timedelta(days=399)


async def test_a_lease_that_the_database_s_clock_has_ended_is_anothers_and_counts_once(
    clock: Clock, database: Database
) -> None:
    """Both workers hand the event over, under one key: the platform starts one run, and one result is written."""
    intake = Intake(database)
    await intake.start()
    await intake.accept([arrival(1)])
    await intake.stop()
    queue = Queue(database, small(), Side.LEGACY)
    early = await queue.claim("trigger", 10, timedelta(minutes=1))
    async with database.connection(Work.CONTROL) as connection:  # the clock is set an hour ahead
        await connection.execute("UPDATE dispatches SET due_at = due_at - interval '1 hour'")
    late = await queue.claim("trigger", 10, timedelta(minutes=1))
    assert [item.id for item in late] == [item.id for item in early]
    await queue.write_back([(item, Taken("run_1")) for item in late])
    await queue.write_back([(item, Taken("run_1")) for item in early])
    async with database.connection(Work.CONTROL) as connection:
        runs = await connection.execute(
            "SELECT platform_run_id FROM runs WHERE side = 'legacy' AND task = 'sync-order'"
        )
        assert await runs.fetchall() == [("run_1",)]
        left = await connection.execute("SELECT count(*) FROM dispatches WHERE side = 'legacy'")
        assert await left.fetchall() == [(0,)]


async def test_a_move_that_has_taken_effect_is_not_taken_back_by_a_clock_that_is_set_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = small()
    route = catalogue.tasks["pay"].route
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(
            "INSERT INTO phases (task, phase, previous, effective_at, version)"
            " VALUES ('pay', 'live', 'shadow', now() + interval '1 hour', 1)"
        )
    deciding = Routing(catalogue, database)
    await deciding.refresh()
    ahead = timedelta(0)

    class Now(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + ahead

    monkeypatch.setattr(routing, "datetime", Now)
    monkeypatch.setattr("shadow.cutover.routing.time.time", lambda: (datetime.now(UTC) + ahead).timestamp())
    assert deciding.decision(route).phase is Phase.SHADOW
    ahead = 2 * HOUR
    assert deciding.decision(route).phase is Phase.LIVE
    ahead = timedelta(0)
    assert deciding.decision(route).phase is Phase.LIVE

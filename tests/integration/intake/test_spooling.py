"""While the database is away events go to the local disk, with all that was decided and told. None is stored twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase, decide
from shadow.intake.arrival import DedupeKey, Door, PlannedDispatch, Stage
from shadow.intake.intake import Intake
from shadow.model.ids import Seed
from shadow.spool.replay import SpoolReplay, spooling
from shadow.store.database import Database
from tests.integration.egress.world import outage, until
from tests.integration.intake.test_intake import arrival, rows
from tests.integration.originals import originals


@pytest.fixture
async def replay(database: Database, tmp_path: Path) -> AsyncIterator[SpoolReplay]:
    async with spooling(tmp_path / "spool", database) as replay:
        yield replay


@pytest.fixture
async def intake(database: Database, replay: SpoolReplay) -> AsyncIterator[Intake]:
    intake = Intake(database, replay.spool)
    await intake.start()
    yield intake
    await intake.stop()


async def back(intake: Intake, replay: SpoolReplay) -> None:
    async def done() -> bool:
        return not intake._presence.away and not replay.spool.standing.items

    await until(done)


async def test_what_is_accepted_meanwhile_is_stored_afterwards_under_the_ids_that_were_told(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    (before,) = await intake.accept([arrival(0)])
    async with outage(postgres_url):
        receipts = [*await intake.accept([arrival(1), arrival(2)]), *await intake.accept([arrival(3, tenant="new")])]
        assert all(receipt.spooled for receipt in receipts)
    await back(intake, replay)
    assert await rows(database, "SELECT id, upstream_id, phase, tenant FROM events ORDER BY id") == [
        (before.event_id, before.upstream_id, "shadow", "acme"),
        (receipts[0].event_id, receipts[0].upstream_id, "shadow", "acme"),
        (receipts[1].event_id, receipts[1].upstream_id, "shadow", "acme"),
        (receipts[2].event_id, receipts[2].upstream_id, "shadow", "new"),
    ]
    found = await rows(
        database,
        "SELECT upstream_id, seed, position FROM dispatches JOIN events ON events.id = event_id"
        " WHERE side = 'candidate' ORDER BY events.id",
    )
    for upstream_id, seed, position in found:  # Inngest will give them the very ids that their producers were told
        parsed = Seed.parse(seed)
        assert parsed is not None
        assert parsed.ulid(position) == upstream_id
    assert (await originals(database))[receipts[2].event_id, "data"] == b'{"orderId":"3"}'


async def test_the_decision_of_its_moment_governs_it_whatever_the_phase_has_become(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    await intake.accept([arrival(0)])
    async with outage(postgres_url):
        await intake.accept([arrival(1, decision=decide("sync-order", Phase.LIVE))])
    await back(intake, replay)
    assert await rows(database, "SELECT phase, authority FROM events ORDER BY id") == [
        ("shadow", "legacy"),
        ("live", "candidate"),
    ]


async def test_an_event_that_comes_again_is_stored_once(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    """Before and during the outage, twice during it, in one request and in two."""
    (first,) = await intake.accept([arrival(0)])
    async with outage(postgres_url):
        again, twice, twice_over = await intake.accept([arrival(0), arrival(1), arrival(1)])
        assert twice.event_id == twice_over.event_id
        await intake.accept([arrival(1)])
        assert again.spooled
    await back(intake, replay)
    assert await rows(database, "SELECT id FROM events ORDER BY id") == [(first.event_id,), (twice.event_id,)]
    assert await rows(database, "SELECT count(*) FROM dispatches") == [(4,)]


async def test_an_event_that_no_platform_knows_again_has_the_same_ids_until_the_database_knows_it(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    """While it is away, when it is back and the spool is not yet empty, and afterwards."""
    seeded = arrival(1, door=Door.INNGEST, delivery_id=None, dedupe=DedupeKey("store", "a seed", timedelta(days=1)))
    await intake.accept([arrival(0)])
    async with replay._turn:
        async with outage(postgres_url):
            (first,) = await intake.accept([seeded])
            (during,) = await intake.accept([seeded])

        async def found() -> bool:
            return not intake._presence.away

        await until(found)
        (between,) = await intake.accept([seeded])
        assert replay.spool.standing.items == 1
    await back(intake, replay)
    (afterwards,) = await intake.accept([seeded])
    for again in (during, between, afterwards):
        assert (again.event_id, again.upstream_id, again.duplicate) == (first.event_id, first.upstream_id, True)
    assert await rows(database, "SELECT count(*) FROM events WHERE door = 'inngest'") == [(1,)]
    assert not intake._given_out
    assert afterwards.spooled is None


async def test_a_commit_that_got_through_unheard_is_not_made_again(
    intake: Intake, replay: SpoolReplay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event has no key by which it would be known: only its id tells."""
    execute = intake._execute

    async def unheard(parameters: object) -> None:
        await execute(parameters)  # type: ignore[arg-type]
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(intake, "_execute", unheard)
    (receipt,) = await intake.accept([arrival(1, dedupe=None)])
    assert receipt.spooled
    monkeypatch.setattr(intake, "_execute", execute)
    await back(intake, replay)
    assert await rows(database, "SELECT id, upstream_id FROM events") == [(receipt.event_id, receipt.upstream_id)]
    assert await rows(database, "SELECT count(*) FROM dispatches") == [(2,)]


async def test_of_what_the_door_hands_over_itself_the_workers_keep_away_for_a_minute(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    live = decide("sync-order", Phase.LIVE)
    forward = PlannedDispatch(Side.LEGACY, Stage.FORWARD, "app", None)
    candidate = PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, "inngest", None)
    await intake.accept([arrival(0)])
    async with outage(postgres_url):
        await intake.accept([arrival(1, dispatches=(forward,)), arrival(2, dispatches=(candidate,), decision=live)])
    await back(intake, replay)
    found = await rows(
        database, "SELECT stage, side, due_at > now() + interval '50 seconds' FROM dispatches ORDER BY event_id, side"
    )
    assert found == [
        ("deliver", "candidate", False),
        ("deliver", "legacy", False),
        ("forward", "legacy", True),
        ("deliver", "candidate", True),
    ]


async def test_without_room_in_the_spool_the_producer_keeps_its_event(
    database: Database, postgres_url: str, tmp_path: Path
) -> None:
    async with spooling(tmp_path / "small", database, most_bytes=10_000) as replay:
        intake = Intake(database, replay.spool)
        await intake.start()
        await intake.accept([arrival(0)])
        async with outage(postgres_url):
            taken = 0
            with pytest.raises(psycopg.OperationalError):
                for number in range(1, 100):
                    await intake.accept([arrival(number)])
                    taken += 1
        await back(intake, replay)
        assert await rows(database, "SELECT count(*) FROM events") == [(1 + taken,)]
        await intake.stop()
    assert 0 < taken < 20


async def test_an_event_that_can_never_be_stored_is_set_aside_alone(
    intake: Intake, replay: SpoolReplay, database: Database, postgres_url: str
) -> None:
    poison = replace(arrival(2), dedupe=DedupeKey("shopify", "x" * 5_000_000))
    await intake.accept([arrival(0)])
    async with outage(postgres_url):
        await intake.accept([arrival(1), poison, arrival(3)])
    await back(intake, replay)
    assert await rows(database, "SELECT external_id FROM events ORDER BY id") == [
        ("delivery-0",),
        ("delivery-1",),
        ("delivery-3",),
    ]
    assert replay.spool.standing.refused == 1

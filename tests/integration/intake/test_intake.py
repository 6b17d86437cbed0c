"""The intake against a real PostgreSQL: all or nothing, once each, with the ids that the producer was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.intake.arrival import Arrival, DedupeKey, Door, PlannedDispatch, Stage, State
from shadow.intake.intake import Intake
from shadow.model.ids import Seed
from shadow.store import codec
from shadow.store.database import Database, Work

BOTH = (
    PlannedDispatch(Side.LEGACY, Stage.DELIVER, "trigger", "sync-order"),
    PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, "inngest", None),
)


def arrival(number: int, **changes: Any) -> Arrival:
    values: dict[str, Any] = {
        "source": "shopify",
        "door": Door.WEBHOOK,
        "origin": Origin.PRODUCER,
        "name": "shopify/order.created",
        "data": b'{"orderId":"%d"}' % number,
        "dispatches": BOTH,
        "decision": decide("sync-order", Phase.SHADOW),
        "tenant": "acme",
        "external_id": f"delivery-{number}",
        "delivery_id": f"shopify:delivery-{number}",
        "dedupe": DedupeKey("shopify", f"delivery-{number}"),
    }
    return Arrival(**{**values, **changes})


@pytest.fixture
async def intake(database: Database) -> AsyncIterator[Intake]:
    intake = Intake(database)
    await intake.start()
    yield intake
    await intake.stop()


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        return await (await connection.execute(query)).fetchall()


async def test_an_event_is_stored_with_its_body_key_and_dispatches(intake: Intake, database: Database) -> None:
    (receipt,) = await intake.accept([arrival(1, request=b"raw", headers=(("x-a", "1"),))])
    assert not receipt.duplicate
    assert await rows(database, "SELECT id, source, name, tenant, route, phase, authority FROM events") == [
        (receipt.event_id, "shopify", "shopify/order.created", "acme", "sync-order", "shadow", "legacy")
    ]
    bodies = {part: codec.decode(content) for part, content in await rows(database, "SELECT part, content FROM bodies")}
    assert bodies == {"data": b'{"orderId":"1"}', "request": b"raw", "headers": b'[["x-a","1"]]'}
    assert await rows(database, "SELECT side, platform, task, state FROM dispatches ORDER BY side") == [
        ("candidate", "inngest", None, "due"),
        ("legacy", "trigger", "sync-order", "due"),
    ]


async def test_a_second_arrival_is_the_first_event_again(intake: Intake, database: Database) -> None:
    (first,) = await intake.accept([arrival(1)])
    (second,) = await intake.accept([arrival(1, data=b'{"changed":true}')])
    assert second.duplicate
    assert (second.event_id, second.upstream_id) == (first.event_id, first.upstream_id)
    assert await rows(database, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dispatches)") == [(1, 2)]


async def test_the_same_event_twice_in_one_request_is_one_event(intake: Intake, database: Database) -> None:
    receipts = await intake.accept([arrival(1), arrival(1), arrival(2)])
    assert [receipt.duplicate for receipt in receipts] == [False, True, False]
    assert receipts[0].event_id == receipts[1].event_id != receipts[2].event_id
    assert await rows(database, "SELECT count(*) FROM events") == [(2,)]


async def test_many_at_once_with_redeliveries_end_as_one_event_each(intake: Intake, database: Database) -> None:
    receipts = await asyncio.gather(*(intake.accept([arrival(number % 50)]) for number in range(400)))
    ids: dict[int, set[object]] = {}
    for number, (receipt,) in enumerate(receipts):
        ids.setdefault(number % 50, set()).add(receipt.event_id)
    assert all(len(found) == 1 for found in ids.values())
    assert sum(not receipt.duplicate for (receipt,) in receipts) == 50
    assert await rows(database, "SELECT count(*) FROM events") == [(50,)]


async def test_a_key_whose_lifetime_is_over_makes_a_new_event(intake: Intake, database: Database) -> None:
    short = DedupeKey("inngest", "k", timedelta(milliseconds=50))
    (first,) = await intake.accept([arrival(1, dedupe=short)])
    await asyncio.sleep(0.2)
    (second,) = await intake.accept([arrival(1, dedupe=short)])
    assert not second.duplicate
    assert second.event_id != first.event_id


async def test_events_without_a_key_are_never_duplicates(intake: Intake, database: Database) -> None:
    receipts = await intake.accept([arrival(1, dedupe=None), arrival(1, dedupe=None)])
    assert [receipt.duplicate for receipt in receipts] == [False, False]


async def test_the_ids_told_are_those_of_seed_and_position(intake: Intake, database: Database) -> None:
    legacy_only = arrival(9, decision=decide("sync-order", Phase.LEGACY), dispatches=BOTH[:1])
    receipts = await intake.accept([arrival(1), legacy_only, arrival(2), arrival(3)])
    stored = await rows(
        database,
        """SELECT events.upstream_id, seed, position FROM events JOIN dispatches ON event_id = events.id
           WHERE side = 'candidate' ORDER BY position""",
    )
    assert [position for _, _, position in stored] == [0, 1, 2]  # without gaps: they can travel together
    for upstream_id, header, position in stored:
        seed = Seed.parse(header)
        assert seed is not None
        assert seed.ulid(position) == upstream_id
    assert [stored[0][0], stored[1][0], stored[2][0]] == [
        receipts[0].upstream_id,
        receipts[2].upstream_id,
        receipts[3].upstream_id,
    ]


async def test_a_producer_without_id_gets_the_ulid_as_delivery_id(intake: Intake, database: Database) -> None:
    (receipt,) = await intake.accept([arrival(1, delivery_id=None)])
    assert await rows(database, "SELECT delivery_id FROM events") == [(receipt.upstream_id,)]


async def test_dispatches_wait_as_long_as_planned(intake: Intake, database: Database) -> None:
    held = (
        PlannedDispatch(Side.LEGACY, Stage.DELIVER, "trigger", "t", delay=timedelta(seconds=60)),
        PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, "inngest", None, State.HELD),
    )
    await intake.accept([arrival(1, dispatches=held, idempotency_key="key-1")])
    found = await rows(
        database,
        "SELECT side, state, idempotency_key, due_at > now() + interval '50 s' FROM dispatches ORDER BY side",
    )
    assert found == [("candidate", "held", None, False), ("legacy", "due", "key-1", True)]


async def test_a_refusing_database_stores_nothing_of_the_batch(intake: Intake, database: Database) -> None:
    with pytest.raises(psycopg.Error):
        await intake.accept([arrival(1), arrival(2, tenant="a\x00b")])  # PostgreSQL takes no NUL in text
    assert await rows(database, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dedupe_keys)") == [(0, 0)]
    (receipt,) = await intake.accept([arrival(1)])
    assert not receipt.duplicate


async def test_whoever_listens_is_woken(intake: Intake, database: Database) -> None:
    async with database.direct() as listener:
        await listener.execute("LISTEN shadow_dispatches")
        await intake.accept([arrival(1)])
        notices = [notice.channel async for notice in listener.notifies(timeout=5, stop_after=1)]
    assert notices == ["shadow_dispatches"]

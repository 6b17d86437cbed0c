"""The intake against a real PostgreSQL: all or nothing, once each, with the ids that the producer was told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision, Phase, decide
from shadow.fanout.stored_events import load_events
from shadow.intake.arrival import Arrival, DedupeKey, Door, PlannedDispatch, Stage, State
from shadow.intake.group_commit import Overloaded
from shadow.intake.intake import Intake
from shadow.model.ids import Seed
from shadow.store.database import Database, Work
from tests.integration.originals import originals

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
def closed_url() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"postgresql://127.0.0.1:{unused.getsockname()[1]}/none"


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
    bodies = {part: content for (_event, part), content in (await originals(database)).items()}
    assert bodies == {"data": b'{"orderId":"1"}', "request": b"raw", "headers": b'[["x-a","1"]]'}
    assert await rows(database, "SELECT side, platform, task, state FROM dispatches ORDER BY side") == [
        ("candidate", "inngest", None, "due"),
        ("legacy", "trigger", "sync-order", "due"),
    ]


@pytest.mark.parametrize(
    ("decision", "sides", "decided"),
    [
        (decide("sync-order", Phase.SHADOW), None, None),  # the phase says it all
        (decide("sync-order", Phase.RAMP), ["legacy", "candidate"], ["legacy", "candidate"]),
        (decide("sync-order", Phase.RAMP, candidate=True), ["candidate"], ["candidate"]),
        (
            decide("sync-order", Phase.RAMP, candidate=True, reverse=True),
            ["legacy", "candidate"],
            ["candidate", "legacy"],
        ),
        (decide("sync-order", Phase.LIVE, reverse=True), ["legacy", "candidate"], ["candidate", "legacy"]),
        (decide("sync-order", Phase.LIVE), None, None),
    ],
)
async def test_what_was_decided_is_stored_with_the_event(
    intake: Intake, database: Database, decision: Decision, sides: list[str] | None, decided: list[str] | None
) -> None:
    # Beside another that shares the rest of what is told only once for all.
    await intake.accept([arrival(1, decision=decision, ramp_key="p-17"), arrival(2)])
    assert await rows(
        database, "SELECT phase, authority, sides, decided, ramp_key FROM events ORDER BY external_id LIMIT 1"
    ) == [(decision.phase.value, decision.authority.value, sides, decided, "p-17")]
    assert await rows(
        database, "SELECT phase, authority, sides, decided, ramp_key FROM events ORDER BY external_id DESC LIMIT 1"
    ) == [("shadow", "legacy", None, None, None)]
    async with database.connection(Work.CONTROL) as connection:
        ids = [row[0] for row in await rows(database, "SELECT id FROM events ORDER BY external_id")]
        (event,) = await load_events(connection, ids[:1])
    assert event.decision == decision


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


async def test_an_event_the_database_refuses_fails_its_own_caller_only(intake: Intake, database: Database) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"tenant": "a\x00b"},  # PostgreSQL takes no NUL in text
        {},
        {"dedupe": DedupeKey("s", "k", timedelta(days=99_999_999))},  # ends after the last year there is
        {"tenant": "\ud800"},  # half a character
        {},
        {"name": "a\x00b"},  # in what events of a kind share
        {"source": "\ud800"},
        {},
    ]
    results = await asyncio.gather(
        *(intake.accept([arrival(number, **change)]) for number, change in enumerate(changes)), return_exceptions=True
    )
    assert [isinstance(result, Exception) for result in results] == [bool(change) for change in changes]
    await intake.accept([arrival(9)])  # nor those that come later
    assert await rows(database, "SELECT external_id FROM events ORDER BY external_id") == [
        ("delivery-0",),
        ("delivery-2",),
        ("delivery-5",),
        ("delivery-8",),
        ("delivery-9",),
    ]


async def until_waiting(database: Database) -> None:
    """Until some statement waits for another transaction."""
    async with asyncio.timeout(10):
        while await rows(database, "SELECT FROM pg_locks WHERE NOT granted") == []:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def hold(connection: psycopg.AsyncConnection[Any], key: str) -> None:
    await connection.execute(
        "INSERT INTO dedupe_keys (scope, key, event_id, expires_at) VALUES ('s', %s, %s, now() + interval '1 day')",
        (key, UUID(int=7)),
    )


async def test_keys_are_taken_in_one_order_whatever_the_order_of_arrival(intake: Intake, database: Database) -> None:
    async with database.connection(Work.CONTROL) as other:
        await hold(other, "a")
        accepting = asyncio.create_task(
            intake.accept([arrival(number, dedupe=DedupeKey("s", key)) for number, key in enumerate("zma")])
        )
        await until_waiting(database)
        await other.execute("SET LOCAL lock_timeout = '200ms'")
        await hold(other, "z")  # would have to wait if the batch had taken it before "a"
    assert [receipt.duplicate for receipt in await accepting] == [True, False, True]


async def test_a_deadlock_with_somebody_else_is_tried_again(intake: Intake, database: Database) -> None:
    async with database.connection(Work.CONTROL) as other:
        await other.execute("SET LOCAL deadlock_timeout = '30s'")  # so that it is the intake that finds out
        await hold(other, "z")
        accepting = asyncio.create_task(
            intake.accept([arrival(number, dedupe=DedupeKey("s", key)) for number, key in enumerate("az")])
        )
        await until_waiting(database)
        await hold(other, "a")
    receipts = await accepting
    assert [(receipt.event_id, receipt.duplicate) for receipt in receipts] == [(UUID(int=7), True)] * 2
    assert await rows(database, "SELECT FROM events") == []


async def test_what_is_stored_is_answered_although_the_first_look_at_duplicates_fails(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await intake.accept([arrival(1)])
    failures = [psycopg.OperationalError("the connection was lost")]
    find = intake._known

    async def flaky(keys: Any) -> Any:
        if failures:
            raise failures.pop()
        return await find(keys)

    monkeypatch.setattr(intake, "_known", flaky)
    again, new = await intake.accept([arrival(1), arrival(2, dedupe=None)])
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert await rows(database, f"SELECT count(*) FROM events WHERE id IN ('{first.event_id}', '{new.event_id}')") == [
        (2,)
    ]


async def test_what_is_stored_is_never_written_twice_when_duplicates_cannot_be_read(
    intake: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await intake.accept([arrival(1)])

    async def lost(keys: Any) -> Any:
        raise psycopg.InterfaceError("the connection is closed")

    monkeypatch.setattr(intake, "_known", lost)
    new = arrival(3)
    duplicate, without_key, repeated = await asyncio.gather(
        intake.accept([arrival(1)]),
        intake.accept([arrival(2, dedupe=None)]),
        intake.accept([new, new]),
        return_exceptions=True,
    )
    assert isinstance(duplicate, psycopg.OperationalError)
    # Nobody else has to come again: without a key the event would be stored a second time then.
    assert not isinstance(without_key, BaseException)
    assert not isinstance(repeated, BaseException)
    told = {receipt.event_id for receipt in (*without_key, *repeated)}
    assert len(told) == 2
    assert told < {row[0] for row in await rows(database, "SELECT id FROM events")}
    assert await rows(database, "SELECT count(*) FROM events") == [(3,)]


async def test_a_database_that_is_away_fails_callers_within_seconds(closed_url: str) -> None:
    away = Database(closed_url)
    intake = Intake(away)
    await intake.start()
    async with asyncio.timeout(8):
        results = await asyncio.gather(
            *(intake.accept([arrival(number)]) for number in range(8)), return_exceptions=True
        )
    assert all(isinstance(result, psycopg.OperationalError) for result in results)
    await intake.stop()
    await away.close()


async def test_waiting_events_count_with_the_bytes_they_carry(intake: Intake, database: Database) -> None:
    whole = bytes(200 << 20)
    with pytest.raises(Overloaded):
        await intake.accept([arrival(1, data=whole, request=whole)])
    assert await rows(database, "SELECT FROM events") == []

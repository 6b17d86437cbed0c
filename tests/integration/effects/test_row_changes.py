"""Rows that change on both sides become effects of the runs that changed them, on a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.row_changes import LeaseLost, RowChangesLoop, SlotReader
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.effects.world import SeenWorld, catalogue

LATER = timedelta(minutes=2)


def shop(urls: dict[str, str], more: str = "") -> ResolvedCatalogue:
    sides = "".join(
        f"    {side}:\n      dsn: '{url}'\n      row_changes:\n        tables: {{orders: [id]}}\n{more}"
        for side, url in urls.items()
    )
    return catalogue(f"databases:\n  shop:\n{sides}")


@pytest.fixture
def world(database: Database, shops: dict[str, str]) -> SeenWorld:
    return SeenWorld(database, shop(shops))


def readers(world: SeenWorld, known: ResolvedCatalogue | None = None) -> dict[Side, SlotReader]:
    return {reader.side: reader for reader in RowChangesLoop(world.database, known or world.catalogue).readers}


async def started(world: SeenWorld) -> dict[Side, SlotReader]:
    """Readers whose slots exist, long enough ago that no pair of the test was under way before."""
    found = readers(world)
    for reader in found.values():
        await reader.once()
    await world.rows(
        "UPDATE blind_spots SET until = now() - interval '1 hour', since = since - interval '1 hour' RETURNING id"
    )
    return found


def change(url: str, *statements: str, told: dict[str, Any] | None = None) -> None:
    with psycopg.connect(url) as connection:
        if told is not None:
            connection.execute("SELECT pg_logical_emit_message(true, 'shadow', %s)", (json.dumps(told),))
        for statement in statements:
            connection.execute(statement)


def slots(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")]


EFFECTS = """
SELECT side, run_id, kind, target, operation, identity, seen_by, attributed_by, attempt FROM effects ORDER BY id
"""


async def test_rows_are_the_runs_whose_transaction_says_so(
    world: SeenWorld, shops: dict[str, str], judge: JudgeLoop
) -> None:
    reading = await started(world)
    told = await world.keyed({"order": 4711})
    change(shops["candidate"], "INSERT INTO orders VALUES (4711, 'new')")  # as it was copied into its world
    assert await reading[Side.CANDIDATE].once() is not None
    await world.rows("DELETE FROM effects RETURNING id")
    for side in Side:
        change(
            shops[side],
            "INSERT INTO orders VALUES (4711, 'paid') ON CONFLICT (id) DO UPDATE SET status = excluded.status",
            told={"run": told.platform_run(side), "task": "order-sync", "attempt": 2},
        )
        done = await reading[side].once()
        assert done is not None
        assert done.effects == 1
    rows = await world.rows(EFFECTS)
    assert {row[:2] for row in rows} == {(side.value, told.run(side)) for side in Side}
    assert {row[2:] for row in rows} == {("sql", "shop", "upsert orders", "4711", "rows", "transaction", 2)}
    await told.both(1, after=(datetime.now(UTC) - told.accepted_at).total_seconds())
    await judge.once(datetime.now(UTC) + LATER)
    # An insert here and an update there: the same effect.
    assert await world.rows("SELECT verdict, reason FROM pairs") == [("match", None)]


async def test_rows_of_unwrapped_transactions_are_known_by_a_business_key(
    world: SeenWorld, shops: dict[str, str]
) -> None:
    reading = await started(world)
    told = await world.keyed({"order": 4711})
    change(shops["legacy"], "INSERT INTO orders VALUES (4711, 'paid'), (99, 'of nobody')")
    await reading[Side.LEGACY].once()
    rows = await world.rows(EFFECTS)
    assert {(row[1], row[5], row[7]) for row in rows} == {(told.run(Side.LEGACY), "4711", "key"), (None, "99", None)}


async def test_reading_again_adds_nothing(world: SeenWorld, shops: dict[str, str], monkeypatch: Any) -> None:
    """The process dies between storing and advancing."""
    reading = await started(world)
    change(shops["legacy"], "INSERT INTO orders VALUES (1, 'a')", "INSERT INTO orders VALUES (2, 'b')")

    async def dies(*_: object) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("shadow.effects.slot.Slot.advance", dies)
        with pytest.raises(ConnectionError):
            await reading[Side.LEGACY].once()
    assert len(await world.rows(EFFECTS)) == 2
    done = await reading[Side.LEGACY].once()
    assert done is not None
    assert (done.effects, done.more) == (0, True)
    done = await reading[Side.LEGACY].once()
    assert done is not None
    assert (done.effects, done.more) == (0, False)
    assert len(await world.rows(EFFECTS)) == 2


async def test_one_process_reads_a_slot(world: SeenWorld) -> None:
    first, second = await started(world), readers(world)
    assert await second[Side.LEGACY].once() is None
    await first[Side.LEGACY].release()
    assert await second[Side.LEGACY].once() is not None


async def test_what_is_read_after_the_lease_is_lost_is_not_stored(
    world: SeenWorld, shops: dict[str, str], monkeypatch: Any
) -> None:
    reading = await started(world)
    change(shops["legacy"], "INSERT INTO orders VALUES (1, 'a')")
    publish = "shadow.effects.slot.Slot.publish"

    async def slowly(*_: object) -> None:
        await world.rows("UPDATE row_slots SET holder = gen_random_uuid() RETURNING side")

    monkeypatch.setattr(publish, slowly)
    with pytest.raises(LeaseLost):
        await reading[Side.LEGACY].once()
    assert await world.rows(EFFECTS) == []


async def test_the_slot_follows_a_log_in_which_nothing_of_ours_happens(world: SeenWorld, shops: dict[str, str]) -> None:
    reading = await started(world)
    change(shops["legacy"], "CREATE TABLE other AS SELECT generate_series(1, 20000) AS id")
    for _ in range(2):
        await reading[Side.LEGACY].once()
    assert (await world.rows("SELECT lag_bytes FROM row_slots WHERE side = 'legacy'"))[0][0] < 100_000


async def test_a_slot_that_falls_behind_is_dropped_and_pairs_say_so(
    world: SeenWorld, shops: dict[str, str], judge: JudgeLoop
) -> None:
    await started(world)
    told = await world.keyed({"order": 4711})
    await told.both(1, after=0.1)
    await judge.once(datetime.now(UTC) + LATER)
    assert await world.rows("SELECT verdict FROM pairs") == [("match",)]
    await world.rows("UPDATE row_slots SET lease_until = now() RETURNING side")
    strict = readers(world, shop(shops, "        lag_bytes: 1\n"))[Side.LEGACY]
    with psycopg.connect(shops["legacy"], autocommit=True) as connection:
        # More is written than one turn reads.
        for number in range(6):
            connection.execute(f"INSERT INTO orders SELECT i + {number * 1000}, 'x' FROM generate_series(1, 900) i")
    await strict.once()
    assert slots(shops["legacy"]) == ["shadow_shop_candidate"]
    await judge.once(datetime.now(UTC) + LATER)
    (verdict, reason), *_ = await world.rows("SELECT verdict, reason FROM pairs")
    assert verdict == "not_comparable"
    assert reason.startswith(("unseen_effects: the slot of legacy's shop was dropped: it was ", "unattributed_effect"))
    await strict.once()  # made anew, and seeing from then on
    assert "shadow_shop_legacy" in slots(shops["legacy"])
    assert await world.rows("SELECT count(*) FROM blind_spots WHERE until IS NULL") == [(0,)]


async def test_a_slot_that_is_disabled_is_dropped(world: SeenWorld, shops: dict[str, str]) -> None:
    await started(world)
    assert slots(shops["legacy"]) == ["shadow_shop_candidate", "shadow_shop_legacy"]
    await world.rows("UPDATE row_slots SET lease_until = now() RETURNING side")
    for reader in readers(world, shop(shops, "        enabled: false\n")).values():
        assert await reader.once() is None
    assert slots(shops["legacy"]) == []


async def test_a_server_that_does_not_decode_makes_the_time_unseen(database: Database, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY)")
    world = SeenWorld(database, shop({"legacy": postgres_url, "candidate": postgres_url}))
    reader = readers(world)[Side.LEGACY]
    with pytest.raises(psycopg.Error, match="wal_level") as caught:
        await reader.once()
    await reader.cannot(caught.value)
    await reader.cannot(caught.value)
    ((until, reason),) = await world.rows("SELECT until, reason FROM blind_spots")
    assert until is None
    assert "row changes of legacy's shop can't be read" in reason

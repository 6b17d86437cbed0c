"""Events that are run again, so that nobody's runs of them may reach the world."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.causes.authority import Purpose
from shadow.causes.repeats import repeat
from shadow.cutover.decision import Phase
from shadow.fanout.resending import send_again
from shadow.model.ids import new_id
from shadow.store.database import Database, Work
from tests.integration.causes.chain import EVENTS, Chain, chain


async def _sent(world: Chain, runs: int) -> UUID:
    await world.send(1)
    await world.settled(runs)
    return UUID(str((await world.rows("SELECT id FROM events WHERE name = 'chain/first'"))[0][0]))


async def test_a_canary_runs_its_own_task_on_the_candidate_and_nothing_of_it_is_real(
    database: Database, tmp_path: Path
) -> None:
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)  # all of legacy's, with authority
        again = await repeat(database, world.catalogue, event, Purpose.CANARY)
        await world.settled(4)
        await asyncio.sleep(0.5)
        assert world.candidate_runs() == {"first": 1}  # its child is withheld: that task is not contained
        assert (await world.authorities())["first", "candidate", "none"] == 1
        rows = await world.rows("SELECT purpose, authority, sides FROM events WHERE id = %s", again)
        assert rows == [("canary", None, ["candidate"])]
        # Inngest would have swallowed the id of the first.
        assert len(await world.rows("SELECT DISTINCT delivery_id FROM events WHERE name = 'chain/first'")) == 2


async def test_children_of_a_second_legacy_run_have_no_authority_either(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)
        await repeat(database, world.catalogue, event, Purpose.LEGACY_TWICE, (Side.LEGACY,))
        await world.settled(6)
        assert await world.authorities() == {
            (task, "legacy", authority): 1 for task in EVENTS for authority in ("real", "none")
        }
        purposes = await world.rows("SELECT name, purpose FROM events WHERE authority IS NULL ORDER BY name")
        assert purposes == [(EVENTS[task], "legacy_twice") for task in ("first", "second", "third")]


async def test_an_id_that_a_repeated_run_gives_its_event_is_free_for_the_one_with_authority(
    database: Database, tmp_path: Path
) -> None:
    """As where an event is repeated before its own run has begun: what that emits must not pass for a duplicate."""
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)
        again = await repeat(database, world.catalogue, event, Purpose.LEGACY_TWICE, (Side.LEGACY,))
        await world.settled(6)
        for parent in (again, again, event, event):
            ((name,),) = await world.rows("SELECT platform_run_id FROM runs WHERE event_id = %s", parent)
            answer = await world.client.post(
                "/e/app-key",
                json={"name": "chain/third", "id": "the-third", "data": {"order": 9}},
                headers={"x-shadow-run": name},
            )
            assert answer.status_code == 200, answer.text
        rows = await world.rows(
            "SELECT purpose, authority, delivery_id = external_id FROM events WHERE external_id = %s ORDER BY id",
            "the-third",
        )
        assert rows == [("legacy_twice", None, False), ("live", "legacy", True)]


async def test_a_replay_on_both_sides_pairs_all_its_children(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        await world.phases(dict.fromkeys(EVENTS, Phase.SHADOW))
        event = await _sent(world, 6)
        await repeat(database, world.catalogue, event, Purpose.REPLAY, tuple(Side))
        await world.settled(12)
        assert await world.verdicts() == {(task, "match"): 2 for task in EVENTS}, await world.differences()
        assert (await world.authorities())["third", "legacy", "none"] == 1


async def test_a_dead_letter_that_had_arrived_is_repeated_without_authority(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)
        letter = new_id()
        async with database.connection(Work.CONTROL) as conn:
            await conn.execute(
                "INSERT INTO dispatches (id, event_id, side, platform, task, state, error)"
                " VALUES (%s, %s, 'legacy', 'trigger', 'first', 'dead', 'given up')",
                (letter, event),
            )
        done, refused = await send_again(database, world.catalogue, [letter])
        assert (done, refused) == ([letter], {})
        await world.settled(6)
        assert (await world.authorities())["first", "legacy", "none"] == 1


async def _dead(database: Database, event: UUID) -> UUID:
    letter = new_id()
    async with database.connection(Work.CONTROL) as conn:
        await conn.execute(
            "INSERT INTO dispatches (id, event_id, side, platform, task, state, error)"
            " VALUES (%s, %s, 'legacy', 'trigger', 'first', 'dead', 'given up')",
            (letter, event),
        )
    return letter


async def test_what_has_arrived_and_cannot_be_repeated_is_not_sent_again_with_authority(
    database: Database, tmp_path: Path
) -> None:
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)
        letter = await _dead(database, event)
        await world.rows("DELETE FROM bodies WHERE id = %s AND part = 'data' RETURNING id", event)
        done, refused = await send_again(database, world.catalogue, [letter])
        assert done == []
        assert refused == {letter: f"it has arrived, and cannot be repeated: the data of event {event} are gone"}
        assert await world.rows("SELECT state FROM dispatches WHERE id = %s", letter) == [("dead",)]


async def test_a_run_that_was_seen_to_do_something_has_arrived(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        event = await _sent(world, 3)
        letter = await _dead(database, event)
        # Its call was seen, and no outcome has come.
        ((run,),) = await world.rows(
            "UPDATE runs SET state = 'expected' WHERE event_id = %s AND task = 'first' RETURNING id", event
        )
        assert await world.rows("SELECT count(*) > 0 FROM effects WHERE run_id = %s", run) == [(True,)]
        assert await send_again(database, world.catalogue, [letter]) == ([letter], {})
        await world.settled(5)
        assert (await world.authorities())["first", "legacy", "none"] == 1


async def test_only_what_is_known_can_be_repeated(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        with pytest.raises(LookupError, match="gone"):
            await repeat(database, world.catalogue, new_id(), Purpose.CANARY)
        with pytest.raises(ValueError, match="live"):
            await repeat(database, world.catalogue, new_id(), Purpose.LIVE)

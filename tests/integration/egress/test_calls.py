"""Calls and answers, written many at a time beside others who write the same rows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from shadow.egress.calls import Answered, Call, CallLog, write
from shadow.model.ids import new_id
from shadow.sealing.sealed import Tampered
from shadow.store.database import Work
from tests.integration.egress.world import World, forwarded, until

_WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def answered(call: Call) -> Answered:
    return Answered(
        id=call.id,
        side=call.side,
        run_id=call.run_id,
        platform_run_id=None,
        status=201,
        answered_at=datetime.now(UTC),
        answer=b"{}",
        answer_headers=b"[]",
        of_tenant=True,
        pair=call.pair,
    )


async def test_a_call_is_locked_before_its_pair_as_by_all_who_write_both(world: World) -> None:
    twins = await world.twins()
    call = forwarded(twins)

    async def put(item: Call | Answered) -> None:
        async with world.database.connection(Work.CALLS) as conn:
            await write(conn, [item])

    await put(call)
    async with world.database.connection(Work.OUTCOMES) as other:
        await other.execute("UPDATE effects SET task = task WHERE id = %s", (call.id,))
        answering = asyncio.create_task(put(answered(call)))
        await until(lambda: world.rows(_WAITING))
        await other.execute("UPDATE pairs SET due_at = now() WHERE id = %s", (twins.pair,))
    await answering
    assert await world.rows("SELECT status FROM effects WHERE id = %s", call.id) == [(201,)]


async def test_an_event_that_cannot_be_read_takes_along_no_call_of_another_run(world: World) -> None:
    broken, sound = await world.twins(), await world.twins()
    vault = world.database.vault
    await vault.ready([None])
    elsewhere = vault.seal(None, new_id().bytes, "data", b"{}")
    await world.execute("INSERT INTO bodies (id, part, content) VALUES (%s, 'data', %s)", broken.event, elsewhere)
    written = CallLog(world.database)
    await written.start()
    calls = [forwarded(broken), forwarded(sound)]
    refused, none = await asyncio.gather(*map(written.write, calls), return_exceptions=True)
    await written.stop()
    assert isinstance(refused, Tampered)
    assert none is None
    assert await world.rows("SELECT id FROM effects") == [(calls[1].id,)]

"""A dump of the whole database after a load holds nothing personal or secret in clear, and the judge still judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from psycopg import sql

from shadow.catalogue.model import Side
from shadow.effects.record import SeenEffect, record_effects
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import derived_id
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.record import record_outcomes
from shadow.reports import events, pairs
from shadow.store import codec
from shadow.store.database import Database, Work
from shadow.store.tables import metadata
from tests.integration.fanout.stage import StageSet

EMAIL = "Marked.Person@marked-shop.test"
SECRET = "sk_live_MarkedSecret4242"
CARD = "4242 4242 4242 4242"
NAME = "Marked Person"
MARKS = (b"marked.person", b"markedsecret", b"4242 4242", b"4242424242424242")
SETTLED = timedelta(minutes=1)


async def dump(database: Database) -> bytes:
    """Every row of every table as text, and what of every body can be read without a key."""
    parts: list[bytes] = []
    async with database.connection(Work.CONTROL) as connection:
        for table in metadata.tables:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
            parts += [row[0].encode() for row in await (await connection.execute(query)).fetchall()]
        for (content,) in await (await connection.execute("SELECT content FROM bodies")).fetchall():
            parts.append(content if codec.is_sealed(content) else codec.decode(content))
    return b"\n".join(parts)


def marks_in(content: bytes, marks: Sequence[bytes] = (*MARKS, NAME.lower().encode())) -> list[bytes]:
    """Whom an event names is known of its own runs only: what is nobody's is looked through for the other marks."""
    lower = content.lower()
    return [mark for mark in marks if mark in lower]


def order(email: str = EMAIL) -> dict[str, Any]:
    return {
        "tenantId": "acme",
        "orderId": "o-1",
        "email": email,
        "customer": {"name": NAME},
        "note": f"card {CARD}, key {SECRET}, mail {email}, for {NAME}",
        "pad": "x" * 800,
    }


async def report(
    world: StageSet, side: Side, run: str, to: str = EMAIL, *, run_id: UUID | None = None, key: str | None = None
) -> None:
    """A worker reports the mail that its run sent."""
    told = SeenEffect(
        run=None if run_id else run,
        run_id=run_id,
        kind="email",
        target="mail",
        operation=f"send to {to}",
        data=orjson.dumps(
            {"to": f"A Person <{to}>", "text": f"Hello {NAME}, you paid with {CARD}", "authorization": SECRET}
        ),
        identity=to,
        idempotency_key=key or f"mail-{to}",
        reporter_id="1",
    )
    async with world.database.connection(Work.OUTCOMES) as connection:
        await record_effects(connection, side, [told])


async def ended(world: StageSet, event: UUID, side: Side, run: str, message: str | None = None) -> None:
    """How a run ended, as its platform tells."""
    platform = "trigger" if side is Side.LEGACY else "inngest"
    outcome = RunOutcome(
        platform=platform,
        platform_run_id=run,
        status=Status.FAILED if message else Status.COMPLETED,
        learned_by=LearnedBy.REPORT,
        task="sync-order",
        asked_for=derived_id(event, "sync-order", side),
        output=None if message else orjson.dumps({"mailed": EMAIL, "key": SECRET, "said": f"to {NAME}"}),
        error_name="Error" if message else None,
        error_message=message,
    )
    async with world.database.connection(Work.OUTCOMES) as connection:
        assert await record_outcomes(connection, world.catalogue, [outcome]) == 1


async def done(world: StageSet) -> None:
    """Everything is delivered, or dead."""
    async with asyncio.timeout(20):
        while await world.queued():  # noqa: ASYNC110 - the loops bring it about
            await asyncio.sleep(0.05)


@asynccontextmanager
async def delivered(world: StageSet) -> AsyncIterator[UUID]:
    """An event that both platforms have."""
    async with world.delivering():
        (event,) = await world.accept(data=order(), request=orjson.dumps(order()))
        await done(world)
        yield event


async def judged(world: StageSet, event: UUID) -> tuple[str, str | None]:
    """The verdict on its pair, long after everything settled."""
    pair = derived_id(event, "sync-order")
    judge = JudgeLoop(world.database, world.catalogue)
    (later,) = (await world.rows("SELECT now() + %s", SETTLED))[0]
    await world.rows("UPDATE pairs SET due_at = now() WHERE id = %s RETURNING id", pair)
    await judge.once(later)
    ((verdict, reason),) = await world.rows("SELECT verdict, reason FROM pairs WHERE id = %s", pair)
    return verdict, reason


async def test_nothing_personal_or_secret_is_anywhere_in_clear(world: StageSet) -> None:
    async with delivered(world) as event:
        collector = world.collector()
        await collector.start()
        # one report comes before the platform has named its run to us, one after
        await report(world, Side.LEGACY, "run-legacy")
        await ended(world, event, Side.LEGACY, "run-legacy")
        await ended(world, event, Side.CANDIDATE, "run-candidate")
        await report(world, Side.CANDIDATE, "", run_id=derived_id(event, "sync-order", Side.CANDIDATE))
        assert marks_in(await dump(world.database), MARKS) == []
        await judged(world, event)
        await collector.stop()
    shown = await dump(world.database)
    assert marks_in(shown, MARKS) == []
    assert b"@marked-shop.test" in shown  # what a person may see of it
    for record in (await events.detail(world.database.engine, str(event)), await _pair(world, event)):
        assert record is not None
        assert marks_in(record.model_dump_json().encode()) == []
        assert record.originals == "kept"


async def _pair(world: StageSet, event: UUID) -> Any:
    return await pairs.detail(world.database.engine, derived_id(event, "sync-order"))


@pytest.mark.parametrize(
    ("other", "expected"), [(EMAIL.lower(), "match"), ("Somebody.Else@marked-shop.test", "mismatch")]
)
async def test_the_judge_tells_recipients_apart_by_their_hashes(world: StageSet, other: str, expected: str) -> None:
    async with delivered(world) as event:
        runs = {side: f"run-{side}" for side in Side}
        await report(world, Side.LEGACY, runs[Side.LEGACY])  # nobody knows yet whose run this is
        for side in Side:
            await world.rows(
                "UPDATE runs SET platform_run_id = NULL, state = 'sent' WHERE id = %s RETURNING id",
                derived_id(event, "sync-order", side),
            )
            await ended(world, event, side, runs[side])
        await report(world, Side.CANDIDATE, runs[Side.CANDIDATE], other)
        pending = "SELECT count(*) FROM bodies WHERE part = 'pending'"
        assert await world.value(pending) == 1
        verdict, reason = await judged(world, event)
        assert (verdict, reason) == (expected, None)
        assert await world.value(pending) == 0
        assert marks_in(await dump(world.database)) == []
        if expected == "mismatch":
            sentences = " ".join(row[0] for row in await world.rows("SELECT sentence FROM differences"))
            assert "@marked-shop.test" in sentences
            assert "~email:" in sentences


async def test_a_platform_that_quotes_what_it_refuses_does_not_give_it_away(world: StageSet) -> None:
    async with delivered(world) as event:
        for side in Side:
            await world.rows(
                "UPDATE runs SET platform_run_id = NULL, state = 'sent' WHERE id = %s RETURNING id",
                derived_id(event, "sync-order", side),
            )
            await ended(world, event, side, f"run-{side}", f"no such mailbox: {EMAIL}")
        assert marks_in(await dump(world.database)) == []
        assert (await judged(world, event))[0] == "match"


async def test_a_pair_whose_tenant_was_forgotten_in_between_can_not_be_compared(world: StageSet) -> None:
    async with delivered(world) as event:
        runs = {side: f"run-{side}" for side in Side}
        for side in Side:
            await world.rows(
                "UPDATE runs SET platform_run_id = NULL, state = 'sent' WHERE id = %s RETURNING id",
                derived_id(event, "sync-order", side),
            )
        await ended(world, event, Side.LEGACY, runs[Side.LEGACY])
        await world.database.vault.forget("acme", lead=timedelta(milliseconds=20))
        await ended(world, event, Side.CANDIDATE, runs[Side.CANDIDATE])
        verdict, reason = await judged(world, event)
        assert verdict == "not_comparable"
        assert reason is not None
        assert reason.startswith("forgotten:")
        shown = await _pair(world, event)
        assert shown.originals == "forgotten"


async def test_what_is_undelivered_when_its_tenant_is_forgotten_is_a_dead_letter(world: StageSet) -> None:
    (event,) = await world.accept(data=order())
    (other,) = await world.accept(tenant="shop")
    await world.database.vault.forget("acme", lead=timedelta(milliseconds=20))
    async with world.delivering():
        await done(world)
    dead = await world.rows("SELECT DISTINCT event_id, error FROM dispatches WHERE state = 'dead'")
    assert [row[0] for row in dead] == [event]
    assert dead[0][1].startswith("forgotten: the key of tenant 'acme' was destroyed")
    assert (await world.run(other, "welcome", Side.LEGACY))["state"] != "expected"
    detail = await events.detail(world.database.engine, str(event))
    assert detail is not None
    assert detail.originals == "forgotten"


async def test_bodies_of_a_time_before_there_were_keys_are_delivered_and_judged(world: StageSet) -> None:
    (event,) = await world.accept(data=order())
    await world.rows(
        "UPDATE bodies SET content = %s WHERE id = %s AND part = 'data' RETURNING id",
        codec.encode(orjson.dumps(order())),
        event,
    )
    async with world.delivering():
        await done(world)
        started = [record.payload for record in world.trigger.runs()]
        assert {"order": "o-1", "tenant": "acme"} in started
        for side in Side:
            run = derived_id(event, "sync-order", side)
            await world.rows("UPDATE runs SET platform_run_id = NULL, state = 'sent' WHERE id = %s RETURNING id", run)
            await ended(world, event, side, f"run-{side}")
        # what legacy returned was kept as it was
        output = codec.encode(orjson.dumps({"mailed": EMAIL, "key": SECRET, "said": f"to {NAME}"}))
        await world.rows(
            "UPDATE bodies SET content = %s WHERE id = %s AND part = 'output' RETURNING id",
            output,
            derived_id(event, "sync-order", Side.LEGACY),
        )
        assert await judged(world, event) == ("match", None)

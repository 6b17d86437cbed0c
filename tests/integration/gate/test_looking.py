"""What gates say of what is on record, looked at for many tasks together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.containment.record import declare, withdraw
from shadow.gate import epochs
from shadow.gate.epochs import Epoch
from shadow.gate.looking import look
from shadow.gate.report import Condition, ConditionName, Counted, GateReport, State
from shadow.gate.signing_off import SignOffRefused, revoke, sign_off
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import new_id
from shadow.store.database import Connection
from tests.integration.gate.standing import TASK, epoch, ready
from tests.integration.judge.world import World


async def said(world: World, task: str = TASK, now: datetime | None = None) -> GateReport:
    return (await look(world.database, world.catalogue, [task], now))[task]


def of(report: GateReport, name: ConditionName) -> Condition:
    (found,) = [condition for condition in report.conditions if condition.name is name]
    return found


def shut_by(report: GateReport) -> set[ConditionName]:
    assert report.open is not bool(report.blockers)
    return {condition.name for condition in report.blockers}


async def judged(world: World, judge: JudgeLoop) -> None:
    """Judge what has settled."""
    assert (await judge.once(datetime.now(UTC) + timedelta(minutes=1))).judged


async def test_a_task_of_which_nothing_is_known_is_shut(world: World) -> None:
    report = await said(world)
    assert not report.open and report.epoch is None and report.epoch_number == 0
    assert report.live == Counted() and report.e_value == 1.0 and report.upper_bound == 1.0
    assert report.pairs_needed == 322
    assert {ConditionName.STATISTIC, ConditionName.CONTAINMENT, ConditionName.SOAK} <= shut_by(report)


async def test_a_task_with_all_that_is_asked_for_is_open(world: World) -> None:
    begun = await ready(world)
    report = await said(world)
    assert report.open, report.blockers
    assert (report.epoch, report.candidate_version, report.legacy_version) == (begun.id, "c4", "l1")
    assert report.live == Counted(match=400)
    assert report.pairs_needed == 0 and report.upper_bound < report.budget
    assert 250 < report.pairs_a_day < 450
    assert report.outlook == "it is open"
    assert GateReport.from_json(report.as_json()) == report


async def test_tasks_that_the_catalogue_does_not_name_are_left_out(world: World) -> None:
    assert set(await look(world.database, world.catalogue, ["digest", "gone"])) == {"digest"}


async def test_a_gate_that_lacks_pairs_says_how_many_and_when(world: World) -> None:
    await epoch(world, matches=96)
    report = await said(world)
    assert report.pairs_needed == 226
    assert "226 more clean pairs" in of(report, ConditionName.STATISTIC).says


async def test_a_leak_shuts_the_gate_for_its_epoch(world: World) -> None:
    await ready(world)
    async with world.connection() as connection:
        await connection.execute(
            "INSERT INTO incidents (id, kind, task, detail)"
            " VALUES (%s, 'leak', %s, 'a write'), (%s, 'wrong_side', %s, '')",
            (new_id(), TASK, new_id(), TASK),
        )
    report = await said(world)
    assert shut_by(report) == {ConditionName.LEAKS}
    assert of(report, ConditionName.LEAKS).figure == 1


async def _leaked(world: World) -> Epoch:
    begun = await ready(world)
    async with world.connection() as connection:
        await connection.execute(
            "INSERT INTO incidents (id, kind, task, detail) VALUES (%s, 'leak', %s, 'a write')", (new_id(), TASK)
        )
    return begun


async def test_a_leak_outlasts_its_epoch_until_the_same_version_is_contained_anew(world: World) -> None:
    await _leaked(world)
    await asyncio.sleep(0.002)  # ids tell milliseconds apart
    async with world.connection() as connection:
        await epochs.begin(connection, TASK, "the task's rules changed", rules="r2")
    assert ConditionName.LEAKS in shut_by(await said(world))
    await declare(world.database, TASK, actor="ann", reason="it was a test account, and is blocked now")
    assert ConditionName.LEAKS not in shut_by(await said(world))


async def test_a_leak_says_nothing_of_the_next_version(world: World) -> None:
    await _leaked(world)
    await asyncio.sleep(0.002)
    async with world.connection() as connection:
        await epochs.begin(connection, TASK, "deployed", versions={Side.CANDIDATE: "c5"})
    assert ConditionName.LEAKS not in shut_by(await said(world))


async def test_a_critical_difference_of_a_pair_that_was_accepted_before_the_epoch_and_starts_in_it_shuts_the_gate(
    world: World, judge: JudgeLoop
) -> None:
    told = await world.event()
    await told.effect(Side.CANDIDATE, {"amount": 5})
    await told.both({"ok": True})
    await judged(world, judge)
    await ready(world)
    async with world.connection() as connection:
        await connection.execute("UPDATE epochs SET started_at = now() + interval '1 second'")
    assert ConditionName.CRITICAL not in shut_by(await said(world))
    async with world.connection() as connection:
        await connection.execute("UPDATE pairs SET starts_at = now() + interval '1 hour'")
    report = await said(world)
    assert ConditionName.CRITICAL in shut_by(report)
    assert of(report, ConditionName.CRITICAL).figure == 1


async def test_without_its_declaration_neither_containment_nor_leaks_are_answered_for(world: World) -> None:
    await ready(world)
    await withdraw(world.database, TASK, actor="bob", reason="it writes after all")
    assert shut_by(await said(world)) == {ConditionName.CONTAINMENT, ConditionName.LEAKS}


async def test_a_critical_difference_shuts_the_gate_until_it_is_allowed_or_older_than_the_epoch(
    world: World, judge: JudgeLoop
) -> None:
    told = await world.event()
    await told.effect(Side.CANDIDATE, {"amount": 5})
    await told.both({"ok": True})
    await judged(world, judge)
    await ready(world)
    report = await said(world)
    assert shut_by(report) == {ConditionName.CRITICAL}
    ((signature,),) = await world.rows("SELECT id FROM signatures WHERE severity = 'critical'")
    assert signature in of(report, ConditionName.CRITICAL).says

    now = datetime.now(UTC)
    wanted = Grant(signature, "known and wanted", now + timedelta(days=2), acknowledge_critical=True)
    await grant(world.database, wanted, actor="ann", now=now)
    async with world.connection() as connection:
        await connection.execute("UPDATE differences SET allowance = (SELECT id FROM allowances)")
        await connection.execute("UPDATE signatures SET allowed = pairs")
    assert (await said(world)).open

    # It expires, and the pair shows the difference as ever.
    async with world.connection() as connection:
        await connection.execute("UPDATE allowances SET expires_at = now(), ended_at = now()")
        await connection.execute("UPDATE differences SET allowance = NULL")
        await connection.execute("UPDATE signatures SET allowed = 0")
    report = await said(world)
    assert shut_by(report) == {ConditionName.CRITICAL, ConditionName.ALLOWANCES}
    assert signature in of(report, ConditionName.ALLOWANCES).says

    async with world.connection() as connection:
        await connection.execute("UPDATE epochs SET started_at = now() + interval '1 second'")
    later = await said(world, now=datetime.now(UTC) + timedelta(days=1))
    assert not shut_by(later) & {ConditionName.CRITICAL, ConditionName.ALLOWANCES}


async def test_what_legacy_showed_before_the_epoch_must_be_compared_in_it(world: World, judge: JudgeLoop) -> None:
    told = await world.event(data={"order": 1, "note": None})
    for side in Side:
        await told.effect(side, {"amount": 5})
    await told.both({"ok": True})
    await judged(world, judge)
    assert await world.rows("SELECT of, shape, compared_at = legacy_at FROM task_shapes ORDER BY of") == [
        ("effect", '["http","stripe","POST /v1/transfers"]', True),
        ("event", '{"note":"null","order":"number"}', True),
    ]
    await ready(world)
    assert (await said(world)).open

    async with world.connection() as connection:
        await connection.execute("UPDATE task_shapes SET legacy_at = legacy_at - interval '4 days', compared_at = NULL")
    report = await said(world)
    assert shut_by(report) == {ConditionName.COVERAGE}
    says = of(report, ConditionName.COVERAGE).says
    assert "effect http stripe POST /v1/transfers; event {note: null, order: number}" in says

    async with world.connection() as connection:
        await connection.execute("UPDATE task_shapes SET legacy_at = legacy_at - interval '27 days'")
    assert (await said(world)).open


async def test_a_pair_that_cannot_be_compared_shows_what_legacy_did_and_covers_nothing(
    world: World, judge: JudgeLoop
) -> None:
    told = await world.event()
    await told.both({"ok": True})
    await told.incomparable("changed_by_producer: cancelled")
    await judged(world, judge)
    await ready(world)
    assert shut_by(await said(world)) == {ConditionName.COVERAGE}


async def test_two_people_sign_off_a_task_with_few_pairs(world: World) -> None:
    await ready(world)
    async with world.connection() as connection:
        await connection.execute("DELETE FROM epochs")
        await connection.execute("DELETE FROM tallies")
    await epoch(world, matches=3)
    async with world.connection() as connection:
        await connection.execute("DELETE FROM tallies")
    assert shut_by(await said(world)) == {ConditionName.STATISTIC, ConditionName.FAILURES}
    first = await sign_off(world.database, TASK, actor="token:ann", reason="went through all three")
    with pytest.raises(SignOffRefused, match="the other one must be somebody else"):
        await sign_off(world.database, TASK, actor="token:ann", reason="once more")
    assert not (await said(world)).open
    second = await sign_off(world.database, TASK, actor="token:bob", reason="so did I")
    report = await said(world)
    assert report.open, report.blockers
    assert report.sign_offs == (first, second)
    assert of(report, ConditionName.FRESHNESS).state is State.NOT_APPLICABLE

    assert await revoke(world.database, TASK, second.id, actor="token:bob")
    assert not await revoke(world.database, TASK, second.id, actor="token:bob")
    assert not await revoke(world.database, "digest", first.id, actor="token:bob")
    assert not (await said(world)).open


async def test_a_sign_off_needs_a_reason_and_an_epoch(world: World) -> None:
    with pytest.raises(SignOffRefused, match="has no epoch yet"):
        await sign_off(world.database, TASK, actor="token:ann", reason="looks fine")
    await epoch(world)
    with pytest.raises(SignOffRefused, match="needs a reason"):
        await sign_off(world.database, TASK, actor="token:ann", reason="  ")


async def test_pairs_that_wait_for_an_older_one_are_pending(world: World, judge: JudgeLoop) -> None:
    await epoch(world)
    told = await world.event()
    await told.both({"ok": True})
    await judged(world, judge)
    async with world.connection() as connection:
        await connection.execute("UPDATE pairs SET starts_at = now()")
    assert (await said(world)).pending == 1
    async with world.connection() as connection:
        await connection.execute("UPDATE pairs SET counted = 'match'")
    assert (await said(world)).pending == 0


async def test_the_number_of_queries_is_the_same_for_any_number_of_tasks(world: World) -> None:
    await ready(world)
    await ready(world, "digest")
    await look(world.database, world.catalogue, [TASK])  # the pool's connection is made
    with counted_queries() as one:
        await look(world.database, world.catalogue, [TASK])
    with counted_queries() as all_:
        await look(world.database, world.catalogue, list(world.catalogue.tasks))
    assert len(one) == len(all_) < 20


@contextmanager
def counted_queries() -> Iterator[list[Any]]:
    queries: list[Any] = []
    execute = Connection.execute

    async def counting(self: Connection, query: Any, *more: Any, **named: Any) -> Any:
        queries.append(query)
        return await execute(self, query, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "execute", counting)
        yield queries

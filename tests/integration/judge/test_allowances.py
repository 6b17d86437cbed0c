"""Allowances over a real database: verdicts follow them, and every count with the verdicts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.judge.allowances import LONGEST, AllowanceRefused, Grant, UnknownSignature, grant, revoke
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop, Swept
from shadow.judge.tallying import tally
from tests.integration.judge.world import Told, World

LATER = timedelta(minutes=1)
REASON = "agreed with the shop"


@pytest.fixture
def sweeper(world: World) -> AllowanceLoop:
    """A loop that is not started: tests take its steps."""
    return AllowanceLoop(world.database, batch=2)


async def differing(
    world: World, judge: JudgeLoop, *, tenant: str | None = "acme", legacy: Any = 1, candidate: Any = 2
) -> Told:
    """A judged pair whose runs returned something else."""
    told = await world.event(tenant=tenant)
    await told.both({"count": legacy}, candidate={"count": candidate})
    await judge.once(told.accepted_at + LATER)
    return told


async def signature(world: World, kind: str = "output%") -> str:
    ((found,),) = await world.rows("SELECT id FROM signatures WHERE kind LIKE %s", kind)
    return str(found)


async def allow(world: World, signature: str, *, days: float = 7, **scope: Any) -> UUID:
    now = datetime.now(UTC)
    wanted = Grant(signature, REASON, now + timedelta(days=days), **scope)
    return await grant(world.database, wanted, actor="ann", now=now)


async def swept(loop: AllowanceLoop, now: datetime | None = None) -> list[Swept]:
    """Turns until there is nothing more to do."""
    turns = [await loop.once(now)]
    while turns[-1].more:
        turns.append(await loop.once(now))
    return turns


async def verdict(world: World, told: Told) -> str:
    ((found,),) = await world.rows("SELECT verdict FROM pairs WHERE id = %s", told.pair)
    return str(found)


async def counts(world: World, signature: str) -> tuple[int, int]:
    """(pairs that show it, of them those in which it is allowed)."""
    ((pairs, allowed),) = await world.rows("SELECT pairs, allowed FROM signatures WHERE id = %s", signature)
    return pairs, allowed


async def covering(world: World, allowance: UUID) -> int:
    ((pairs,),) = await world.rows("SELECT pairs FROM allowances WHERE id = %s", allowance)
    return int(pairs)


async def test_pairs_that_show_nothing_else_are_allowed_in_bounded_batches(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    told = [await differing(world, judge) for _ in range(3)]
    found = await signature(world)
    allowance = await allow(world, found)
    assert await world.verdicts() == {"mismatch": 3}
    first, second, third = await swept(sweeper)
    assert (first.changed, second.changed, third) == (2, 1, Swept())
    assert {await verdict(world, one) for one in told} == {"allowed"}
    assert await world.verdicts() == {"allowed": 3}
    assert await counts(world, found) == (3, 3)
    assert await covering(world, allowance) == 3
    assert await world.rows("SELECT DISTINCT allowance FROM differences") == [(allowance,)]


async def test_a_pair_judged_from_then_on_is_allowed_at_once(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    await differing(world, judge)
    allowance = await allow(world, await signature(world))
    await swept(sweeper)
    second = await differing(world, judge)
    assert await verdict(world, second) == "allowed"
    assert await counts(world, await signature(world)) == (2, 2)
    assert await covering(world, allowance) == 2


async def test_a_further_difference_keeps_a_pair_a_mismatch_and_says_which_is_allowed(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    told = await world.event()
    await told.both({"count": 1}, candidate={"count": 2})
    await told.effect(Side.LEGACY, {"requestId": "r1", "amount": 5})
    await judge.once(told.accepted_at + LATER)
    allowance = await allow(world, await signature(world))
    await swept(sweeper)
    assert await verdict(world, told) == "mismatch"
    assert await world.rows("SELECT kind, allowance FROM differences ORDER BY kind") == [
        ("effect.missing", None),
        ("output.changed", allowance),
    ]
    assert await counts(world, await signature(world)) == (1, 1)
    assert await counts(world, await signature(world, "effect%")) == (1, 0)


async def test_what_could_not_be_compared_is_not_allowed_but_not_comparable(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    told = await differing(world, judge)
    await allow(world, await signature(world))
    await swept(sweeper)
    await told.doubled(Side.LEGACY)
    await judge.once(told.accepted_at + LATER)
    assert await verdict(world, told) == "not_comparable"
    assert await world.verdicts() == {"not_comparable": 1}


async def test_a_revoked_allowance_stays_on_record_and_its_pairs_are_mismatches_again(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    await differing(world, judge)
    found = await signature(world)
    allowance = await allow(world, found)
    await swept(sweeper)
    assert await revoke(world.database, allowance, actor="bob")
    assert not await revoke(world.database, allowance, actor="eve")
    await swept(sweeper)
    assert await world.verdicts() == {"mismatch": 1}
    assert (await counts(world, found), await covering(world, allowance)) == ((1, 0), 0)
    assert await world.rows("SELECT actor, reason, ended_by FROM allowances") == [("ann", REASON, "bob")]


async def test_the_loop_notices_by_the_clock_that_an_allowance_expired(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    await differing(world, judge)
    await allow(world, await signature(world), days=7)
    await swept(sweeper)
    turns = await swept(sweeper, datetime.now(UTC) + timedelta(days=6))
    assert sum(turn.expired for turn in turns) == 0
    turns = await swept(sweeper, datetime.now(UTC) + timedelta(days=8))
    assert (turns[0].expired, turns[0].changed) == (1, 1)
    assert await world.verdicts() == {"mismatch": 1}
    assert await world.rows("SELECT ended_at = expires_at, ended_by FROM allowances") == [(True, None)]


async def test_where_another_allowance_still_stands_nothing_changes(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    await differing(world, judge)
    found = await signature(world)
    short, long = await allow(world, found, days=1), await allow(world, found, days=9)
    await swept(sweeper)
    assert (await covering(world, short), await covering(world, long)) == (0, 1)
    await revoke(world.database, long, actor="bob")
    await swept(sweeper)
    assert (await covering(world, short), await covering(world, long)) == (1, 0)
    assert await world.verdicts() == {"allowed": 1}


async def test_an_allowance_for_a_tenant_covers_nobody_elses_pairs(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    acme, other, none = [await differing(world, judge, tenant=tenant) for tenant in ("acme", "other", None)]
    await allow(world, await signature(world), tenant="acme")
    await swept(sweeper)
    assert [await verdict(world, told) for told in (acme, other, none)] == ["allowed", "mismatch", "mismatch"]
    await allow(world, await signature(world), tenant="")
    await swept(sweeper)
    assert [await verdict(world, told) for told in (acme, other, none)] == ["allowed", "mismatch", "allowed"]
    assert await counts(world, await signature(world)) == (3, 2)


async def test_a_critical_signature_needs_an_acknowledgement_which_is_kept(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    told = await world.event()
    await told.both()
    await told.effect(Side.LEGACY, {"requestId": "r1", "amount": 5})
    await judge.once(told.accepted_at + LATER)
    found = await signature(world, "effect.missing")
    with pytest.raises(AllowanceRefused) as refused:
        await allow(world, found)
    assert refused.value.field == "acknowledge_critical"
    assert await world.rows("SELECT * FROM allowances") == []
    await allow(world, found, acknowledge_critical=True)
    await swept(sweeper)
    assert await verdict(world, told) == "allowed"
    assert await world.rows("SELECT acknowledged_critical, max_severity FROM allowances") == [(True, "critical")]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reason": "  "}, "reason"),
        ({"until": timedelta(seconds=-1)}, "until"),
        ({"until": LONGEST + timedelta(seconds=1)}, "until"),
    ],
)
async def test_what_is_no_reviewed_decision_is_refused(
    world: World, judge: JudgeLoop, changed: dict[str, Any], field: str
) -> None:
    await differing(world, judge)
    now = datetime.now(UTC)
    until = now + changed.get("until", timedelta(days=1))
    with pytest.raises(AllowanceRefused) as refused:
        wanted = Grant(await signature(world), changed.get("reason", REASON), until)
        await grant(world.database, wanted, actor="ann", now=now)
    assert refused.value.field == field


async def test_a_signature_that_no_pair_ever_showed_cannot_be_allowed(world: World) -> None:
    with pytest.raises(UnknownSignature):
        await allow(world, "s1-nothing")


async def test_a_pair_that_matches_when_it_is_judged_again_is_covered_no_more(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop
) -> None:
    told = await differing(world, judge)
    found = await signature(world)
    allowance = await allow(world, found)
    await swept(sweeper)
    await told.finished(Side.CANDIDATE, output={"count": 1})
    await judge.once(told.accepted_at + LATER)
    assert await world.verdicts() == {"match": 1}
    assert (await counts(world, found), await covering(world, allowance)) == ((0, 0), 0)


async def test_pairs_whose_evidence_is_gone_follow_too(world: World, judge: JudgeLoop, sweeper: AllowanceLoop) -> None:
    told = await differing(world, judge)
    await world.rows("DELETE FROM bodies RETURNING id")
    await allow(world, await signature(world))
    await swept(sweeper)
    assert await verdict(world, told) == "allowed"


async def test_a_verdict_being_written_while_it_is_allowed_is_not_forgotten(
    world: World, judge: JudgeLoop, sweeper: AllowanceLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge has read that nothing is allowed, and has not committed yet, when somebody allows it."""
    await differing(world, judge)
    found = await signature(world)
    told = await world.event()
    await told.both({"count": 1}, candidate={"count": 2})
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> None:
        read.set()
        await go_on.wait()
        await tally(*arguments)

    monkeypatch.setattr("shadow.judge.writing.tally", slow)
    judging = asyncio.create_task(judge.once(told.accepted_at + LATER))
    await read.wait()
    allowing = asyncio.create_task(allow(world, found))
    await asyncio.sleep(0.05)
    assert not allowing.done()  # it waits until the verdict can be seen
    go_on.set()
    await asyncio.gather(judging, allowing)
    await swept(sweeper)
    assert await world.verdicts() == {"allowed": 2}


async def test_a_killed_sweep_goes_on_where_it_was(world: World, judge: JudgeLoop, sweeper: AllowanceLoop) -> None:
    for _ in range(5):
        await differing(world, judge)
    await allow(world, await signature(world))
    assert (await sweeper.once()).changed == 2
    assert await world.verdicts() == {"mismatch": 3, "allowed": 2}
    others = [AllowanceLoop(world.database, batch=2) for _ in range(2)]  # as after a restart, and one beside it
    for _ in range(3):
        await asyncio.gather(*(other.once() for other in others))
    assert await world.verdicts() == {"allowed": 5}
    assert await counts(world, await signature(world)) == (5, 5)
    assert await world.rows("SELECT * FROM allowance_sweeps") == []

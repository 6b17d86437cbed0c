"""After the switch pairs go on where legacy runs without authority: opened, judged, counted and watched like any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase, decide
from shadow.fanout.opening import open_pairs
from shadow.fanout.stored_events import load_events
from shadow.gate.counting import CountingLoop
from shadow.gate.epochs import current
from shadow.gate.report import Counted
from shadow.judge.loop import JudgeLoop
from shadow.steering.draining import draining
from shadow.steering.watching import CutoverWatch
from tests.integration.judge.world import DEADLINE, Told
from tests.integration.steering.stage import TASK, Stage

LONG = timedelta(days=1)


async def accepted(stage: Stage) -> Told:
    """An event of a live route with a reverse shadow, which has been handed over to both sides."""
    told = await stage.event(phase="live", authority=Side.CANDIDATE, opened=False)
    decided = decide(stage.catalogue.tasks[TASK].route, Phase.LIVE, reverse=True)
    await stage.execute(
        "UPDATE events SET sides = %s, decided = %s WHERE id = %s",
        [side.value for side in decided.sides],
        decided.decided,
        told.event,
    )
    async with stage.connection() as connection:
        await open_pairs(connection, stage.catalogue, await load_events(connection, [told.event]))
        await connection.execute(
            "UPDATE runs SET state = 'sent', platform_run_id = 'run-' || id WHERE event_id = %s", (told.event,)
        )
    return told


async def judged(stage: Stage, after: timedelta = timedelta(seconds=10)) -> None:
    await JudgeLoop(stage.database, stage.catalogue).once(datetime.now(UTC) + after)


async def counted(stage: Stage) -> Counted:
    await CountingLoop(stage.database, stage.catalogue, look_seconds=0).once(datetime.now(UTC) + LONG)
    async with stage.connection() as connection:
        return (await current(connection, [TASK]))[TASK].live


@pytest.fixture(autouse=True)
async def live(stage: Stage) -> None:
    await stage.stands(TASK, Phase.LIVE)


async def test_legacys_run_has_no_authority_and_the_two_are_a_pair(stage: Stage) -> None:
    told = await accepted(stage)
    runs = await stage.rows("SELECT side, authority, pair_id FROM runs ORDER BY side")
    assert runs == [("candidate", "real", told.pair), ("legacy", "none", told.pair)]
    assert await stage.rows("SELECT id, legacy_run, candidate_run FROM pairs") == [
        (told.pair, told.run(Side.LEGACY), told.run(Side.CANDIDATE))
    ]
    assert await stage.rows("SELECT opened FROM tallies") == [(1,)]
    async with stage.connection() as connection:
        assert (await draining(connection, stage.catalogue, [TASK]))[TASK].left == 0


async def test_its_pairs_are_judged_tallied_and_counted(stage: Stage) -> None:
    for candidate in ({"ok": True}, {"ok": True}, {"ok": False}):
        told = await accepted(stage)
        await told.both({"ok": True}, candidate=candidate)
    await judged(stage)
    assert await stage.verdicts() == {"match": 2, "mismatch": 1}
    assert await counted(stage) == Counted(match=2, mismatch=1)


async def test_a_reverse_shadow_that_does_not_run_is_missing_and_no_match(stage: Stage) -> None:
    told = await accepted(stage)
    await told.finished(Side.CANDIDATE, output={"ok": True})
    await judged(stage)
    assert await stage.verdicts() == {}
    await judged(stage, 2 * DEADLINE + timedelta(hours=1))
    assert await stage.verdicts() == {"missing_legacy": 1}
    assert await counted(stage) == Counted(missing=1)


async def test_what_the_candidate_did_to_the_world_is_held_against_what_legacy_would_have_done(stage: Stage) -> None:
    told = await accepted(stage)
    await told.effect(Side.CANDIDATE, {"params": {"amount": 1200}})
    await told.both({"ok": True})
    await judged(stage)
    ((kind, severity),) = await stage.rows("SELECT kind, severity FROM differences")
    assert (kind.split(".")[0], severity) == ("effect", "critical")
    (move,) = await CutoverWatch(stage.database, stage.catalogue).once()
    assert f"pair {told.pair}" in move.reason

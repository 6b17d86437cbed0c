"""What legacy still does with authority after the candidate took over is counted until it is over."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.cutover.moves import Move, MoveRefused
from shadow.gate.report import GateReport
from shadow.steering.draining import Draining, draining
from shadow.steering.moving import move
from shadow.store.database import Database
from tests.integration.steering.stage import TASK, Stage
from tests.unit.shadow.reports.gates import report

HOUR = timedelta(hours=1)


async def of(stage: Stage, task: str = TASK) -> Draining:
    async with stage.connection() as connection:
        return (await draining(connection, stage.catalogue, [task]))[task]


@pytest.mark.parametrize("phase", [Phase.LEGACY, Phase.SHADOW])
async def test_nothing_drains_where_legacy_has_authority(stage: Stage, phase: Phase) -> None:
    await stage.event()
    await stage.stands(TASK, phase)
    found = await of(stage)
    assert (found.phase, found.since, found.left) == (phase, None, 0)


async def test_a_task_that_was_never_moved_has_nothing_to_drain(stage: Stage) -> None:
    await stage.event()
    assert (await of(stage)).left == 0


@pytest.mark.parametrize("phase", [Phase.LIVE, Phase.RETIRED])
async def test_runs_with_authority_drain_until_they_are_finished(stage: Stage, phase: Phase) -> None:
    first, second = await stage.event(), await stage.event()
    await stage.stands(TASK, phase, since=datetime.now(UTC))
    found = await of(stage)
    assert (found.runs, found.left, found.phase) == (2, 2, phase)
    assert found.examples == (first.run(Side.LEGACY), second.run(Side.LEGACY))
    assert found.oldest is not None
    assert abs(found.oldest - first.accepted_at) < timedelta(seconds=1)
    await first.finished(Side.LEGACY)
    assert (await of(stage)).examples == (second.run(Side.LEGACY),)
    await second.finished(Side.LEGACY)
    found = await of(stage)
    assert (found.left, found.oldest) == (0, None)


async def test_a_reverse_shadow_has_no_authority_and_nothing_to_drain(stage: Stage) -> None:
    await stage.stands(TASK, Phase.LIVE)
    await stage.event(phase="live", authority=Side.CANDIDATE)
    assert (await of(stage)).left == 0


async def test_during_a_ramp_what_stays_with_legacy_is_not_counted(stage: Stage) -> None:
    before = await stage.event()
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC) + timedelta(milliseconds=2), share=50)
    await stage.execute("SELECT pg_sleep(0.01)")
    await stage.event(phase="ramp")
    assert (await of(stage)).examples == (before.run(Side.LEGACY),)


async def test_a_run_that_starts_later_is_counted_and_told_apart(stage: Stage) -> None:
    later = await stage.event()
    await stage.execute(
        "UPDATE runs SET scheduled_at = %s WHERE id = %s", datetime.now(UTC) + HOUR, later.run(Side.LEGACY)
    )
    await stage.stands(TASK, Phase.LIVE)
    found = await of(stage)
    assert (found.runs, found.scheduled) == (1, 1)


async def test_an_event_that_legacy_has_not_got_yet_is_counted(stage: Stage) -> None:
    waiting = await stage.event(opened=False)  # with a dispatch for the candidate, which is none of legacy's
    await stage.stands(TASK, Phase.LIVE)
    assert (await of(stage)).left == 0
    await stage.dispatch(waiting, side=Side.LEGACY)
    found = await of(stage)
    assert (found.waiting, found.dead, found.left) == (1, 0, 1)
    assert found.oldest is not None
    await stage.execute("UPDATE dispatches SET state = 'dead', error = '404: no such task'")
    found = await of(stage)
    assert (found.waiting, found.dead, found.left) == (0, 1, 1)


async def test_a_webhook_that_is_to_be_passed_on_is_counted_for_all_that_it_starts(stage: Stage) -> None:
    told = await stage.event(opened=False)
    dispatch = await stage.dispatch(told, side=Side.LEGACY)
    await stage.execute("UPDATE dispatches SET task = NULL, stage = 'forward' WHERE id = %s", dispatch)
    for task in (TASK, "digest"):
        await stage.stands(task, Phase.LIVE)
    assert ((await of(stage)).waiting, (await of(stage, "digest")).waiting) == (1, 0)


async def test_a_run_whose_dispatch_is_not_done_is_counted_once(stage: Stage) -> None:
    told = await stage.event()
    await stage.dispatch(told, side=Side.LEGACY)
    await stage.stands(TASK, Phase.LIVE)
    found = await of(stage)
    assert (found.runs, found.waiting, found.left) == (1, 0, 1)


async def opened(_database: Database, _catalogue: ResolvedCatalogue, tasks: Collection[str]) -> dict[str, GateReport]:
    """Gates that are all open."""
    return {task: report(task) for task in tasks}


async def retired(stage: Stage, *, force: bool = False) -> Move:
    return await move(
        stage.database,
        stage.catalogue,
        TASK,
        Phase.RETIRED,
        actor="ada",
        reason="the old platform is switched off",
        force=force,
        look=opened,
    )


async def test_a_route_is_retired_once_legacy_has_drained(stage: Stage) -> None:
    told = await stage.event()
    await stage.stands(TASK, Phase.LIVE)
    with pytest.raises(MoveRefused, match="legacy has not drained: 'order-sync' has 1 runs in flight"):
        await retired(stage)
    await told.finished(Side.LEGACY)
    assert not (await retired(stage)).forced


async def test_by_force_it_is_retired_before_that(stage: Stage) -> None:
    await stage.event()
    await stage.stands(TASK, Phase.LIVE)
    assert (await retired(stage, force=True)).forced

"""A route in ramp or live goes back by itself for what was seen since it came there, once, and says why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from shadow.catalogue import Route, parse
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.cutover.back import go_back
from shadow.cutover.decision import Phase
from shadow.cutover.moves import LEAD
from shadow.egress.incidents import Incident, IncidentKind, Incidents
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import new_id
from shadow.steering.watching import CutoverWatch
from tests.integration.fanout.serving import until
from tests.integration.judge.world import CATALOGUE, Told
from tests.integration.steering.stage import MINUTE, TASK, Stage


def in_ten_seconds() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=10)


@pytest.fixture
def watch(stage: Stage) -> CutoverWatch:
    return CutoverWatch(stage.database, stage.catalogue)


def configured(stage: Stage, **cutover: Any) -> CutoverWatch:
    """A watch whose catalogue says something else of the task."""
    document = yaml.safe_load(CATALOGUE)
    document["tasks"][TASK]["cutover"] = cutover
    return CutoverWatch(stage.database, parse(yaml.safe_dump(document), "test.yaml", {}))


async def standing(stage: Stage) -> tuple[str, str | None, str | None]:
    """(phase to come, cause and reason of the last move)."""
    ((phase,),) = await stage.rows("SELECT phase FROM phases WHERE task = %s", TASK)
    ((cause, reason),) = await stage.rows("SELECT cause, reason FROM moves ORDER BY decided_at DESC LIMIT 1")
    return phase, cause, reason


async def judged(stage: Stage) -> None:
    await JudgeLoop(stage.database, stage.catalogue).once(in_ten_seconds())


async def mismatch(stage: Stage, *, severe: bool = True, **event: Any) -> Told:
    """A pair whose candidate paid what legacy did not, or that differs in its output only."""
    told = await stage.event(phase="ramp", **event)
    await told.both({"ok": True}, candidate={"ok": True} if severe else {"ok": True, "extra": 1})
    if severe:
        await told.effect(Side.CANDIDATE, {"params": {"amount": 1200}})
    await judged(stage)
    return told


async def ran(stage: Stage, status: str, count: int) -> None:
    """The candidate's runs with authority that ended so."""
    for _ in range(count):
        told = await stage.event(phase="live", authority=Side.CANDIDATE)
        await told.finished(Side.CANDIDATE, status=status, error=None if status == "completed" else "Error")


@pytest.mark.parametrize("phase", [Phase.RAMP, Phase.LIVE])
async def test_a_critical_difference_moves_it_back(stage: Stage, watch: CutoverWatch, phase: Phase) -> None:
    await declare(stage.database, TASK, actor="ada", reason="harmless")
    await stage.stands(TASK, phase, share=50)
    assert await watch.once() == []
    told = await mismatch(stage)
    (move,) = await watch.once()
    assert (move.from_phase, move.to_phase, move.actor, move.cause) == (phase, Phase.SHADOW, "shadow", "automatic")
    assert move.effective_at - move.decided_at == LEAD
    assert move.reason.startswith(f"by itself: {TASK} has 1 pair with a critical difference (pair {told.pair},")
    ((severity, signature),) = await stage.rows("SELECT severity, id FROM signatures")
    assert severity == "critical"
    assert f"signature {signature}: " in move.reason
    assert await standing(stage) == ("shadow", "automatic", move.reason)
    ((evidence, notice, route, facts),) = await stage.rows(
        "SELECT moves.evidence, notices.kind, notices.route, notices.facts FROM moves, notices"
        " WHERE moves.cause = 'automatic'"
    )
    assert evidence == {
        "automatic": [{"task": TASK, "reason": "critical", "pair": str(told.pair), "signature": signature, "pairs": 1}]
    }
    assert (notice, route, facts["reason"]) == ("moved_back", move.route, move.reason)


async def test_it_is_moved_once_however_many_watch(stage: Stage) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await mismatch(stage)
    watches = [CutoverWatch(stage.database, stage.catalogue) for _ in range(4)]
    made = await asyncio.gather(*(watch.once() for watch in watches))
    assert sum(len(moves) for moves in made) == 1
    assert await stage.rows("SELECT count(*) FROM moves WHERE cause = 'automatic'") == [(1,)]
    assert [await watch.once() for watch in watches] == [[], [], [], []]


async def test_it_stays_back_until_somebody_moves_it(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await mismatch(stage)
    await watch.once()
    await mismatch(stage)
    assert await watch.once() == []
    # A person who moves it on again does so knowing: what was seen before is no evidence any more.
    await stage.execute("UPDATE moves SET decided_at = decided_at - interval '10 minutes'")
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC), share=10)
    assert await watch.once() == []
    await mismatch(stage)
    assert len(await watch.once()) == 1


async def test_what_was_seen_at_a_smaller_share_counts_at_a_larger_one(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC) - MINUTE, share=10)
    told = await stage.event(phase="ramp")
    await asyncio.sleep(0.01)
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC), share=50)
    await told.effect(Side.CANDIDATE, {"params": {"amount": 1200}})
    await told.both({"ok": True})
    await judged(stage)
    assert len(await watch.once()) == 1


async def test_no_other_difference_moves_it(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await mismatch(stage, severe=False)
    assert await stage.verdicts() == {"mismatch": 1}
    assert await watch.once() == []


async def test_an_allowed_difference_does_not_move_it(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await mismatch(stage)
    await stage.execute("UPDATE differences SET allowance = gen_random_uuid()")
    assert await watch.once() == []


async def test_a_pair_of_before_the_move_does_not_move_it(stage: Stage, watch: CutoverWatch) -> None:
    await mismatch(stage)
    await asyncio.sleep(0.01)
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC), share=50)
    assert await watch.once() == []


async def test_a_replayed_pair_does_not_move_it(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await mismatch(stage)
    await stage.execute("UPDATE pairs SET replay = gen_random_uuid()")
    assert await watch.once() == []


@pytest.mark.parametrize("phase", [Phase.LEGACY, Phase.SHADOW, Phase.RETIRED])
async def test_a_route_that_stands_elsewhere_is_let_alone(stage: Stage, watch: CutoverWatch, phase: Phase) -> None:
    await stage.stands(TASK, phase)
    await mismatch(stage)
    assert await watch.once() == []


async def test_a_move_that_does_not_hold_yet_is_not_judged_by(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, since=datetime.now(UTC) + MINUTE, share=50)
    await mismatch(stage)
    assert await watch.once() == []


async def test_failures_of_the_candidate_move_it_back(stage: Stage, watch: CutoverWatch) -> None:
    await declare(stage.database, TASK, actor="ada", reason="harmless")
    await stage.stands(TASK, Phase.LIVE)
    await ran(stage, "completed", 7)
    await ran(stage, "failed", 2)
    assert await watch.once() == []  # nine are too few to tell
    await ran(stage, "crashed", 1)
    (move,) = await watch.once()
    assert move.to_phase is Phase.SHADOW
    assert "3 failed runs of the candidate's last 10 with authority, more than 20% (run " in move.reason


async def test_runs_that_were_cancelled_or_have_no_authority_are_no_failures(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.LIVE)
    await ran(stage, "completed", 8)
    await ran(stage, "cancelled", 2)
    for _ in range(10):
        told = await stage.event(phase="ramp")
        await told.finished(Side.CANDIDATE, status="failed", error="Error")
    assert await watch.once() == []


async def test_months_of_success_do_not_hide_what_fails_now(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadow.steering.looking_back.MOST_RUNS", 10)
    await stage.stands(TASK, Phase.LIVE)
    await ran(stage, "completed", 15)
    await ran(stage, "failed", 3)
    await stage.execute("UPDATE runs SET finished_at = finished_at - interval '30 seconds' WHERE status = 'completed'")
    assert len(await CutoverWatch(stage.database, stage.catalogue).once()) == 1


async def test_runs_that_never_end_move_it_back_once_their_deadline_is_over(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.LIVE, since=datetime.now(UTC) - timedelta(minutes=20))
    for _ in range(10):
        await stage.event(phase="live", authority=Side.CANDIDATE)
    assert await watch.once() == []
    hasty = configured(stage)
    hasty._catalogue.tasks[TASK] = replace(hasty._catalogue.tasks[TASK], deadline=timedelta(0))  # type: ignore[index]
    (move,) = await hasty.once()
    assert "0 failed and 10 unfinished runs of the candidate's last 10 with authority" in move.reason


async def test_dead_letters_of_the_candidate_move_it_back(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    told = await stage.event(phase="ramp", authority=Side.CANDIDATE)
    await stage.dispatch(told, state="dead", side=Side.LEGACY)
    assert await watch.once() == []
    await stage.dispatch(told, state="dead")
    (move,) = await watch.once()
    says = f"1 event that the candidate's platform would not take (event {told.event}: 404: no such task)"
    assert says in move.reason


async def test_a_leak_that_nobody_acted_on_moves_it_to_legacy(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.LIVE)
    incident = new_id()
    await stage.execute(
        "INSERT INTO incidents (id, kind, task, route, detail) VALUES (%s, 'leak', %s, 'r', 'it got out')",
        incident,
        TASK,
    )
    (move,) = await watch.once()
    assert move.to_phase is Phase.LEGACY
    assert f"1 leak (incident {incident}: it got out)" in move.reason
    assert await stage.rows("SELECT moved_back FROM incidents") == [(True,)]


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.RAMP, Phase.LIVE])
async def test_the_gateway_moves_a_leak_back_at_once(stage: Stage, watch: CutoverWatch, phase: Phase) -> None:
    await stage.stands(TASK, phase, share=50)
    await Incidents(stage.catalogue, stage.database).note(Incident(IncidentKind.LEAK, "it got out", task=TASK))
    assert (await standing(stage))[:2] == ("legacy", "automatic")
    assert await stage.rows("SELECT moved_back FROM incidents") == [(True,)]
    assert sorted(await stage.rows("SELECT kind FROM notices")) == [("leak",), ("moved_back",)]
    assert await watch.once() == []


async def test_a_catalogue_may_keep_a_leak_from_moving_what_is_live(stage: Stage) -> None:
    watch = configured(stage, back_on=["critical"])
    incidents = Incidents(watch._catalogue, stage.database)
    await stage.stands(TASK, Phase.LIVE)
    await incidents.note(Incident(IncidentKind.LEAK, "it got out", task=TASK))
    assert await watch.once() == []
    assert (await standing(stage))[0] == "live"
    assert await stage.rows("SELECT kind FROM notices") == [("leak",)]


async def test_a_retired_route_is_moved_by_people_only(stage: Stage) -> None:
    await stage.stands(TASK, Phase.RETIRED)
    await Incidents(stage.catalogue, stage.database).note(Incident(IncidentKind.LEAK, "it got out", task=TASK))
    assert (await standing(stage))[0] == "retired"


async def test_a_candidate_that_is_not_contained_goes_back_to_legacy(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.LIVE)
    told = await stage.event(phase="live", authority=Side.CANDIDATE)
    await stage.dispatch(told, state="dead")
    (move,) = await watch.once()
    assert move.to_phase is Phase.LEGACY
    assert move.reason.endswith("; to legacy, as the candidate is not contained")


async def test_all_go_back_to_legacy_where_one_that_moves_with_it_is_not_contained(
    stage: Stage, watch: CutoverWatch
) -> None:
    await declare(stage.database, TASK, actor="ada", reason="harmless")
    for task in (TASK, "digest"):
        await stage.stands(task, Phase.LIVE)
    told = await stage.event(phase="live", authority=Side.CANDIDATE)
    await stage.execute(
        "INSERT INTO events (id, source, door, origin, name, delivery_id, accepted_at, purpose, parent_run)"
        " VALUES (%s, 'app', 'platform', 'candidate', 'digest/due', 'x', now(), 'live', %s)",
        new_id(),
        told.run(Side.CANDIDATE),
    )
    await stage.dispatch(told, state="dead")
    (move,) = await watch.once()
    assert move.to_phase is Phase.LEGACY
    assert sorted(await stage.rows("SELECT task, phase FROM phases")) == [("digest", "legacy"), (TASK, "legacy")]


async def test_a_route_that_can_not_be_moved_keeps_no_other_from_going_back(
    stage: Stage, watch: CutoverWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def going_back(connection: Any, catalogue: Any, route: Route, *where: Any, **why: Any) -> Any:
        if route.name == "digest":
            raise ValueError("out of shape")
        return await go_back(connection, catalogue, route, *where, **why)

    monkeypatch.setattr("shadow.steering.watching.go_back", going_back)
    for task in ("digest", TASK):
        await stage.stands(task, Phase.LIVE)
        await stage.dispatch(await stage.event(task, phase="live", authority=Side.CANDIDATE), state="dead")
    monkeypatch.setattr(stage.catalogue, "routes", dict(sorted(stage.catalogue.routes.items())))
    assert [move.route for move in await watch.once()] == [stage.catalogue.tasks[TASK].route]


async def test_what_the_catalogue_leaves_out_does_not_move_it(stage: Stage) -> None:
    watch = configured(stage, back_on=["failures", "leak"])
    await stage.stands(TASK, Phase.RAMP, share=50)
    told = await mismatch(stage)
    await stage.dispatch(told, state="dead")
    assert await watch.once() == []


async def test_a_running_watch_acts_within_seconds(stage: Stage, watch: CutoverWatch) -> None:
    await stage.stands(TASK, Phase.RAMP, share=50)
    await watch.start()
    try:
        await mismatch(stage)
        await until(lambda: _is_back(stage), within=8)
    finally:
        await watch.stop()


async def _is_back(stage: Stage) -> bool:
    return (await standing(stage))[0] == "shadow"

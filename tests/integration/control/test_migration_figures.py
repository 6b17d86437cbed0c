"""What the gauges say of gates, phases, moves, the board and costs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from prometheus_client import CollectorRegistry

from shadow.catalogue import parse
from shadow.gate.report import ConditionName, State
from shadow.observe.metrics import exposition
from shadow.reports.figures import GAUGES, gauges, read_installation
from shadow.store.database import Database
from tests.integration.control.test_board import stand
from tests.integration.judge.world import World
from tests.unit.shadow.catalogue.generated import ENVIRON, generated
from tests.unit.shadow.reports.gates import condition, report

SHUT = condition(ConditionName.STATISTIC, State.UNMET, "260 more clean pairs are needed")


async def evaluated(world: World, task: str, *blocker: object) -> None:
    """Its gate said so when it was last evaluated."""
    said = report(task, *([SHUT] if blocker else []))
    await world.rows(
        "INSERT INTO gates (task, open, report, evaluated_at, changed_at) VALUES (%s, %s, %s, now(), now())"
        " RETURNING task",
        task,
        said.open,
        orjson.dumps(said.as_json()).decode(),
    )


async def registry(world: World) -> CollectorRegistry:
    return gauges(await read_installation(world.database.engine, world.catalogue))


async def test_a_gate_is_shown_as_it_was_kept(world: World) -> None:
    await stand(world, "order-sync", "ramp", share=25)
    await evaluated(world, "order-sync", SHUT)
    found = await registry(world)
    task = {"task": "order-sync"}
    expected = {
        "shadow_gate_open": 0,
        "shadow_gate_pending": 2,
        "shadow_gate_upper_bound": 0.08,
        "shadow_gate_budget": 0.01,
        "shadow_gate_pairs_needed": 260,
        "shadow_gate_epoch": 1,
        "shadow_phase_share": 25,
        "shadow_task_ready": 0,
    }
    assert {name: found.get_sample_value(name, task) for name in expected} == expected
    for origin, pairs, mismatches in (("live", 41, 1), ("replay", 10, 0)):
        assert found.get_sample_value("shadow_gate_pairs", {**task, "origin": origin}) == pairs
        assert found.get_sample_value("shadow_gate_mismatches", {**task, "origin": origin}) == mismatches
    unmet = {**task, "condition": "statistic", "state": "unmet"}
    assert found.get_sample_value("shadow_gate_condition", unmet) == 1
    assert found.get_sample_value("shadow_gate_condition", {**unmet, "state": "met"}) is None
    assert found.get_sample_value("shadow_task_blocked", {**task, "blocker": "statistic"}) == 1
    # of a gate that was not evaluated nothing is said: neither that it is open nor that it is closed
    assert found.get_sample_value("shadow_gate_open", {"task": "digest"}) is None


async def test_the_board_and_the_moves_are_counted(world: World) -> None:
    await stand(world, "order-sync", "live")
    await world.rows("UPDATE moves SET cause = 'automatic' RETURNING id")
    found = await registry(world)
    assert found.get_sample_value("shadow_tasks", {"category": "orders", "phase": "live"}) == 1
    assert found.get_sample_value("shadow_tasks", {"category": "none", "phase": "legacy"}) == 1
    assert found.get_sample_value("shadow_moves", {"to": "live", "cause": "automatic"}) == 1
    assert found.get_sample_value("shadow_moves", {"to": "live", "cause": "person"}) == 0
    assert found.get_sample_value("shadow_phase_share", {"task": "order-sync"}) == 100
    digest = {"task": "digest", "category": "none", "route": world.catalogue.tasks["digest"].route}
    assert found.get_sample_value("shadow_task_info", digest) == 1


async def test_costs_that_nothing_tells_are_absent_and_not_free(world: World) -> None:
    found = await registry(world)
    assert found.get_sample_value("shadow_cost_unknown_tasks") == 2
    assert found.get_sample_value("shadow_cost_month", {"task": "digest", "side": "legacy"}) is None
    await world.rows(
        "INSERT INTO cost_tallies VALUES ('digest', 'candidate', 'inngest', 'canary', %s, 3, 0, 0, 0, 0)"
        " RETURNING task",
        datetime.now(UTC).date() - timedelta(days=1),
    )
    found = await registry(world)
    assert found.get_sample_value("shadow_cost_runs_apart", {"side": "candidate", "purpose": "canary"}) == 3


async def test_every_gauge_has_the_labels_that_it_is_said_to_have(world: World) -> None:
    await stand(world, "order-sync", "shadow")
    await evaluated(world, "order-sync")
    for metric in (await registry(world)).collect():
        for sample in metric.samples:
            assert set(sample.labels) == set(GAUGES[metric.name][1])


async def test_the_figures_of_199_tasks_with_gates_are_read_and_written_out_quickly(database: Database) -> None:
    """It takes less than a tenth of a second of one core; a busy machine is given more."""
    world = World(database)
    world.catalogue = parse(generated(199), "test.yaml", ENVIRON)
    for task in world.catalogue.tasks:
        await evaluated(world, task, SHUT)
    took = []
    for _ in range(5):
        begun = time.process_time()
        installation = await read_installation(database.engine, world.catalogue)
        content, _ = exposition("text/plain", gauges(installation))
        took.append(time.process_time() - begun)
    assert content.count(b"shadow_gate_open{") == 199
    assert min(took) < 0.3, took


@pytest.fixture
def world(database: Database) -> World:
    return World(database)

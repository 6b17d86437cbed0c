"""Moves of real routes: through gates or by force, with everything that keeps them from being made."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.containment.record import withdraw
from shadow.cutover import moves
from shadow.cutover.decision import Phase, Ramp
from shadow.cutover.moves import Move, MoveRefused, stand_of, write_move
from shadow.cutover.routing import Routing
from shadow.model.ids import new_id
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.integration.containment.declared import declared
from tests.integration.steering.gates import SAYS, gates
from tests.unit.shadow.catalogues import TEXT, small

CATALOGUE = small()
ORDERS = CATALOGUE.tasks["sync-order"].route
"""Of two tasks, and of a webhook that tells no tenant."""


@pytest.fixture(autouse=True)
async def harmless(database: Database) -> None:
    await declared(database, CATALOGUE)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "LEAD", timedelta(0))


async def to(
    database: Database, task: str, phase: Phase, *, catalogue: ResolvedCatalogue = CATALOGUE, **options: Any
) -> Move:
    options = {"actor": "ada", "reason": "because", "look": gates(), **options}
    return await move(database, catalogue, task, phase, **options)


async def rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


async def phase_of(database: Database, task: str) -> str:
    async with database.connection(Work.CONTROL) as connection:
        stand, _coming, _at = await stand_of(
            connection, CATALOGUE.routes[CATALOGUE.tasks[task].route], datetime.now(UTC)
        )
    return str(stand)


@pytest.mark.usefixtures("at_once")
async def test_a_route_goes_all_the_way_through_open_gates(database: Database) -> None:
    way: list[tuple[Phase, dict[str, Any]]] = [
        (Phase.SHADOW, {}),
        (Phase.RAMP, {"share": 1}),
        (Phase.RAMP, {"share": 50, "allow": ["acme"], "deny": ["globex"]}),
        (Phase.LIVE, {}),
        (Phase.RETIRED, {}),
    ]
    for phase, options in way:
        await to(database, "pay", phase, **options)
    assert await rows(database, "SELECT to_phase, to_share, allow, deny, forced FROM moves ORDER BY decided_at") == [
        ("shadow", 0, [], [], False),
        ("ramp", 1, [], [], False),
        ("ramp", 50, ["acme"], ["globex"], False),
        ("live", 100, [], [], False),
        ("retired", 100, [], [], False),
    ]


@pytest.mark.usefixtures("at_once")
async def test_a_closed_gate_of_any_task_keeps_the_route_and_says_why(database: Database) -> None:
    await to(database, "sync-order", Phase.SHADOW)
    with pytest.raises(MoveRefused) as refusal:
        await to(database, "sync-order", Phase.LIVE, look=gates("credit-creator"))
    assert str(refusal.value) == (
        f"the gate of 'credit-creator' is closed: {SAYS.rstrip('.')}. By force, with a reason, it can be moved all the"
        " same"
    )
    assert await phase_of(database, "sync-order") == "shadow"


@pytest.mark.usefixtures("at_once")
async def test_a_closed_gate_can_be_forced_and_the_audit_says_so(database: Database) -> None:
    await to(database, "sync-order", Phase.SHADOW, force=True)
    await to(database, "sync-order", Phase.LIVE, look=gates("credit-creator"), force=True)
    assert await rows(database, "SELECT to_phase, forced, cause FROM moves ORDER BY decided_at") == [
        ("shadow", False, "person"),  # nothing had to be forced
        ("live", True, "person"),
    ]


@pytest.mark.usefixtures("at_once")
async def test_a_gate_that_nobody_can_tell_of_counts_as_closed(database: Database) -> None:
    async def silent(*_: object) -> dict[str, Any]:
        return {}

    await to(database, "pay", Phase.SHADOW)
    with pytest.raises(MoveRefused, match="nothing is known of the gate of 'pay'"):
        await to(database, "pay", Phase.LIVE, look=silent)


@pytest.mark.usefixtures("at_once")
async def test_a_task_of_which_nothing_was_compared_does_not_pass_its_gate(database: Database) -> None:
    await move(database, CATALOGUE, "pay", Phase.SHADOW, actor="ada", reason="week one")
    with pytest.raises(MoveRefused, match="the gate of 'pay' is closed: "):
        await move(database, CATALOGUE, "pay", Phase.RAMP, share=10, actor="ada", reason="looks well")


@pytest.mark.usefixtures("at_once")
async def test_what_the_gates_said_is_kept_with_its_hash(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    done = await to(database, "pay", Phase.LIVE)
    ((evidence, text, kept),) = await rows(
        database, "SELECT evidence, evidence::text, evidence_hash FROM moves WHERE to_phase = 'live'"
    )
    assert evidence["pay"]["conditions"][0]["says"] == SAYS
    assert done.evidence_hash == kept == hashlib.sha256(text.encode()).hexdigest()
    assert await rows(database, "SELECT evidence_hash FROM moves WHERE to_phase = 'shadow'") == [(None,)]


@pytest.mark.usefixtures("at_once")
async def test_back_needs_no_gate_and_takes_everything_at_once(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.RAMP, share=50)
    closed = gates("pay")
    await to(database, "pay", Phase.RAMP, share=10, look=closed)
    await to(database, "pay", Phase.SHADOW, look=closed)
    await to(database, "pay", Phase.LIVE)
    done = await to(database, "pay", Phase.LEGACY, look=closed)
    assert (done.from_phase, done.from_share, done.to_share, done.forced) == (Phase.LIVE, 100, 0, False)


@pytest.mark.usefixtures("at_once")
async def test_a_candidate_that_begins_to_run_without_authority_must_be_contained(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.LIVE)
    await withdraw(database, "pay", actor="ada", reason="it calls a new host")
    with pytest.raises(MoveRefused, match=r"not contained.*Moving to legacy is always allowed"):
        await to(database, "pay", Phase.SHADOW, force=True)
    await to(database, "pay", Phase.LEGACY)


async def test_a_move_under_way_can_be_taken_back_but_not_overtaken(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    with pytest.raises(MoveRefused, match="about to be in shadow"):
        await to(database, "pay", Phase.LIVE, force=True)
    with pytest.raises(MoveRefused, match="is in phase shadow already"):
        await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.LEGACY)
    assert await rows(database, "SELECT phase, previous FROM phases") == [("legacy", "legacy")]


async def test_a_way_back_under_way_is_not_taken_back_past_the_gates(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LEAD", timedelta(0))
    await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.LIVE)
    monkeypatch.setattr(moves, "LEAD", timedelta(minutes=1))
    await to(database, "pay", Phase.LEGACY)
    await withdraw(database, "pay", actor="ada", reason="it calls a new host")
    for phase in (Phase.LIVE, Phase.SHADOW):
        with pytest.raises(MoveRefused, match="about to be in legacy"):
            await to(database, "pay", phase, look=gates("pay"))
    assert await rows(database, "SELECT phase, previous FROM phases") == [("legacy", "live")]


@pytest.mark.usefixtures("at_once")
async def test_of_two_who_move_at_once_one_is_told_to_look_again(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    open_gates, other = gates(), asyncio.Event()

    async def slow(*asked: Any) -> Any:
        await other.wait()
        return await open_gates(*asked)

    first = asyncio.create_task(to(database, "pay", Phase.LIVE, look=slow))
    await asyncio.sleep(0.05)
    await to(database, "pay", Phase.RAMP, share=10)
    other.set()
    with pytest.raises(MoveRefused, match="moved meanwhile"):
        await first
    assert await phase_of(database, "pay") == "ramp 10 %"


@pytest.mark.usefixtures("at_once")
async def test_without_tenant_or_entity_a_route_moves_all_at_once(database: Database) -> None:
    await to(database, "sync-order", Phase.SHADOW)
    with pytest.raises(MoveRefused, match="from shopify have neither a tenant nor a declared entity"):
        await to(database, "sync-order", Phase.RAMP, share=10)
    await to(database, "sync-order", Phase.RAMP, share=0)
    await to(database, "sync-order", Phase.RAMP, share=100)


@pytest.mark.usefixtures("at_once")
async def test_with_an_entity_it_can_move_by_shares(database: Database) -> None:
    event = "    event: shopify/order.created\n"
    text = TEXT.replace(event, event + "    cutover: {entity: $.orderId}\n")
    catalogue = parse(text, "small.yaml", {})
    await to(database, "sync-order", Phase.SHADOW)
    await to(database, "sync-order", Phase.RAMP, share=10, catalogue=catalogue)


@pytest.mark.usefixtures("at_once")
async def test_a_source_that_never_told_a_tenant_is_found_by_what_it_brought(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    await _event(database, "pay", tenant=None)
    with pytest.raises(MoveRefused, match="none of its last 1 events had a tenant"):
        await to(database, "pay", Phase.RAMP, share=10)
    await _event(database, "pay", tenant="acme")
    await to(database, "pay", Phase.RAMP, share=10)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("phase", [Phase.RAMP, Phase.LIVE])
async def test_work_of_legacy_that_nobody_would_do_any_more_keeps_a_route_in_shadow(
    database: Database, phase: Phase
) -> None:
    await to(database, "pay", Phase.SHADOW)
    share: dict[str, Any] = {"share": 10} if phase is Phase.RAMP else {}
    await _event(database, "pay", origin="legacy", tenant="acme")
    with pytest.raises(MoveRefused, match="1 events of 'pay' in the last day came from legacy runs that did not say"):
        await to(database, "pay", phase, **share)
    await rows(database, "DELETE FROM events RETURNING id")
    await _run(database, "pay", event=None)
    with pytest.raises(MoveRefused, match="legacy ran pay 1 times in the last day without Shadow having started it"):
        await to(database, "pay", phase, **share)
    assert (await to(database, "pay", phase, force=True, **share)).forced


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("by_ramp", [False, True])
async def test_a_candidate_that_does_not_name_its_runs_is_not_given_all_of_a_route(
    database: Database, by_ramp: bool
) -> None:
    """What one that began without authority emits would be taken for the work of one with authority."""
    await to(database, "pay", Phase.SHADOW)
    await _event(database, "pay", origin="candidate", tenant="acme")
    if by_ramp:
        await to(database, "pay", Phase.RAMP, share=10)  # there such events have no authority
    with pytest.raises(
        MoveRefused, match="1 events of 'pay' in the last day came from candidate runs that did not say"
    ):
        await to(database, "pay", Phase.LIVE)
    assert (await to(database, "pay", Phase.LIVE, force=True)).forced


@pytest.mark.usefixtures("at_once")
async def test_tasks_that_start_each_other_past_the_doors_move_together(database: Database) -> None:
    await _started(database, "pay", "deploy")
    await to(database, "pay", Phase.SHADOW)
    await to(database, "deploy", Phase.SHADOW)
    done = await to(database, "pay", Phase.LIVE)
    assert (done.route, done.tasks, done.together) == ("pay", ("pay",), ("deploy",))
    assert await rows(
        database,
        "SELECT route, reason, count(*) OVER (PARTITION BY effective_at) FROM moves WHERE to_phase = 'live'"
        " ORDER BY route",
    ) == [("deploy", "because (moves together with pay)", 2), ("pay", "because", 2)]
    await to(database, "deploy", Phase.SHADOW)
    assert await phase_of(database, "pay") == "shadow"


@pytest.mark.usefixtures("at_once")
async def test_the_way_back_is_kept_by_nothing_that_moves_with_it(database: Database) -> None:
    await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.LIVE)
    await _started(database, "pay", "deploy")
    await withdraw(database, "deploy", actor="ada", reason="it calls a new host")
    done = await to(database, "pay", Phase.SHADOW)
    assert done.together == ()
    assert await phase_of(database, "deploy") == "legacy"


@pytest.mark.usefixtures("at_once")
async def test_a_route_is_kept_by_one_that_moves_with_it(database: Database) -> None:
    await _started(database, "pay", "deploy")
    await to(database, "pay", Phase.SHADOW)
    with pytest.raises(MoveRefused, match=r"'pay' moves together with 'deploy', .* and that can't move: after legacy"):
        await to(database, "pay", Phase.LIVE)
    await to(database, "deploy", Phase.SHADOW)
    with pytest.raises(MoveRefused, match="the gate of 'deploy' is closed"):
        await to(database, "pay", Phase.LIVE, look=gates("deploy"))
    assert await phase_of(database, "pay") == "shadow"


async def test_two_processes_decide_alike_from_the_moment_on(database: Database) -> None:
    processes = [Routing(CATALOGUE, database) for _ in range(2)]
    for process in processes:
        await process.start()
    route = CATALOGUE.routes["pay"]
    async with database.connection(Work.CONTROL) as connection:
        done = await write_move(
            connection, route, Phase.RAMP, ramp=Ramp(50, frozenset({"acme"})), actor="ada", reason="by hand"
        )
    keys = [None, "acme", *(f"tenant-{number}" for number in range(40))]
    while (now := datetime.now(UTC)) < done.effective_at:
        decisions = [[process.decision("pay", key).authority for key in keys] for process in processes]
        if datetime.now(UTC) < done.effective_at:
            assert decisions == [["legacy"] * len(keys)] * 2, now
        await asyncio.sleep(0.05)
    first, second = ([process.decision("pay", key).authority for key in keys] for process in processes)
    assert first == second
    assert [side.value for side in first[:2]] == ["legacy", "candidate"]
    assert 5 < sum(side == "candidate" for side in first) < 35
    for process in processes:
        await process.stop()


async def test_a_moved_route_is_known_without_being_polled_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadow.cutover.routing.POLL_SECONDS", 60.0)
    routing = Routing(CATALOGUE, database)
    await routing.start()
    await asyncio.sleep(0.3)
    done = await to(database, "pay", Phase.SHADOW)
    async with asyncio.timeout(1.5):
        while routing.phase("pay", done.effective_at) is not Phase.SHADOW:  # noqa: ASYNC110  # the routing follows by itself
            await asyncio.sleep(0.02)
    await routing.stop()


async def _event(database: Database, route: str, **columns: Any) -> Any:
    values = {
        "id": new_id(),
        "source": "app-events",
        "door": "inngest",
        "origin": "producer",
        "name": "payout/approved",
        "delivery_id": str(new_id()),
        "route": route,
        "phase": "shadow",
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    await rows(database, f"INSERT INTO events ({names}) VALUES ({marks}) RETURNING id", *values.values())
    return values["id"]


async def _run(database: Database, task: str, *, event: UUID | None) -> UUID:
    run = new_id()
    await rows(
        database,
        "INSERT INTO runs (id, event_id, task, side, platform, authority, state) VALUES (%s, %s, %s, 'legacy',"
        " 'trigger', 'real', 'finished') RETURNING id",
        run,
        event,
        task,
    )
    return run


async def _started(database: Database, parent: str, child: str) -> None:
    """A run of one task started one of the other on its platform."""
    run = await _run(database, parent, event=new_id())
    name = CATALOGUE.tasks[child].event
    await _event(database, child, door="platform", origin="legacy", name=name, parent_run=run, tenant="acme")

"""Runs of the candidate that only their platform can tell from others: reruns, and those that a step invoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from ulid import ULID

from shadow.catalogue.model import Side
from shadow.model.ids import derived_id
from tests.integration.egress.world import Twins, World

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
FUNCTION = "0f0f0f0f-0000-4000-8000-000000000001"


def ulid(seconds: float) -> str:
    return str(ULID.from_datetime(AT + timedelta(seconds=seconds)))


EVENT, SOON, LATE = ulid(0), ulid(0.5), ulid(5)


async def accepted(world: World, real: Side) -> Twins:
    """An event whose candidate's run has no name yet."""
    twins = await world.twins(real=real)
    await world.execute("UPDATE events SET upstream_id = %s", EVENT)
    return twins


def tell(world: World, twins: Twins, *runs: str, **more: Any) -> None:
    """Inngest knows these runs of the event."""
    listed = [{"run_id": run, "event_id": EVENT, "function_id": FUNCTION, **more} for run in runs]
    world.inngest |= {f"/v1/runs/{run['run_id']}": run for run in listed}
    world.inngest[f"/v1/events/{EVENT}"] = {"id": twins.delivery, "name": "payout/approved", "data": {}}
    world.inngest[f"/v1/events/{EVENT}/runs"] = listed
    know_functions(world)


def know_functions(world: World) -> None:
    world.inngest["/v1/apps/shop/functions"] = [{"internal_id": FUNCTION, "id": "process-payout"}]


async def call(twins: Twins, run: str) -> httpx.Response:
    return await twins.call(Side.CANDIDATE, headers={"x-shadow-run": run}, json={"requestId": "a"})


async def test_one_that_was_made_with_its_event_needs_no_proof(world: World) -> None:
    twins = await accepted(world, Side.CANDIDATE)
    assert (await call(twins, SOON)).status_code == 201
    assert len(world.books.calls) == 1


async def test_a_late_one_is_the_first_if_the_platform_says_so(world: World) -> None:
    """Its event was kept back, or sent late."""
    twins = await accepted(world, Side.CANDIDATE)
    tell(world, twins, LATE)
    assert (await call(twins, LATE)).status_code == 201
    assert len(world.books.calls) == 1
    assert await world.rows("SELECT run_id FROM run_aliases WHERE alias = %s", LATE) == [(twins.run(Side.CANDIDATE),)]
    rerun = await call(twins, ulid(60))
    assert rerun.status_code == 403  # the first has its name now


async def test_a_rerun_has_not_the_authority_of_the_first_that_nobody_has_named(world: World) -> None:
    twins = await accepted(world, Side.CANDIDATE)
    tell(world, twins, SOON, LATE)
    assert (await call(twins, LATE)).status_code == 403
    assert world.books.calls == []
    assert (await call(twins, SOON)).status_code == 201


async def test_a_late_one_of_which_the_platform_does_not_tell_is_refused(world: World) -> None:
    twins = await accepted(world, Side.CANDIDATE)
    assert (await call(twins, LATE)).status_code == 403
    assert world.books.calls == []


async def test_a_run_without_authority_needs_no_proof_of_having_none(world: World) -> None:
    twins = await accepted(world, Side.LEGACY)
    await twins.finish(Side.LEGACY)
    answer = await call(twins, LATE)
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (201, "stub")
    assert world.books.calls == []


@pytest.mark.parametrize(("phase", "forwards"), [("live", True), ("legacy", False)])
async def test_an_invoked_run_calls_out_with_the_authority_that_follows_from_whose_it_is(
    world: World, phase: str, forwards: bool
) -> None:
    """It is known from the first call on, and not only when it ends."""
    parent = await accepted(world, Side.CANDIDATE)
    assert (await call(parent, SOON)).status_code == 201
    await world.execute("UPDATE runs SET platform_run_id = %s WHERE side = 'candidate'", SOON)
    await world.execute("INSERT INTO run_aliases VALUES ('inngest', %s, %s)", SOON, parent.run(Side.CANDIDATE))
    await world.execute(
        "INSERT INTO phases (task, phase, previous, effective_at, version) VALUES ('payout', %s, %s, now(), 1)",
        phase,
        phase,
    )
    child, invoked = ulid(10), ulid(9)
    own = {"correlation_id": f"{SOON}.0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33", "fn_id": "process-payout"}
    run = {"run_id": child, "event_id": invoked, "function_id": FUNCTION}
    world.inngest[f"/v1/runs/{child}"] = run
    world.inngest[f"/v1/events/{invoked}"] = {
        "id": invoked,
        "name": "inngest/function.invoked",
        "data": {"payout": 7, "_inngest": own},
    }
    world.inngest[f"/v1/events/{invoked}/runs"] = [run]
    know_functions(world)
    before = len(world.books.calls)
    headers = {"authorization": f"Bearer {world.keys[Side.CANDIDATE]}", "x-shadow-run": child}
    headers |= {"x-shadow-event": invoked, "x-shadow-task": "process-payout"}
    answer = await world.client.post("/egress/pay/v1/transfers", headers=headers, json={"requestId": "b"})
    assert answer.status_code == 201
    assert answer.headers.get("x-shadow-gateway") == (None if forwards else "stub")
    assert len(world.books.calls) - before == forwards
    ((event, name, parent_run, authority),) = await world.rows(
        "SELECT id, name, parent_run, authority FROM events WHERE door = 'platform'"
    )
    assert (name, parent_run) == ("payout/approved", parent.run(Side.CANDIDATE))
    assert authority == ("candidate" if forwards else "legacy")
    rows = await world.rows("SELECT authority FROM runs WHERE id = %s", derived_id(event, "payout", Side.CANDIDATE))
    assert rows == [("real" if forwards else "none",)]
    (data,) = await world.database.vault.open(
        await world.rows("SELECT id, part, content FROM bodies WHERE id = %s AND part = 'data'", event)
    )
    assert data == b'{"payout":7}'  # what the platform added is none of the child's

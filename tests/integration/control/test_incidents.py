"""`GET /v1/incidents` and the gauge of leaks."""

from __future__ import annotations

import httpx

from shadow.catalogue.model import Side
from shadow.egress.incidents import Incident, IncidentKind, Incidents
from shadow.model.ids import new_id
from shadow.reports.figures import gauges, read_installation
from tests.integration.judge.world import World


async def test_incidents_are_listed_newest_first_and_leaks_counted(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/incidents")).json() == {"items": []}
    incidents = Incidents(world.catalogue, world.database)
    run, effect = new_id(), new_id()
    crossed = Incident(IncidentKind.WRONG_SIDE, "crossed", task="digest", side=Side.CANDIDATE, run_id=run, target="pay")
    leak = Incident(
        IncidentKind.LEAK,
        "it got out",
        task="order-sync",
        side=Side.CANDIDATE,
        run_id=run,
        effect_id=effect,
        target="pay",
        operation="POST /x",
    )
    assert [await incidents.note(one) for one in (crossed, crossed, leak, leak)] == [True, False, True, False]
    items = (await client.get("/v1/incidents")).json()["items"]
    assert [(item["kind"], item["task"]) for item in items] == [("leak", "order-sync"), ("wrong_side", "digest")]
    # the route stands in legacy already: there is nothing to move back
    assert (items[0]["effect"], items[0]["route"], items[0]["moved_back"]) == (str(effect), "order-sync", False)
    for query, kinds in (("kind=leak", ["leak"]), ("task=digest", ["wrong_side"]), ("kind=leak&task=digest", [])):
        found = (await client.get(f"/v1/incidents?{query}")).json()["items"]
        assert [item["kind"] for item in found] == kinds
    assert (await client.get("/v1/incidents?kind=nothing")).status_code == 422
    registry = gauges(await read_installation(world.database.engine, world.catalogue))
    leaks = {task: registry.get_sample_value("shadow_leaks", {"task": task}) for task in ("order-sync", "digest")}
    assert leaks == {"order-sync": 1.0, "digest": 0.0}

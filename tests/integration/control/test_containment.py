"""Containment through the control API: declared under the token's name, needed by a move, shown with its parts."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.control import ControlServices
from shadow.containment.part import failed, passed
from shadow.containment.record import begin_proof, finish_proof
from shadow.store.database import Work
from tests.integration.judge.world import World

PATH = "/v1/tasks/order-sync/containment"


async def shown(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_nothing_is_on_record_at_first(client: httpx.AsyncClient) -> None:
    assert await shown(client) == {"task": "order-sync", "state": "none", "contained": False, "items": []}


async def test_a_move_to_shadow_needs_it(client: httpx.AsyncClient) -> None:
    wanted = {"phase": "shadow", "reason": "week one"}
    refused = await client.post("/v1/phases/order-sync", json=wanted)
    assert refused.status_code == 409
    assert "shadow contain order-sync" in refused.json()["detail"]
    declared = await client.post(PATH, json={"action": "declare_harmless", "reason": "it only reads"})
    assert declared.status_code == 200, declared.text
    assert (declared.json()["state"], declared.json()["contained"]) == ("declared", True)
    assert (declared.json()["items"][0]["actor"], declared.json()["items"][0]["reason"]) == (
        "token:tests",
        "it only reads",
    )
    assert (await client.post("/v1/phases/order-sync", json=wanted)).status_code == 200


async def test_a_declaration_can_be_withdrawn_once(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"action": "declare_harmless", "reason": "it only reads"})
    withdrawn = await client.post(PATH, json={"action": "withdraw", "reason": "it writes"})
    assert (withdrawn.json()["state"], withdrawn.json()["contained"]) == ("ended", False)
    assert withdrawn.json()["items"][0]["ended_because"] == "withdrawn by token:tests: it writes"
    again = await client.post(PATH, json={"action": "withdraw", "reason": "it writes"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/not-declared")


@pytest.mark.parametrize("reason", [{}, {"reason": ""}, {"reason": "  "}])
async def test_a_declaration_without_a_reason_is_refused(client: httpx.AsyncClient, reason: dict[str, str]) -> None:
    answer = await client.post(PATH, json={"action": "declare_harmless", **reason})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body.reason"]


async def test_an_unknown_task_is_none(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/tasks/nope/containment")).status_code == 404
    answer = await client.post("/v1/tasks/nope/containment", json={"action": "withdraw", "reason": "x"})
    assert answer.status_code == 404


async def test_a_proof_is_shown_with_what_each_part_showed(world: World, client: httpx.AsyncClient) -> None:
    async with world.database.connection(Work.CONTROL) as connection:
        begun = await begin_proof(connection, "order-sync", actor="ada")
        parts = {
            "guard": passed("all is denied", secrets=3),
            "canary": failed("not shown: http x POST /", todo=["wait"]),
        }
        await finish_proof(
            connection,
            begun,
            version="v1",
            proven=False,
            parts={name: part.as_json() for name, part in parts.items()},
            leaks="unknown",
        )
    found = await shown(client)
    assert (found["state"], found["contained"]) == ("failed", False)
    (item,) = found["items"]
    assert (item["version"], item["leaks"]) == ("v1", "unknown")
    assert item["parts"]["canary"]["todo"] == ["wait"]
    assert item["parts"]["guard"]["facts"] == {"secrets": 3}


async def test_the_state_is_a_gauge(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"action": "declare_harmless", "reason": "it only reads"})
    text = (await client.get("/metrics/parity")).text
    assert 'shadow_containment{state="declared",task="order-sync"} 1.0' in text
    assert 'shadow_containment{state="none",task="order-sync"} 0.0' in text
    assert 'shadow_containment{state="none",task="digest"} 1.0' in text


async def test_a_proof_is_begun_and_carried_on_behind_the_request(
    world: World, client: httpx.AsyncClient, services: ControlServices
) -> None:
    """No guard has reported, so it comes to nothing; but it is tried, and kept."""
    begun = await client.post(PATH, json={"action": "prove"})
    assert begun.status_code == 200, begun.text
    assert begun.json()["state"] in ("running", "failed")
    for _ in range(100):
        found = await shown(client)
        if found["state"] != "running":
            break
        await asyncio.sleep(0.05)
    (item,) = found["items"]
    assert (item["state"], item["actor"], item["leaks"]) == ("failed", "token:tests", "unknown")
    assert {name: part["state"] for name, part in item["parts"].items()} == {
        "guard": "failed",
        "databases": "passed",
        "canary": "unknown",
        "witness": "unknown",
    }
    await services.proofs.stop()


async def test_a_task_is_not_proven_twice_at_once(
    client: httpx.AsyncClient, services: ControlServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_arguments: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("shadow.containment.proof.Prover._try", endless)
    assert (await client.post(PATH, json={"action": "prove"})).status_code == 200
    again = await client.post(PATH, json={"action": "prove"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/being-proven")
    await services.proofs.stop()
    assert (await shown(client))["state"] == "failed"

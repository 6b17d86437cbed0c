"""Routes as the API shows and moves them: shares, lists, what comes next, and what a move rested on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shadow.cutover import moves
from shadow.store.database import Work
from tests.integration.containment.declared import declared
from tests.integration.judge.world import World


@pytest.fixture(autouse=True)
async def in_shadow(world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await declared(world.database, world.catalogue)
    monkeypatch.setattr(moves, "LEAD", timedelta(0))
    await moved(client, phase="shadow")


async def moved(client: httpx.AsyncClient, status: int = 200, **wanted: Any) -> dict[str, Any]:
    answer = await client.post("/v1/phases/order-sync", json={"reason": "because", **wanted})
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def stand(client: httpx.AsyncClient, task: str = "order-sync") -> dict[str, Any]:
    items = (await client.get("/v1/phases")).json()["items"]
    found: dict[str, Any] = next(item for item in items if task in item["tasks"])
    return found


async def test_a_share_with_its_lists_is_moved_and_shown(client: httpx.AsyncClient) -> None:
    made = await moved(client, phase="ramp", share=10, allow=["acme"], deny=["globex"], force=True)
    assert (made["from_share"], made["to_share"], made["allow"], made["deny"]) == (0, 10, ["acme"], ["globex"])
    assert (made["forced"], made["cause"]) == (True, "person")
    shown = await stand(client)
    assert {key: shown[key] for key in ("phase", "share", "allow", "deny", "reverse", "coming")} == {
        "phase": "ramp",
        "share": 10,
        "allow": ["acme"],
        "deny": ["globex"],
        "reverse": False,
        "coming": None,
    }
    assert shown["since"] == made["effective_at"]


async def test_a_route_that_was_never_moved_is_shown_at_legacy(client: httpx.AsyncClient) -> None:
    shown = await stand(client, "digest")
    assert (shown["phase"], shown["share"], shown["since"], shown["coming"]) == ("legacy", 0, None, None)


async def test_a_move_that_does_not_hold_yet_is_coming(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moved(client, phase="ramp", share=10, force=True)
    monkeypatch.setattr(moves, "LEAD", timedelta(seconds=30))
    made = await moved(client, phase="ramp", share=50, force=True)
    shown = await stand(client)
    assert (shown["phase"], shown["share"], shown["since"]) == ("ramp", 10, None)
    assert shown["coming"] == {
        "phase": "ramp",
        "share": 50,
        "allow": [],
        "deny": [],
        "effective_at": made["effective_at"],
    }


async def test_a_closed_gate_is_a_conflict_that_names_what_closes_it(client: httpx.AsyncClient) -> None:
    answer = await moved(client, 409, phase="ramp", share=10)
    assert "the gate of 'order-sync' is closed: " in answer["detail"]
    assert "By force, with a reason" in answer["detail"]


@pytest.mark.parametrize("share", [-1, 101, 1.5, "many"])
async def test_a_share_that_is_none_is_not_taken(client: httpx.AsyncClient, share: object) -> None:
    await moved(client, 422, phase="ramp", share=share, force=True)


async def test_a_move_is_read_with_what_the_gates_said(client: httpx.AsyncClient, world: World) -> None:
    made = await moved(client, phase="live", force=True)
    one = (await client.get(f"/v1/moves/{made['id']}")).json()
    assert {key: one[key] for key in made} == made
    assert one["evidence"]["order-sync"]["open"] is False
    async with world.database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT encode(sha256(convert_to(evidence::text, 'UTF8')), 'hex') FROM moves WHERE id = %s", (made["id"],)
        )
        assert await cursor.fetchall() == [(made["evidence_hash"],)]


async def test_a_move_that_nobody_made_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/moves/{uuid4()}")).status_code == 404

"""Allowances through the API: made, listed, revoked, and shown wherever differences are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shadow.access.tokens import Scope, issue
from shadow.catalogue.model import Side
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop
from tests.integration.judge.world import World

LATER = timedelta(minutes=1)


@pytest.fixture
async def signature(world: World, judge: JudgeLoop) -> str:
    """Of two pairs that differ."""
    for tenant in ("acme", "other"):
        told = await world.event(tenant=tenant)
        await told.both({"count": 1}, candidate={"count": 2})
        await judge.once(told.accepted_at + LATER)
    ((found,),) = await world.rows("SELECT id FROM signatures")
    return str(found)


def request(signature: str, **changed: Any) -> dict[str, Any]:
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    return {"signature": signature, "reason": "agreed with the shop", "until": until, **changed}


async def made(client: httpx.AsyncClient, body: dict[str, Any], world: World) -> dict[str, Any]:
    answer = await client.post("/v1/allowances", json=body)
    assert answer.status_code == 200, answer.text
    sweeper = AllowanceLoop(world.database)
    while (await sweeper.once()).more:
        pass
    found: dict[str, Any] = answer.json()
    return found


async def get(client: httpx.AsyncClient, path: str, **parameters: str) -> Any:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_allowance_is_on_record_under_the_tokens_name(
    world: World, client: httpx.AsyncClient, signature: str
) -> None:
    answer = await made(client, request(signature, tenant="acme"), world)
    assert (answer["actor"], answer["state"], answer["deciding"]) == ("token:tests", "standing", True)
    (listed,) = (await get(client, "/v1/allowances", task="order-sync", state="standing"))["items"]
    assert listed == {**answer, "deciding": False, "pairs": 1}
    assert (await get(client, "/v1/allowances", state="revoked"))["items"] == []


async def test_allowed_pairs_are_counted_apart_everywhere(
    world: World, client: httpx.AsyncClient, signature: str
) -> None:
    allowance = await made(client, request(signature, tenant="acme"), world)
    counts = (await get(client, "/v1/tasks/order-sync/parity"))["counts"]
    assert (counts["match"], counts["allowed"], counts["mismatch"], counts["parity"]) == (0, 1, 1, 0.0)
    (pair,) = (await get(client, "/v1/pairs", verdict="allowed"))["items"]
    shown = await get(client, f"/v1/pairs/{pair['id']}")
    assert (shown["tenant"], shown["differences"][0]["allowance"]) == ("acme", allowance["id"])
    metrics = (await client.get("/metrics/parity")).text
    assert 'shadow_pairs{task="order-sync",verdict="allowed"} 1.0' in metrics
    assert 'shadow_allowances{task="order-sync"} 1.0' in metrics
    assert 'shadow_allowances{task="digest"} 0.0' in metrics
    (left,) = re.findall(r'shadow_allowance_left_seconds\{task="(.*)"\} (.*)', metrics)
    assert left[0] == "order-sync"
    assert timedelta(days=6) < timedelta(seconds=float(left[1])) <= timedelta(days=7)
    detail = await get(client, f"/v1/signatures/{signature}")
    assert (detail["pairs"], detail["allowed"], detail["tenant_count"]) == (2, 1, 2)
    assert [one["id"] for one in detail["allowances"]] == [allowance["id"]]


async def test_an_explanation_says_that_an_allowed_pair_is_as_stored(
    world: World, client: httpx.AsyncClient, judge: JudgeLoop, signature: str
) -> None:
    await made(client, request(signature), world)
    doubtful = await world.event()
    await doubtful.both({"count": 1}, candidate={"count": 2})
    await doubtful.doubled(Side.LEGACY)
    await judge.once(doubtful.accepted_at + LATER)
    verdicts = set()
    for pair in (await get(client, "/v1/pairs"))["items"]:
        explained = (await get(client, f"/v1/pairs/{pair['id']}", explain="true"))["explanation"]
        assert (explained["verdict"], explained["as_stored"]) == ("mismatch", True)
        verdicts.add(pair["verdict"])
    assert verdicts == {"allowed", "not_comparable"}


async def test_what_is_not_allowed_comes_before_what_is(
    world: World, client: httpx.AsyncClient, signature: str, judge: JudgeLoop
) -> None:
    told = await world.event("digest")
    await told.both({"count": 1}, candidate={"count": 2})
    await judge.once(told.accepted_at + LATER)
    assert [one["task"] for one in (await get(client, "/v1/signatures"))["items"]] == ["order-sync", "digest"]
    await made(client, request(signature), world)
    assert [one["task"] for one in (await get(client, "/v1/signatures"))["items"]] == ["digest", "order-sync"]
    metrics = (await client.get("/metrics/parity")).text
    assert 'shadow_signature_pairs{kind="output.changed",severity="major",signature="' in metrics
    assert f'signature="{signature}"' not in metrics


async def test_a_revoked_allowance_stays_listed_and_is_revoked_once(
    world: World, client: httpx.AsyncClient, signature: str
) -> None:
    allowance = await made(client, request(signature), world)
    path = f"/v1/allowances/{allowance['id']}"
    answer = await client.delete(path)
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["ended_by"]) == ("revoked", "token:tests")
    again = await client.delete(path)
    assert again.status_code == 409
    assert "revoked since" in again.json()["detail"]
    assert [one["state"] for one in (await get(client, "/v1/allowances"))["items"]] == ["revoked"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reason": ""}, "body.reason"),
        ({"reason": "   "}, "body.reason"),
        ({"until": "2020-01-01T00:00:00Z"}, "body.until"),
        ({"until": "2126-01-01T00:00:00Z"}, "body.until"),
        ({"until": None}, "body.until"),
        ({"untl": 1}, "body.untl"),
    ],
)
async def test_a_wrong_request_is_named_by_its_field(
    client: httpx.AsyncClient, signature: str, changed: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/allowances", json=request(signature, **changed))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_critical_signature_needs_the_acknowledgement(
    world: World, client: httpx.AsyncClient, judge: JudgeLoop
) -> None:
    told = await world.event()
    await told.both({"amount": 1}, candidate={"amount": 2})
    await judge.once(told.accepted_at + LATER)
    ((found,),) = await world.rows("SELECT id FROM signatures")
    answer = await client.post("/v1/allowances", json=request(found))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.acknowledge_critical"
    allowance = await made(client, request(found, acknowledge_critical=True), world)
    assert (allowance["max_severity"], allowance["acknowledged_critical"]) == ("critical", True)


async def test_what_does_not_exist_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/allowances", json=request("s1-none"))).status_code == 404
    unknown = "/v1/allowances/01997f3c-52a0-7d10-8a4b-90f1c2d3e4f5"
    assert (await client.delete(unknown)).status_code == 404


async def test_allowing_and_revoking_need_the_scope_operate(
    world: World, anonymous: httpx.AsyncClient, signature: str
) -> None:
    secret, _token = await issue(world.database.engine, "ci", [Scope.READ])
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await anonymous.post("/v1/allowances", json=request(signature), headers=headers)).status_code == 403
    path = "/v1/allowances/01997f3c-52a0-7d10-8a4b-90f1c2d3e4f5"
    assert (await anonymous.delete(path, headers=headers)).status_code == 403
    assert (await anonymous.get("/v1/allowances", headers=headers)).status_code == 200

"""Gates over the API: for people, for CI and for rollout controllers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import jsonpath
import pytest
import yaml

from shadow.access.tokens import Scope, issue
from shadow.gate.report import ConditionName
from tests.integration.gate.standing import epoch, ready
from tests.integration.judge.world import World

HOW_TO = (Path(__file__).parents[3] / "docs/how-to/gate-in-ci.md").read_text()
DOCUMENTS: list[dict[str, Any]] = [
    document
    for block in re.findall(r"```yaml\n(.*?)```", HOW_TO, re.S)
    for document in yaml.safe_load_all(block)
    if isinstance(document, dict)
]


async def test_one_gate_says_each_condition(client: httpx.AsyncClient, world: World) -> None:
    await ready(world)
    answer = await client.get("/v1/gates/order-sync")
    assert answer.status_code == 200
    gate = answer.json()
    assert gate["open"] is True and gate["blockers"] == []
    assert [condition["name"] for condition in gate["conditions"]] == list(ConditionName)
    assert (gate["route"], gate["phase"], gate["epoch_number"], gate["live"]["match"]) == (
        "order-sync",
        "legacy",
        1,
        400,
    )
    assert (await client.get("/v1/gates/nobody")).status_code == 404


async def test_a_list_says_what_holds_gates_shut(client: httpx.AsyncClient, world: World) -> None:
    await ready(world)
    everything = (await client.get("/v1/gates")).json()["items"]
    assert [(gate["task"], gate["open"]) for gate in everything] == [("order-sync", True), ("digest", False)]
    assert everything[0]["conditions"] == []
    assert [condition["name"] for condition in everything[1]["conditions"]] == everything[1]["blockers"]

    async def listed(query: str) -> list[str]:
        return [gate["task"] for gate in (await client.get(f"/v1/gates?{query}")).json()["items"]]

    assert await listed("open=true") == ["order-sync"]
    assert await listed("open=false") == ["digest"]
    assert await listed("category=orders") == ["order-sync"]
    assert await listed("category=none") == []
    assert await listed("phase=legacy") == ["order-sync", "digest"]
    assert await listed("phase=live") == []
    full = (await client.get("/v1/gates?conditions=true")).json()["items"]
    assert len(full[0]["conditions"]) == len(ConditionName)


async def test_a_group_is_open_when_all_its_gates_are(client: httpx.AsyncClient, world: World) -> None:
    await ready(world)
    category = (await client.get("/v1/gates/categories/orders")).json()
    assert (category["open"], category["tasks"], category["open_tasks"]) == (True, 1, 1)
    migration = (await client.get("/v1/gates/migration")).json()
    assert (migration["open"], migration["tasks"], migration["open_tasks"]) == (False, 2, 1)
    assert migration["blockers"]["statistic"] == 1
    assert (await client.get("/v1/gates/categories/none")).status_code == 404
    await world.rows(
        "INSERT INTO phases (task, phase, previous, effective_at, version)"
        " VALUES ('digest', 'retired', 'live', now() - interval '1 minute', 3) RETURNING task"
    )
    migration = (await client.get("/v1/gates/migration")).json()
    assert (migration["open"], migration["open_tasks"], migration["retired"]) == (True, 2, 1)


async def test_two_different_tokens_sign_off(client: httpx.AsyncClient, world: World) -> None:
    await epoch(world, matches=3)
    await world.rows("DELETE FROM tallies RETURNING task")
    reason = {"reason": "looked at all three"}
    first = await client.post("/v1/gates/order-sync/sign-offs", json=reason)
    assert first.status_code == 200
    assert [one["actor"] for one in first.json()["sign_offs"]] == ["token:tests"]
    assert "statistic" in first.json()["blockers"]
    again = await client.post("/v1/gates/order-sync/sign-offs", json=reason)
    assert again.status_code == 409 and "somebody else" in again.json()["detail"]

    secret, _token = await issue(world.database.engine, "bob", [Scope.OPERATE])
    other = {"Authorization": f"Bearer {secret}"}
    second = await client.post("/v1/gates/order-sync/sign-offs", json=reason, headers=other)
    assert "statistic" not in second.json()["blockers"]

    path = f"/v1/gates/order-sync/sign-offs/{second.json()['sign_offs'][1]['id']}"
    assert "statistic" in (await client.delete(path)).json()["blockers"]
    assert (await client.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("task", "body", "status"),
    [
        ("nobody", {"reason": "x"}, 404),
        ("order-sync", {"reason": "  "}, 422),
        ("order-sync", {}, 422),
        ("order-sync", {"reason": "no epoch yet"}, 409),
    ],
)
async def test_sign_offs_that_are_refused(
    client: httpx.AsyncClient, task: str, body: dict[str, str], status: int
) -> None:
    assert (await client.post(f"/v1/gates/{task}/sign-offs", json=body)).status_code == status


async def test_a_reader_may_not_sign_off(anonymous: httpx.AsyncClient, world: World) -> None:
    secret, _token = await issue(world.database.engine, "ci", [Scope.READ])
    anonymous.headers["Authorization"] = f"Bearer {secret}"
    assert (await anonymous.get("/v1/gates/order-sync")).status_code == 200
    assert (await anonymous.post("/v1/gates/order-sync/sign-offs", json={"reason": "x"})).status_code == 403


async def test_flagger_is_told_by_the_status(anonymous: httpx.AsyncClient, world: World) -> None:
    secret, _token = await issue(world.database.engine, "flagger", [Scope.READ])
    body = {"name": "order-sync", "namespace": "jobs", "phase": "Waiting", "checksum": "85d5", "metadata": {}}

    async def asked(task: str = "order-sync", **metadata: str) -> httpx.Response:
        return await anonymous.post(f"/v1/gates/{task}/confirmation", json={**body, "metadata": metadata})

    assert (await asked()).status_code == 401
    assert (await asked(token="shadow_no")).status_code == 401
    shut = await asked(token=secret)
    assert shut.status_code == 409
    assert shut.json()["type"] == "/problems/gate-closed"
    assert "statistic: that fewer than 1 % of pairs differ is not shown" in shut.json()["detail"]
    assert (await asked("nobody", token=secret)).status_code == 404
    await ready(world)
    told = await asked(token=secret)
    assert told.status_code == 200 and told.json()["open"] is True


def documented(kind: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document.get("kind") == kind]


async def test_what_argo_rollouts_is_told_to_read_is_what_the_gate_says(
    client: httpx.AsyncClient, world: World
) -> None:
    """The documented `jsonPath` and `successCondition` on a real answer, open and closed."""
    metrics = [metric for template in documented("AnalysisTemplate") for metric in template["spec"]["metrics"]]
    assert metrics

    async def passes(metric: dict[str, Any]) -> bool:
        web = metric["provider"]["web"]
        assert web["headers"] == [{"key": "Authorization", "value": "Bearer {{args.token}}"}]
        address = web["url"].replace("{{args.shadow}}", "").replace("{{args.task}}", "order-sync")
        answer = await client.get(address.replace("{{args.category}}", "orders"))
        assert answer.status_code == 200, address
        expression = re.fullmatch(r"\{(\$.*)\}", web["jsonPath"])
        assert expression is not None
        (result,) = jsonpath.findall(expression.group(1), answer.json())
        assert metric["successCondition"] == "result == true"
        return result is True

    assert [await passes(metric) for metric in metrics] == [False] * len(metrics)
    await ready(world)
    await ready(world, "digest")
    assert [await passes(metric) for metric in metrics] == [True] * len(metrics)


def test_the_documented_resources_are_complete() -> None:
    (template,) = documented("MetricTemplate")
    assert template["apiVersion"] == "flagger.app/v1beta1"
    assert template["spec"]["provider"]["type"] == "prometheus"
    assert "shadow_gate_open" in template["spec"]["query"]
    (canary,) = documented("Canary")
    (metric,) = canary["spec"]["analysis"]["metrics"]
    assert metric["templateRef"]["name"] == template["metadata"]["name"]
    assert metric["thresholdRange"] == {"min": 1}
    (hook,) = canary["spec"]["analysis"]["webhooks"]
    assert hook["type"] == "confirm-promotion" and hook["url"].endswith("/v1/gates/order-sync/confirmation")
    for argo in documented("AnalysisTemplate"):
        names = {argument["name"] for argument in argo["spec"]["args"]}
        used = set(re.findall(r"\{\{args\.([\w-]+)\}\}", str(argo["spec"]["metrics"])))
        assert used == names

"""Every operation of the API, walked with tokens of every kind: what a token of some tenants must not see, nobody can
forget, since an operation that says nothing of tenants refuses it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.catalogue.model import Side
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop
from shadow.model.ids import new_id
from shadow.store.database import Database
from tests.integration.judge.world import World, catalogue
from tests.unit.api.control.test_openapi import PROMISED

OURS, THEIRS = "acme", "zed-and-sons"


DOCUMENT: dict[str, Any] = control_app(
    ControlServices(Database("postgresql://nobody@127.0.0.1:9/none"), catalogue())
).openapi()
NEED_NO_TOKEN = {("get", "/healthz"), ("get", "/readyz")}
OWN = {
    ("get", "/v1/tasks"),
    ("get", "/v1/tasks/{task}"),
    ("get", "/v1/tasks/{task}/parity"),
    ("get", "/v1/pairs"),
    ("get", "/v1/pairs/{pair}"),
    ("get", "/v1/signatures"),
    ("get", "/v1/signatures/{signature}"),
    ("post", "/v1/allowances"),
    ("get", "/v1/allowances"),
    ("delete", "/v1/allowances/{allowance}"),
    ("get", "/v1/events/{event}"),
    ("post", "/v1/events/{event}/originals"),
    ("get", "/v1/dead-letters"),
    ("post", "/v1/dead-letters/{dispatch}/resend"),
    ("get", "/v1/incidents"),
}
"""What can be told of one tenant. Whoever adds an operation says here whether it can, and whether it may be done."""


@dataclass(frozen=True)
class Tenant:
    """What there is of one."""

    name: str
    pair: UUID
    event: UUID
    allowance: UUID
    dispatch: UUID
    incident: UUID
    signature: str
    runs: tuple[UUID, UUID]
    value: str

    @property
    def marks(self) -> set[str]:
        """What must be seen by nobody else."""
        ids = (self.pair, self.event, self.allowance, self.dispatch, self.incident, *self.runs)
        return {self.name, self.value, *map(str, ids)}


async def settle(world: World, name: str, value: str) -> Tenant:
    """A tenant with one of everything: a pair that differs, an allowance, a dead letter, an incident."""
    early = datetime.now(UTC) - timedelta(minutes=1)
    told = await world.event(data={"order": 1, "note": value}, tenant=name, accepted_at=early)
    await told.effect(Side.LEGACY, {"method": "POST", "body": {"amount": 1, "note": value}})
    await told.both({"text": value}, candidate={"text": f"{value}, but not so"})
    lost = await world.event(data={"order": 2, "note": value}, tenant=name, opened=False)
    dispatch = await world.dispatch(lost, state="dead")
    incident = new_id()
    await world.rows(
        "INSERT INTO incidents (id, kind, task, side, run_id, detail) VALUES (%s, 'wrong_side', 'order-sync',"
        " 'candidate', %s, %s) RETURNING id",
        incident,
        told.run(Side.CANDIDATE),
        f"a call of {value}",
    )
    await JudgeLoop(world.database, world.catalogue).once()
    rows = await world.rows("SELECT signature FROM differences WHERE pair_id = %s AND kind LIKE 'output%%'", told.pair)
    signature = rows[0][0]
    until = datetime.now(UTC) + timedelta(days=3)
    asked = Grant(signature, f"as {value} wants it", until, name, acknowledge_critical=True)
    allowance = await grant(world.database, asked, actor="ann", now=datetime.now(UTC))
    runs = (told.run(Side.LEGACY), told.run(Side.CANDIDATE))
    return Tenant(name, told.pair, told.event, allowance, dispatch, incident, signature, runs, value)


@pytest.fixture
async def tenants(world: World) -> tuple[Tenant, Tenant]:
    # The second one's pair is the newest, and so the signature's example unless somebody takes care.
    return await settle(world, OURS, "our-own-words"), await settle(world, THEIRS, "not-your-business")


@pytest.fixture
async def ours(anonymous: httpx.AsyncClient, world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client with every scope, of our tenant alone."""
    secret, _ = await issue(world.database.engine, "shop", list(Scope), tenants=[OURS])
    anonymous.headers["Authorization"] = f"Bearer {secret}"
    yield anonymous


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def body_of(operation: dict[str, Any]) -> Any:
    """The example of its body, which is a right one."""
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]["application/json"]
    return (content["schema"].get("examples") or content["examples"])[0]


def address(path: str, operation: dict[str, Any], whose: Tenant) -> Iterator[str]:
    """The paths of an operation that lead to what a tenant has, bare and with each filter that could."""
    values = {
        "task": "order-sync",
        "pair": whose.pair,
        "event": whose.event,
        "signature": whose.signature,
        "allowance": whose.allowance,
        "dispatch": whose.dispatch,
        "category": "orders",
        "replay": new_id(),
        "proposal": new_id(),
        "move": new_id(),
        "sign_off": new_id(),
        "tenant": whose.name,
        "explain": "true",
        "kind": "wrong_side",
        "side": "candidate",
        "verdict": "mismatch",
    }
    bare = path.format(**values)
    yield bare
    for one in operation.get("parameters", ()):
        if one["in"] == "query" and one["name"] in values and not path.startswith("/v1/notices"):
            yield f"{bare}?{one['name']}={values[one['name']]}"


def test_every_operation_says_which_scope_it_needs_and_what_a_token_of_some_tenants_gets() -> None:
    said = {(method, path): operation.get("x-tenants") for method, path, operation in operations()}
    assert set(said) == PROMISED
    assert {key for key, says in said.items() if says is None} == NEED_NO_TOKEN
    assert {key for key, says in said.items() if says == "own"} == OWN
    for method, path, operation in operations():
        if (method, path) in NEED_NO_TOKEN:
            continue
        expected = "read" if method == "get" or path.endswith("/confirmation") else "operate"
        assert operation["x-scope"] == ("raw" if path.endswith("/originals") else expected), path


async def test_no_byte_of_another_tenant_is_told_by_any_operation(
    ours: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    _we, they = tenants
    for method, path, operation in operations():
        for url in address(path, operation, they):
            answer = await ours.request(method, url, json=body_of(operation))
            expected = {200} if operation.get("x-tenants") is None else {403}
            if operation.get("x-tenants") == "own":
                expected = {200, 404} if "{" in path or "?" in url else {200}
                expected |= {403} if f"tenant={THEIRS}" in url else set()
                expected |= {403, 404} if method == "post" else set()
            assert answer.status_code in expected, (method, url, answer.text)
            if answer.status_code == 403 and operation["x-tenants"] == "refused":
                assert answer.json()["type"] == "/problems/limited-to-tenants"
            # What the caller asked for by its name is no news to them.
            told = re.sub(
                "|".join(map(re.escape, url.replace("?", "/").replace("=", "/").split("/")[1:])), "", answer.text
            )
            assert not {mark for mark in they.marks if mark in told}, (method, url, answer.text)
    kept = await world.rows("SELECT id FROM allowances WHERE ended_at IS NULL AND tenant = %s", THEIRS)
    assert kept == [(they.allowance,)]
    assert await world.rows("SELECT state FROM dispatches WHERE id = %s", they.dispatch) == [("dead",)]
    assert await world.rows("SELECT id FROM raw_reads") == []


async def test_what_is_our_own_is_told(ours: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]) -> None:
    we, _they = tenants
    pairs = (await ours.get("/v1/pairs")).json()["items"]
    assert [pair["id"] for pair in pairs] == [str(we.pair)]
    detail = (await ours.get(f"/v1/pairs/{we.pair}?explain=true")).json()
    assert detail["legacy"]["output"] == {"text": we.value}
    assert detail["explanation"]["verdict"] is not None
    (signature,) = [one for one in (await ours.get("/v1/signatures")).json()["items"] if one["id"] == we.signature]
    assert (signature["pairs"], signature["tenant_count"], signature["example_pair"]) == (1, 1, str(we.pair))
    assert we.value in signature["sentence"]
    assert signature["allowed"] == 0
    shown = (await ours.get(f"/v1/signatures/{we.signature}")).json()
    assert shown["tenants"] == [{"tenant": OURS, "pairs": 1}]
    assert [one["id"] for one in shown["allowances"]] == [str(we.allowance)]
    assert [one["id"] for one in (await ours.get("/v1/allowances")).json()["items"]] == [str(we.allowance)]
    assert (await ours.get(f"/v1/events/{we.event}")).json()["data"]["note"] == we.value
    assert [one["id"] for one in (await ours.get("/v1/dead-letters")).json()["items"]] == [str(we.dispatch)]
    assert [one["id"] for one in (await ours.get("/v1/incidents")).json()["items"]] == [str(we.incident)]
    parity = (await ours.get("/v1/tasks/order-sync/parity")).json()
    assert (parity["counts"]["pairs"], parity["unattributed"]) == (1, 0)
    tasks = {one["task"]: one["counts"]["pairs"] for one in (await ours.get("/v1/tasks")).json()["items"]}
    assert tasks == {"order-sync": 1, "digest": 0}
    assert (await ours.get("/v1/tasks/order-sync")).json()["counts"]["pairs"] == 1
    raw = (await ours.post(f"/v1/events/{we.event}/originals", json={"reason": "INC-1"})).json()
    assert we.value in raw["parts"][0]["content"]


async def test_in_how_many_of_our_pairs_it_is_allowed_is_told(
    ours: httpx.AsyncClient, client: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    """Whatever is allowed to others."""
    we, _they = tenants
    await world.rows("UPDATE allowances SET ended_at = now() WHERE id = %s RETURNING id", we.allowance)
    while (await AllowanceLoop(world.database).once()).more:
        pass
    assert await world.rows("SELECT pairs, allowed FROM signatures WHERE id = %s", we.signature) == [(2, 1)]
    counts = await world.rows("SELECT tenant, pairs, allowed FROM signature_tenants WHERE signature = %s", we.signature)
    assert set(counts) == {(OURS, 1, 0), (THEIRS, 1, 1)}
    for name, allowed in ((OURS, 0), (THEIRS, 1)):
        secret, _ = await issue(world.database.engine, name, [Scope.READ], tenants=[name])
        headers = {"Authorization": f"Bearer {secret}"}
        told = (await ours.get(f"/v1/signatures/{we.signature}", headers=headers)).json()
        assert (told["pairs"], told["allowed"]) == (1, allowed)


async def test_what_is_nobodys_is_told_where_it_can_be_of_our_runs_alone(
    ours: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    we, they = tenants

    async def unattributed(*suspects: UUID) -> int:
        await world.rows(
            "INSERT INTO effects (id, side, sequence, attempt, kind, target, operation, occurred_at, seen_by, suspects)"
            " VALUES (%s, 'candidate', 1, 1, 'http', 'mail', 'send', now(), 'gateway', %s) RETURNING id",
            new_id(),
            list(suspects) or None,
        )
        return int((await ours.get("/v1/tasks/order-sync/parity")).json()["unattributed"])

    assert await unattributed() == 0, "it may be anybody's"
    assert await unattributed(they.runs[1]) == 0
    assert await unattributed(we.runs[1], they.runs[1]) == 0
    assert await unattributed(we.runs[1], new_id()) == 0, "whose a run was that is deleted is not known"
    assert await unattributed(we.runs[1]) == 1
    assert await unattributed(*we.runs) == 2
    assert (await ours.get("/v1/tasks/digest/parity")).json()["unattributed"] == 0


@pytest.mark.parametrize("other", ["tenant = 'zed-and-sons'", "tenant = NULL"])
async def test_what_a_run_of_somebody_else_did_in_our_pair_is_not_ours_to_see(
    ours: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World, other: str
) -> None:
    """A child that the candidate sent to another tenant is paired with its twin all the same."""
    we, they = tenants
    await world.rows(f"UPDATE events SET {other} WHERE id = %s RETURNING id", they.event)
    await world.rows("UPDATE pairs SET candidate_run = %s WHERE id = %s RETURNING id", they.runs[1], we.pair)
    for url in (f"/v1/pairs/{we.pair}", f"/v1/pairs/{we.pair}?explain=true", f"/v1/signatures/{we.signature}"):
        answer = await ours.get(url)
        assert (answer.status_code, they.value in answer.text) == (404, False)
    assert (await ours.get("/v1/signatures")).json() == {"items": []}
    assert [pair["id"] for pair in (await ours.get("/v1/pairs")).json()["items"]] == [str(we.pair)]


async def test_an_id_that_two_tenants_gave_is_of_ones_own_event(ours: httpx.AsyncClient, world: World) -> None:
    mine = await world.event(tenant=OURS, external_id="evt-1")
    await world.event(tenant=THEIRS, external_id="evt-1")
    found = (await ours.get("/v1/events/evt-1")).json()
    assert (found["id"], found["tenant"]) == (str(mine.event), OURS)


async def test_a_token_of_several_tenants_sees_them_all_and_one_without_a_limit_sees_everything(
    client: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    secret, _ = await issue(world.database.engine, "group", [Scope.READ], tenants=[OURS, THEIRS])
    both = {"Authorization": f"Bearer {secret}"}
    (signature,) = [
        one
        for one in (await client.get("/v1/signatures", headers=both)).json()["items"]
        if one["id"] == tenants[0].signature
    ]
    assert (signature["pairs"], signature["tenant_count"]) == (2, 2)
    first = (await client.get("/v1/pairs?limit=1", headers=both)).json()
    second = (await client.get(f"/v1/pairs?limit=1&cursor={first['next_cursor']}", headers=both)).json()
    assert [page["items"][0]["id"] for page in (first, second)] == [str(tenants[1].pair), str(tenants[0].pair)]
    assert second["next_cursor"] is None
    one = (await client.get(f"/v1/pairs?tenant={OURS}", headers=both)).json()["items"]
    assert [pair["id"] for pair in one] == [str(tenants[0].pair)]
    assert len((await client.get("/v1/pairs")).json()["items"]) == 2
    assert (await client.get("/v1/gates", headers=both)).status_code == 403


async def test_a_token_of_some_tenants_allows_for_these_alone(
    ours: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    we, they = tenants
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    wanted = {"signature": we.signature, "reason": "fine", "until": until, "acknowledge_critical": True}
    for tenant in (None, "", THEIRS):
        answer = await ours.post("/v1/allowances", json={**wanted, "tenant": tenant})
        assert answer.status_code == 403
        assert "limited to the tenants acme" in answer.json()["detail"]
    unseen = {**wanted, "signature": "s1-of-others", "tenant": OURS}
    assert (await ours.post("/v1/allowances", json=unseen)).status_code == 404
    made = await ours.post("/v1/allowances", json={**wanted, "tenant": OURS})
    assert made.status_code == 200
    assert (await ours.delete(f"/v1/allowances/{made.json()['id']}")).status_code == 200
    assert (await ours.delete(f"/v1/allowances/{they.allowance}")).status_code == 404
    assert len(await world.rows("SELECT id FROM allowances WHERE ended_at IS NULL")) == 2


async def test_no_operation_is_done_without_its_scope(
    anonymous: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], world: World
) -> None:
    secrets = {
        scope: (await issue(world.database.engine, f"not {scope}", [one for one in Scope if one is not scope]))[0]
        for scope in Scope
    }
    for method, path, operation in operations():
        if (method, path) in NEED_NO_TOKEN:
            continue
        url = next(address(path, operation, tenants[0]))
        content = body_of(operation)
        if isinstance(content, dict):
            content.pop("metadata", None)  # of a confirmation, whose token is looked for there too
        assert (await anonymous.request(method, url, json=content)).status_code == 401, url
        scope = Scope(operation["x-scope"])
        answer = await anonymous.request(
            method, url, json=content, headers={"Authorization": f"Bearer {secrets[scope]}"}
        )
        assert answer.status_code == 403, (method, url, answer.text)
        assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    assert await world.rows("SELECT id FROM raw_reads") == []


@pytest.mark.parametrize("names", [[], [""], ["acme", ""]])
async def test_a_limit_to_nobody_is_refused(world: World, names: list[str]) -> None:
    with pytest.raises(ValueError, match="the name of each"):
        await issue(world.database.engine, "shop", [Scope.READ], tenants=names)

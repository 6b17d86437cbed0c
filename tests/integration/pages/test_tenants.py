"""Pages as somebody sees them whose token is limited to tenants: their own, and nothing of anybody else's."""

from __future__ import annotations

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.store.database import Database
from tests.integration.control.test_tenants import OURS, THEIRS, Tenant, settle
from tests.integration.judge.world import World, catalogue
from tests.integration.pages.conftest import HOST, sign_in

OF_ALL = ["/tasks/order-sync", "/tasks/order-sync/evidence.json", "/audit"]


@pytest.fixture
async def tenants(database: Database) -> tuple[Tenant, Tenant]:
    world = World(database)
    return await settle(world, OURS, "our-own-words"), await settle(world, THEIRS, "not-your-business")


@pytest.fixture
async def shop(database: Database, tenants: tuple[Tenant, Tenant]) -> httpx.AsyncClient:
    app = control_app(ControlServices(database, catalogue()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url=HOST, headers={"Sec-Fetch-Site": "same-origin"})
    secret, _ = await issue(database.engine, "shop", list(Scope), tenants=[OURS])
    await sign_in(client, secret)
    return client


async def test_no_page_tells_of_another_tenant(shop: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]) -> None:
    _we, they = tenants
    addresses = [
        "/",
        *OF_ALL,
        "/pairs",
        f"/pairs?tenant={THEIRS}",
        f"/pairs?signature={they.signature}",
        f"/pairs/{they.pair}",
        f"/pairs/{they.pair}/explanation",
        "/signatures",
        f"/signatures/{they.signature}",
    ]
    for address in addresses:
        answer = await shop.get(f"/pages{address}")
        assert answer.status_code in (200, 303, 403, 404), address
        told = answer.text.replace(str(they.pair), "") if str(they.pair) in address else answer.text
        if f"tenant={THEIRS}" in address:
            told = told.replace(f'value="{THEIRS}"', "")
        assert not {mark for mark in they.marks if mark in told}, address


async def test_what_is_of_all_tenants_is_refused_and_says_why(shop: httpx.AsyncClient) -> None:
    for address in OF_ALL:
        answer = await shop.get(f"/pages{address}")
        assert answer.status_code == 403
        assert "limited to tenants" in answer.text


async def test_they_begin_with_their_pairs_and_see_their_differences(
    shop: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    we, _they = tenants
    assert (await shop.get("/pages/")).headers["location"] == "/pages/pairs"
    assert str(we.pair) in (await shop.get("/pages/pairs")).text
    page = (await shop.get(f"/pages/signatures/{we.signature}")).text
    assert we.value in page
    assert "all tenants" not in page
    assert f"of {OURS}" in page


async def test_they_allow_and_revoke_for_themselves_alone(
    shop: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    we, they = tenants
    address = f"/pages/signatures/{we.signature}"
    proof = (await shop.get(address)).text.split('name="form_token" value="')[1].split('"')[0]
    form = {"form_token": proof, "reason": "fine", "until": "2030-01-01", "acknowledge_critical": "yes"}
    for scope in ("every", "without", f"of:{THEIRS}"):
        assert (await shop.post(f"{address}/allow", data={**form, "scope": scope})).status_code == 422
    proven = {"form_token": proof}
    assert (await shop.post(f"/pages/allowances/{they.allowance}/revoke", data=proven)).status_code == 404
    assert (await shop.post(f"/pages/allowances/{we.allowance}/revoke", data=proven)).status_code == 303
    replay = {**proven, "replay_reason": "why not", "limit": "1"}
    assert (await shop.post(f"{address}/replay", data=replay)).status_code == 403
    move = {**proven, "phase": "legacy", "reason": "why not"}
    assert (await shop.post("/pages/tasks/order-sync/move", data=move)).status_code == 403

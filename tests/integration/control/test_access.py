"""Who may do what: tokens, scopes, and the challenges of those who may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access import tokens
from shadow.access.tokens import PREFIX, Scope
from tests.integration.judge.world import World


async def test_a_token_is_kept_as_a_hash_only(world: World) -> None:
    secret, token = await tokens.issue(world.database.engine, "ci", [Scope.READ])
    assert secret.startswith(PREFIX)
    rows = await world.rows("SELECT id, encode(digest, 'escape') || name || scopes::text FROM tokens")
    assert [row[0] for row in rows] == [token.id]
    assert secret not in rows[0][1]
    assert await tokens.find(world.database.engine, secret) == token


@pytest.mark.parametrize(
    ("name", "scopes", "days", "message"),
    [
        ("", [Scope.READ], 1, "name"),
        ("  ", [Scope.READ], 1, "name"),
        ("ci", [], 1, "scope"),
        ("ci", [Scope.READ], -1, "past"),
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(
    world: World, name: str, scopes: list[Scope], days: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await tokens.issue(world.database.engine, name, scopes, expires_at=datetime.now(UTC) + timedelta(days=days))


async def test_a_revoked_token_is_void_at_once(world: World, anonymous: httpx.AsyncClient) -> None:
    secret, token = await tokens.issue(world.database.engine, "ci", [Scope.READ])
    anonymous.headers["Authorization"] = f"Bearer {secret}"
    assert (await anonymous.get("/v1/tasks")).status_code == 200
    assert [gone.id for gone in await tokens.revoke(world.database.engine, "ci")] == [token.id]
    assert (await anonymous.get("/v1/tasks")).status_code == 401
    assert await tokens.revoke(world.database.engine, str(token.id)) == []


async def test_an_expired_token_is_void(world: World) -> None:
    secret, token = await tokens.issue(
        world.database.engine, "ci", [Scope.READ], expires_at=datetime.now(UTC) + timedelta(hours=1)
    )
    assert token.valid(datetime.now(UTC))
    await world.rows("UPDATE tokens SET expires_at = now() - interval '1 second' RETURNING id")
    assert await tokens.find(world.database.engine, secret) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Basic dXNlcjpwYXNz",  # another scheme
        "Bearer",  # no token
        "Bearer shadow_nonsense",  # no such token
        "Bearer sk_live_123",  # somebody else's
    ],
)
async def test_without_a_valid_token_the_answer_is_401_with_a_challenge(
    anonymous: httpx.AsyncClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await anonymous.get("/v1/tasks", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith('Bearer realm="shadow"')
    assert answer.json()["title"] == "Unauthorized"


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/pairs", "/v1/events/x", "/v1/moves", "/metrics", "/metrics/parity"])
async def test_who_has_no_token_is_not_told_which_parameters_there_are(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, path: str
) -> None:
    authorised = client.headers.pop("Authorization")
    assert (await anonymous.get(f"{path}?nope=1")).status_code == 401
    assert (await anonymous.get(f"{path}?nope=1", headers={"Authorization": authorised})).status_code == 422


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_operations_without_a_token_refuse_parameters_all_the_same(
    anonymous: httpx.AsyncClient, path: str
) -> None:
    assert (await anonymous.get(f"{path}?nope=1")).status_code == 422


async def test_a_scope_that_is_lacking_is_named(world: World, anonymous: httpx.AsyncClient) -> None:
    secret, _ = await tokens.issue(world.database.engine, "ci", [Scope.READ])
    answer = await anonymous.post(
        "/v1/phases/order-sync",
        json={"phase": "shadow", "reason": "try"},
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="operate"' in answer.headers["www-authenticate"]
    assert "operate" in answer.json()["detail"]
    assert await world.rows("SELECT 1 FROM moves") == []


async def test_operating_does_not_include_reading(world: World, anonymous: httpx.AsyncClient) -> None:
    secret, _ = await tokens.issue(world.database.engine, "bot", [Scope.OPERATE])
    answer = await anonymous.get("/v1/pairs", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 403


async def test_health_needs_no_token(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/healthz")).json() == {"status": "ok"}
    ready = await anonymous.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/parity"])
async def test_metrics_need_a_token_unless_they_are_open(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, services: ControlServices, path: str
) -> None:
    authorised = client.headers.pop("Authorization")
    assert (await anonymous.get(path)).status_code == 401
    assert (await client.get(path, headers={"Authorization": authorised})).status_code == 200
    services.metrics_open = True
    assert (await anonymous.get(path)).status_code == 200


async def test_a_schema_that_is_not_the_newest_is_not_ready(world: World, anonymous: httpx.AsyncClient) -> None:
    ((current,),) = await world.rows("SELECT version_num FROM alembic_version")
    found = await world.rows("UPDATE alembic_version SET version_num = '0000' RETURNING version_num")
    assert found == [("0000",)]
    try:
        answer = await anonymous.get("/readyz")
        assert answer.status_code == 503
        assert "0000" in answer.json()["detail"]
    finally:
        await world.rows(f"UPDATE alembic_version SET version_num = '{current}' RETURNING version_num")


async def test_without_a_database_the_process_is_alive_but_not_ready(world: World) -> None:
    from shadow.store.database import Database

    away = Database("postgresql://nobody@127.0.0.1:9/none")
    transport = httpx.ASGITransport(control_app(ControlServices(away, world.catalogue)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        assert (await client.get("/healthz")).status_code == 200
        for path in ("/readyz", "/v1/tasks"):
            answer = await client.get(path, headers={"Authorization": "Bearer shadow_x"})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
    await away.close()


async def test_open_metrics_are_told_to_nobody_who_calls_us_by_a_name_of_somebody_elses(
    anonymous: httpx.AsyncClient, world: World, services: ControlServices
) -> None:
    services.metrics_open = True
    services.names = ["shadow.corp.test"]
    for path in ("/metrics", "/metrics/parity"):
        refused = await anonymous.get(path, headers={"Host": "evil.example:8485"})
        assert refused.status_code == 421
        assert refused.headers["content-type"] == "application/problem+json"
        assert "found Host: evil.example:8485" in refused.json()["detail"]
        for host in ("127.0.0.1:8485", "localhost:8485", "[::1]:8485", "10.1.2.3", "shadow.corp.test"):
            assert (await anonymous.get(path, headers={"Host": host})).status_code == 200
    secret, _ = await tokens.issue(world.database.engine, "ci", [Scope.READ])
    headers = {"Host": "evil.example", "Authorization": f"Bearer {secret}"}
    assert (await anonymous.get("/metrics", headers=headers)).status_code == 200
    assert (await anonymous.get("/metrics", headers={**headers, "Authorization": "Bearer shadow_x"})).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.9:8485", "balancer.internal"])
async def test_health_is_told_whatever_the_host_is_called(anonymous: httpx.AsyncClient, host: str) -> None:
    assert (await anonymous.get("/healthz", headers={"Host": host})).status_code == 200
    assert (await anonymous.get("/readyz", headers={"Host": host})).status_code == 200

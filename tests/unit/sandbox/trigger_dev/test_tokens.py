"""Secret keys and public tokens (reference 1.1)."""

from __future__ import annotations

import warnings

import httpx
import jwt
import orjson
import pytest
from jwt.warnings import InsecureKeyLengthWarning

from sandbox.trigger_dev import PretendTriggerDev
from sandbox.trigger_dev.tokens import AUDIENCE, ISSUER, public_token

from .conftest import DEV_KEY, PROD_KEY, Clients, trigger


def _token(pretend: PretendTriggerDev, *scopes: str, life: int = 900) -> str:
    environment = pretend.environment(DEV_KEY)
    return public_token(environment, {"sub": environment.id, "pub": True, "scopes": list(scopes)}, life)


async def test_a_triggers_token_reads_its_run_and_no_other(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, clients: Clients
) -> None:
    answer = await dev.post("/api/v1/tasks/hello/trigger", json={"payload": {}})
    token, run_id = answer.headers["x-trigger-jwt"], answer.json()["id"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        claims = jwt.decode(token, DEV_KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    shown = orjson.loads(answer.headers["x-trigger-jwt-claims"])
    assert {name: claims[name] for name in shown} == shown
    assert claims["exp"] - claims["iat"] == 3600

    other = await trigger(dev, "hello")
    client = clients(pretend, token)
    assert (await client.get(f"/api/v3/runs/{run_id}")).status_code == 200
    refused = await client.get(f"/api/v3/runs/{other}")
    assert refused.status_code == 403
    assert refused.json() == {
        "error": "Unauthorized",
        "code": "unauthorized",
        "param": "access_token",
        "type": "authorization",
    }


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("trigger:tasks:hello", 200),
        ("trigger:tasks", 200),
        ("write:tasks", 200),
        ("write:tasks:hello", 200),
        ("admin", 200),
        ("trigger:tasks:other", 403),
        ("batchTrigger:tasks", 403),
        ("read:runs", 403),
    ],
)
async def test_a_public_token_triggers_what_its_scopes_allow(
    pretend: PretendTriggerDev, clients: Clients, scope: str, status: int
) -> None:
    client = clients(pretend, _token(pretend, scope))
    assert (await client.post("/api/v1/tasks/hello/trigger", json={"payload": {}})).status_code == status


async def test_a_forged_foreign_or_expired_token_is_invalid(pretend: PretendTriggerDev, clients: Clients) -> None:
    header, body, signature = _token(pretend, "admin").split(".")
    foreign = public_token(pretend.environment(PROD_KEY), {"sub": pretend.environment(DEV_KEY).id})
    for token in (
        f"{header}.{body}.{signature[::-1]}",
        foreign,
        _token(pretend, "admin", life=-1),
        "not.a.token",
    ):
        answer = await clients(pretend, token).get("/api/v1/runs")
        assert (answer.status_code, answer.json()) == (401, {"error": "Public Access Token is invalid"})


async def test_public_tokens_have_a_bucket_of_their_own(pretend: PretendTriggerDev, clients: Clients) -> None:
    answer = await clients(pretend, _token(pretend, "read:runs")).get("/api/v1/runs")
    assert answer.headers["x-ratelimit-limit"] == "60"


async def test_the_claims_route_tells_an_sdk_what_to_sign(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    answer = await dev.post("/api/v1/auth/jwt/claims")
    assert answer.json() == {"sub": pretend.environment(DEV_KEY).id, "pub": True}
    assert "x-ratelimit-limit" not in answer.headers


def test_keys_must_name_their_environment() -> None:
    with pytest.raises(ValueError, match="tr_dev_"):
        PretendTriggerDev(secret_keys=["sk_live_1"])
    with pytest.raises(ValueError, match="root key tr_prod_"):
        PretendTriggerDev(secret_keys=[DEV_KEY, "tr_prod_sk_aaaaaaaaaaaaaaaaaaaaaaaa"])
    with pytest.raises(LookupError):
        PretendTriggerDev(secret_keys=[DEV_KEY]).environment(PROD_KEY)


def test_an_additional_key_opens_the_environment_of_its_kind() -> None:
    extra = "tr_dev_sk_aaaaaaaaaaaaaaaaaaaaaaaa"
    pretend = PretendTriggerDev(secret_keys=[DEV_KEY, extra])
    assert pretend.environment(extra) == pretend.environment(DEV_KEY)


def test_an_environments_id_survives_a_restart() -> None:
    first, second = (PretendTriggerDev(secret_keys=[DEV_KEY]).environment(DEV_KEY) for _ in range(2))
    assert first.id == second.id

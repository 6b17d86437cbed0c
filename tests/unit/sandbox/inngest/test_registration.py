"""Registering apps: what is accepted, what is refused and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from .apps import ScriptedApp, on, registration, started

NOBODY = ScriptedApp({})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"functions": []}, "registers no functions"),
        ({"appname": ""}, "must name its app"),
        ({"functions": [{"id": "x-y"}]}, "no step with runtime.url"),
        ({"functions": [{"name": "x"}]}, "without an id"),
        ({"sdk": "inngest-js:v3.40.0"}, "sdk_version_denied"),
    ],
)
async def test_a_broken_registration_is_refused_with_what_is_wrong(change: dict[str, Any], words: str) -> None:
    async with started(NOBODY) as (inngest, client):
        payload = {**registration({"id": "fn", "triggers": on("go")}), **change}
        reply = await client.post("/fn/register", json=payload)
        assert reply.status_code == 400
        assert words in reply.json()["error"]
        assert inngest.functions() == []


async def test_a_broken_trigger_expression_is_refused_at_once() -> None:
    async with started(NOBODY) as (_, client):
        payload = registration({"id": "fn", "triggers": on("go", expression="event.data.x ==")})
        assert "event.data.x ==" in (await client.post("/fn/register", json=payload)).json()["error"]


async def test_the_expected_kind_of_server_must_match() -> None:
    async with started(NOBODY) as (_, client):
        payload = registration({"id": "fn", "triggers": on("go")})
        headers = {"x-inngest-expected-server-kind": "cloud"}
        assert (await client.post("/fn/register", json=payload, headers=headers)).status_code == 400


async def test_syncing_again_replaces_the_functions_of_that_app_alone() -> None:
    async with started(NOBODY) as (inngest, client):
        for app, name in (("one", "a"), ("two", "b"), ("one", "c")):
            await client.post("/fn/register", json=registration({"id": name, "triggers": on("go")}, app=app))
        assert sorted(function.id for function in inngest.functions()) == ["one-c", "two-b"]
        shown = (await client.get("/v1/apps/one/functions")).json()
        assert [each["id"] for each in shown] == ["one-c"]
        assert (await client.get("/v1/apps/nobody/functions")).json() == []

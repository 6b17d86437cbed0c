"""`GET /v1/notices` shows what people want to hear of, and how they were told."""

from __future__ import annotations

import httpx

from shadow.notices.record import Notice, note
from tests.integration.judge.world import World


async def test_notices_are_listed_with_how_each_channel_was_told(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/notices")).json() == {"items": []}
    async with world.connection() as connection:
        made = await note(connection, Notice("gate_opened", "It opened", task="digest", facts={"pairs": 299}))
        await note(connection, Notice("moved", "It moved", route="order-sync"))
        for channel, due, sent, error in (
            ("a", None, "now()", None),
            ("b", "now()", None, "answered 503"),
            ("c", None, None, "answered 410"),
        ):
            await connection.execute(
                "INSERT INTO notice_deliveries (id, notice, channel, attempts, due_at, sent_at, error)"
                f" VALUES (gen_random_uuid(), %s, %s, 1, {due or 'NULL'}, {sent or 'NULL'}, %s)",
                (made, channel, error),
            )
    moved, opened = (await client.get("/v1/notices")).json()["items"]
    assert (moved["kind"], moved["route"], moved["deliveries"]) == ("moved", "order-sync", [])
    assert (opened["id"], opened["title"], opened["facts"]) == (str(made), "It opened", {"pairs": 299})
    told = [(one["channel"], one["state"], one["error"]) for one in opened["deliveries"]]
    assert told == [("a", "sent", None), ("b", "waiting", "answered 503"), ("c", "given_up", "answered 410")]


async def test_a_notice_of_a_route_is_one_of_each_of_its_tasks(world: World, client: httpx.AsyncClient) -> None:
    async with world.connection() as connection:
        await note(connection, Notice("moved", "It moved", route=world.catalogue.tasks["order-sync"].route))
        await note(connection, Notice("leak", "It leaked", task="digest"))
    for query, kinds in (
        ("task=order-sync", ["moved"]),
        ("task=digest", ["leak"]),
        ("kind=leak", ["leak"]),
        ("task=nothing", []),
        ("limit=1", ["leak"]),
    ):
        found = (await client.get(f"/v1/notices?{query}")).json()["items"]
        assert [item["kind"] for item in found] == kinds
    assert (await client.get("/v1/notices?kind=nothing")).status_code == 422

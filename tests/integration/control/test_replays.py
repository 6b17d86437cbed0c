"""`/v1/replays`, over pairs that show a signature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from shadow.judge.loop import JudgeLoop
from shadow.model.ids import derived_id, new_id
from tests.integration.containment.declared import declared
from tests.integration.judge.world import Told, World


@pytest.fixture
async def told(world: World, judge: JudgeLoop) -> list[Told]:
    """Two events whose runs returned something else."""
    await declared(world.database, world.catalogue)
    made = [await world.event(data={"order": number}) for number in range(2)]
    for one in made:
        await one.both({"count": 1}, candidate={"count": 2})
    await judge.once(datetime.now(UTC) + timedelta(minutes=1))
    return made


async def signature(client: httpx.AsyncClient) -> str:
    ((found),) = (await client.get("/v1/signatures")).json()["items"]
    return str(found["id"])


async def test_a_replay_is_started_shown_and_kept_apart(
    world: World, client: httpx.AsyncClient, told: list[Told]
) -> None:
    shown = await signature(client)
    answer = await client.post("/v1/replays", json={"signature": shown, "reason": "fixed"})
    assert answer.status_code == 200, answer.text
    replay = answer.json()
    assert (replay["task"], replay["signature"], replay["actor"]) == ("order-sync", shown, "token:tests")
    assert (replay["pairs"], replay["pending"], replay["cleared"], replay["verdicts"]) == (2, 2, 0, {})
    assert (await client.get(f"/v1/replays/{replay['id']}")).json() == replay
    assert (await client.get("/v1/replays", params={"task": "order-sync"})).json()["items"] == [replay]
    assert (await client.get("/v1/replays", params={"task": "digest"})).json()["items"] == []
    pairs = (await client.get("/v1/pairs", params={"replay": replay["id"]})).json()["items"]
    assert {pair["replays"] for pair in pairs} == {str(one.pair) for one in told}
    live = (await client.get("/v1/pairs")).json()["items"]
    assert {pair["id"] for pair in live} == {str(one.pair) for one in told}
    counts = (await client.get("/v1/tasks/order-sync/parity")).json()["counts"]
    assert (counts["pairs"], counts["pending"], counts["mismatch"]) == (2, 0, 2)
    for pair in pairs:  # legacy's run is the recorded one
        detail = (await client.get(f"/v1/pairs/{pair['id']}")).json()
        assert detail["legacy"]["output"] == {"count": 1}
        assert detail["candidate"]["state"] == "expected"
        assert pair["id"] == str(derived_id(UUID(pair["event_id"]), "order-sync"))


async def test_it_says_what_else_its_pairs_show(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient, told: list[Told]
) -> None:
    shown = await signature(client)
    replay = (await client.post("/v1/replays", json={"signature": shown, "reason": "fixed", "limit": 1})).json()
    ((run,),) = await world.rows("SELECT candidate_run FROM pairs WHERE replay = %s", replay["id"])
    async with world.connection() as connection:
        await connection.execute(
            "UPDATE runs SET state = 'finished', status = 'completed', platform_run_id = 'again', attempts = 1,"
            " started_at = now(), finished_at = now(), learned_by = 'report' WHERE id = %s",
            (run,),
        )
        await world.body(connection, run, "output", b'{"count": 1, "more": true}')
        await connection.execute("UPDATE pairs SET due_at = now() WHERE replay = %s", (replay["id"],))
    await judge.once(datetime.now(UTC) + timedelta(minutes=1))
    found = (await client.get(f"/v1/replays/{replay['id']}")).json()
    assert (found["pending"], found["cleared"], found["shown"], found["verdicts"]) == (0, 1, 0, {"mismatch": 1})
    assert [other["pairs"] for other in found["others"]] == [1]
    assert "more" in found["others"][0]["sentence"]
    assert len((await client.get("/v1/signatures")).json()["items"]) == 1  # a replay makes no signature of its own


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"signature": "s1-none", "reason": "r"}, 404, "there is no signature 's1-none'"),
        ({"signature": "s1-none"}, 422, "body.reason"),
        ({"signature": "s1-none", "reason": "r", "limit": 0}, 422, "body.limit"),
        ({"signature": "s1-none", "reason": "r", "side": "legacy"}, 422, "body.side"),
    ],
)
async def test_what_cannot_be_started_says_why(
    client: httpx.AsyncClient, body: dict[str, object], status: int, says: str
) -> None:
    answer = await client.post("/v1/replays", json=body)
    assert answer.status_code == status
    assert says in answer.text


async def test_an_uncontained_candidate_is_no_place_for_a_replay(
    world: World, client: httpx.AsyncClient, told: list[Told]
) -> None:
    await world.rows("DELETE FROM containments RETURNING id")
    answer = await client.post("/v1/replays", json={"signature": await signature(client), "reason": "fixed"})
    assert answer.status_code == 409
    assert "not contained" in answer.json()["detail"]


async def test_there_is_no_replay_of_another_id(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/replays/{new_id()}")).status_code == 404

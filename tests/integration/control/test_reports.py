"""What the control API reports, over what the judge wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from ulid import ULID

from shadow.catalogue.model import Side
from shadow.judge.loop import JudgeLoop
from shadow.reports import audit
from shadow.reports.events import _newest
from tests.integration.containment.declared import declared
from tests.integration.judge.world import Told, World


def later(minutes: int) -> datetime:
    """The time, so many minutes from now (not from when this module was imported: a suite may take longer)."""
    return datetime.now(UTC) + timedelta(minutes=minutes)


async def judged_world(world: World, judge: JudgeLoop) -> dict[str, Told]:
    """One pair of each verdict, one pending, one event still in the queue, and a pair of another task."""
    told = {
        name: await world.event(tenant=tenant)
        for name, tenant in (
            ("match", "acme"),
            ("mismatch", "acme"),
            ("missing", "zeta"),
            ("not_comparable", None),
            ("pending", "acme"),
        )
    }
    told["other"] = await world.event("digest")
    told["queued"] = await world.event(opened=False)
    await told["match"].effect(Side.LEGACY, {"requestId": "r", "amount": 5}, after=0.5)
    await told["match"].effect(Side.CANDIDATE, {"requestId": "r", "amount": 5}, after=0.5)
    await told["match"].both({"a": 1})
    await told["mismatch"].effect(Side.LEGACY, {"requestId": "r1", "amount": 5}, after=0.5)
    await told["mismatch"].effect(Side.LEGACY, {"requestId": "r2", "amount": 6}, after=0.7)
    await told["mismatch"].both({"a": 1})
    await told["missing"].finished(Side.LEGACY, output=1)
    await told["not_comparable"].both(1)
    await told["not_comparable"].incomparable("changed_by_producer")
    await told["other"].both(1)
    await world.rows("UPDATE pairs SET deadline_at = now() WHERE id = %s RETURNING id", told["missing"].pair)
    await judge.once(later(5))
    return told


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


COUNTS = {
    "events": 6,
    "pairs": 5,
    "allowed": 0,
    "match": 1,
    "mismatch": 1,
    "missing_candidate": 1,
    "missing_legacy": 0,
    "not_comparable": 1,
    "pending": 1,
    "parity": pytest.approx(1 / 3),
}


async def test_tasks_come_with_phase_and_counts(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    await judged_world(world, judge)
    tasks = {task["task"]: task for task in (await get(client, "/v1/tasks"))["items"]}
    assert list(tasks) == ["order-sync", "digest"]
    assert tasks["order-sync"]["counts"] == COUNTS
    assert tasks["order-sync"]["phase"] == "legacy"
    assert tasks["order-sync"]["candidate"] == {"platform": "inngest", "function": "shop-order-sync"}
    assert tasks["digest"]["counts"]["parity"] == 1.0
    assert await get(client, "/v1/tasks/order-sync") == tasks["order-sync"]


async def test_parity_is_of_days_and_tenants(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    await judged_world(world, judge)
    everything = await get(client, "/v1/tasks/order-sync/parity")
    assert everything["counts"] == COUNTS
    assert sum(day["pairs"] for day in everything["days"]) == 5  # of two days, when midnight comes between them
    acme = await get(client, "/v1/tasks/order-sync/parity", tenant="acme")
    assert (acme["counts"]["match"], acme["counts"]["mismatch"], acme["counts"]["parity"]) == (1, 1, 0.5)
    nobody = await get(client, "/v1/tasks/order-sync/parity", tenant="")
    assert (nobody["counts"]["not_comparable"], nobody["counts"]["parity"]) == (1, None)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    since = await get(client, "/v1/tasks/order-sync/parity", since=tomorrow)
    assert (since["counts"]["events"], since["counts"]["parity"], since["days"]) == (0, None, [])
    until = await get(client, "/v1/tasks/order-sync/parity", until=tomorrow, since="2020-01-01")
    assert until["counts"] == COUNTS


async def test_nothing_compared_is_no_parity(client: httpx.AsyncClient) -> None:
    counts = (await get(client, "/v1/tasks/digest/parity"))["counts"]
    assert counts["parity"] is None
    assert counts["events"] == 0


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"task": "order-sync"}, {"match", "mismatch", "missing", "not_comparable", "pending"}),
        ({"verdict": "mismatch"}, {"mismatch"}),
        ({"verdict": "missing_candidate"}, {"missing"}),
        ({"verdict": "pending"}, {"pending"}),
        ({"tenant": "zeta"}, {"missing"}),
        ({"tenant": ""}, {"not_comparable"}),  # events without one
        ({"tenant": "acme", "verdict": "match", "task": "digest"}, {"other"}),
        ({"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}, set()),
        ({"since": "2020-01-01T00:00:00Z", "task": "digest"}, {"other"}),
        ({"signature": "s1-none"}, set()),
    ],
)
async def test_pairs_are_found_by_every_condition_at_once(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient, filters: dict[str, str], names: set[str]
) -> None:
    told = await judged_world(world, judge)
    found = await get(client, "/v1/pairs", **filters)
    assert {item["id"] for item in found["items"]} == {str(told[name].pair) for name in names}


async def test_pages_follow_each_other_without_gap_or_repetition(world: World, client: httpx.AsyncClient) -> None:
    told = [await world.event() for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        page = await get(client, "/v1/pairs", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == sorted((str(item.pair) for item in told), reverse=True)


async def test_a_side_that_ran_twice_shows_what_each_run_did(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = await world.event()
    await told.both({"a": 1})
    second = await told.doubled(Side.CANDIDATE, after=2)
    await told.effect(Side.CANDIDATE, {"amount": 5}, run=second, after=2)
    await judge.once(later(5))
    pair = await get(client, f"/v1/pairs/{told.pair}")
    assert pair["differences"][0]["kind"] == "effect.extra"
    (extra,) = pair["extra"]
    assert (extra["side"], extra["platform_run_id"]) == ("candidate", second)
    assert [effect["data"] for effect in extra["effects"]] == [{"amount": 5}]
    assert pair["candidate"]["effects"] == []


async def test_a_pair_shows_both_runs_both_ledgers_in_order_and_its_differences(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = (await judged_world(world, judge))["mismatch"]
    pair = await get(client, f"/v1/pairs/{told.pair}")
    assert (pair["verdict"], pair["difference_count"], pair["severity"]) == ("mismatch", 2, "critical")
    assert pair["legacy"]["output"] == {"a": 1}
    assert [effect["data"]["requestId"] for effect in pair["legacy"]["effects"]] == ["r1", "r2"]
    assert pair["candidate"]["effects"] == []
    assert pair["candidate"]["authority"] == "none"
    assert [difference["kind"] for difference in pair["differences"]] == ["effect.missing", "effect.missing"]
    assert pair["differences"][0]["candidate"] is None


async def test_a_pair_is_explained_by_judging_it_anew(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = await world.event(data={"order": 7})
    await told.effect(Side.LEGACY, {"requestId": "r1", "amount": 5, "note": "a"}, after=0.5)
    await told.effect(Side.CANDIDATE, {"requestId": "r1", "amount": 6, "note": "a"}, after=0.5)
    await told.both({"a": 1})
    path = f"/v1/pairs/{told.pair}"
    # Also before it is judged at all; nothing of it is stored.
    early = (await get(client, path, explain=True))["explanation"]
    assert (early["verdict"], early["as_stored"]) == ("mismatch", False)
    assert (await get(client, path))["verdict"] is None
    await judge.once(later(5))
    pair = await get(client, path, explain=True)
    explanation = pair["explanation"]
    assert (explanation["verdict"], explanation["as_stored"]) == ("mismatch", True)
    assert explanation["differences"] == [
        {name: difference[name] for name in ("kind", "path", "severity", "sentence", "signature")}
        for difference in pair["differences"]
    ]
    (view,) = explanation["stages"]["views"]
    assert view["patch"] == [{"op": "replace", "path": "/amount", "value": 6}]
    assert '-   "amount": 5' in view["text"].split("\n")
    assert explanation["stages"]["paired"][0]["equal"] is False
    assert (await get(client, path))["explanation"] is None


async def test_a_pair_that_cant_be_compared_is_explained_by_its_reason(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = (await judged_world(world, judge))["not_comparable"]
    explanation = (await get(client, f"/v1/pairs/{told.pair}", explain=True))["explanation"]
    assert explanation == {
        "verdict": "not_comparable",
        "reason": "changed_by_producer",
        "as_stored": True,
        "differences": [],
        "stages": None,
    }


async def test_signatures_lead_to_their_pairs(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    told = (await judged_world(world, judge))["mismatch"]
    (signature,) = (await get(client, "/v1/signatures", task="order-sync"))["items"]
    assert (signature["pairs"], signature["example_pair"]) == (1, str(told.pair))
    assert (await get(client, "/v1/signatures", task="digest"))["items"] == []
    detail = await get(client, f"/v1/signatures/{signature['id']}")
    assert detail["tenants"] == [{"tenant": "acme", "pairs": 1}]
    pairs = await get(client, "/v1/pairs", signature=signature["id"])
    assert [item["id"] for item in pairs["items"]] == [str(told.pair)]


async def test_a_signature_that_no_pair_shows_any_more_is_listed_no_more(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = (await judged_world(world, judge))["mismatch"]
    (signature,) = (await get(client, "/v1/signatures"))["items"]
    for number in (1, 2):
        await told.effect(Side.CANDIDATE, {"requestId": f"r{number}", "amount": 4 + number})
    await judge.once(later(20))
    assert (await get(client, "/v1/signatures"))["items"] == []
    assert (await get(client, f"/v1/signatures/{signature['id']}"))["pairs"] == 0


async def test_an_event_is_found_by_any_of_its_names(world: World, client: httpx.AsyncClient) -> None:
    told = await world.event(data={"order": 7}, external_id="order-7")
    await world.dispatch(told)
    event = await get(client, f"/v1/events/{told.event}")
    assert event["data"] == {"order": 7}
    assert event["pairs"] == [str(told.pair)]
    assert [(run["side"], run["state"]) for run in event["runs"]] == [("legacy", "sent"), ("candidate", "sent")]
    assert [dispatch["state"] for dispatch in event["dispatches"]] == ["due"]
    for name in ("order-7", event["upstream_id"]):
        assert await get(client, f"/v1/events/{name}") == event


@pytest.mark.parametrize(
    ("external_id", "name"),
    [
        ("app:wh_1", "wh_1"),  # as a webhook's event is named that maps no id of its own
        ("app:wh_1", "app:wh_1"),
        ("01M85K61QN6H3MZD9HM6VTVMW7", "01M85K61QN6H3MZD9HM6VTVMW7"),  # a producer may use ULIDs
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),  # even of a time that never comes
        ("5d2b2a2e-8a07-4c5f-9f2b-2f6f3b1f0c11", "5d2b2a2e-8a07-4c5f-9f2b-2f6f3b1f0c11"),  # and UUIDs
    ],
)
async def test_an_event_is_found_by_the_id_that_its_candidate_runs_carry(
    world: World, client: httpx.AsyncClient, external_id: str, name: str
) -> None:
    first, told = await world.event(external_id=external_id), await world.event(external_id=external_id)
    assert first.event < told.event
    assert (await get(client, f"/v1/events/{name}"))["id"] == str(told.event), "the newest"


async def test_no_event_is_ever_looked_for_in_the_whole_table(world: World) -> None:
    for name in (str(uuid4()), str(ULID()), "order-7"):
        query = _newest(name, ["app"]).compile(
            world.database.engine.sync_engine, compile_kwargs={"render_postcompile": True}
        )
        async with world.database.engine.connect() as connection:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = await connection.exec_driver_sql(f"EXPLAIN {query}", query.params)
            lines = [row[0] for row in plan]
        assert not [line for line in lines if "Seq Scan" in line], lines
        assert all("(upstream_id" in line for line in lines if "Filter" in line), lines


async def test_dead_letters_are_listed_and_sent_again(world: World, client: httpx.AsyncClient) -> None:
    told = await world.event()
    async with world.connection() as connection:
        await connection.execute("UPDATE runs SET state = 'expected'")  # nothing of it has arrived
    alive = await world.dispatch(told)
    dead = await world.dispatch(told, state="dead")
    (letter,) = (await get(client, "/v1/dead-letters"))["items"]
    assert (letter["id"], letter["event_name"], letter["error"]) == (
        str(dead),
        "order/created",
        "404: no such task",
    )
    assert (await get(client, "/v1/dead-letters", side="legacy"))["items"] == []
    answer = await client.post(f"/v1/dead-letters/{dead}/resend")
    assert (answer.status_code, answer.json()) == (200, {"id": str(dead)})
    assert await world.rows("SELECT state FROM dispatches WHERE id = %s", dead) == [("due",)]
    again = await client.post(f"/v1/dead-letters/{alive}/resend")
    assert (again.status_code, again.json()["title"]) == (409, "Conflict")
    assert (await client.post(f"/v1/dead-letters/{uuid4()}/resend")).status_code == 404
    (entry,) = (await audit.page(world.database.engine, kinds=audit.KINDS["dead letters"])).items
    assert (entry.actor, entry.link) == ("token:tests", str(told.event))
    assert entry.says == f"had the dead letter {dead} of the event {told.event} sent to candidate again"
    (made,) = (await audit.page(world.database.engine, kinds=audit.KINDS["tokens and keys"])).items
    assert made.says == "made the token 'tests' (operate, read), valid for ever"


async def test_dead_letters_come_in_pages(world: World, client: httpx.AsyncClient) -> None:
    told = await world.event()
    dead = {str(await world.dispatch(told, state="dead")) for _ in range(3)}
    first = await get(client, "/v1/dead-letters", limit=2)
    second = await get(client, "/v1/dead-letters", limit=2, cursor=first["next_cursor"])
    assert second["next_cursor"] is None
    assert {item["id"] for item in first["items"] + second["items"]} == dead


async def test_a_move_is_made_audited_and_shown(world: World, client: httpx.AsyncClient) -> None:
    await declared(world.database, world.catalogue)
    answer = await client.post("/v1/phases/order-sync", json={"phase": "shadow", "reason": "first week"})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["from_phase"], made["to_phase"], made["actor"]) == ("legacy", "shadow", "token:tests")
    assert (await get(client, "/v1/moves"))["items"] == [made]
    assert (await get(client, "/v1/moves", task="digest"))["items"] == []
    assert (await get(client, "/v1/tasks/order-sync"))["phase"] == "legacy"  # until the move takes effect
    await world.rows("UPDATE phases SET effective_at = now() RETURNING task")
    assert (await get(client, "/v1/tasks/order-sync"))["phase"] == "shadow"


async def test_the_figures_of_the_installation_are_gauges(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    told = await judged_world(world, judge)
    await world.dispatch(told["match"], state="dead")
    text = (await client.get("/metrics/parity")).text
    for line in (
        'shadow_pairs{task="order-sync",verdict="mismatch"} 1.0',
        'shadow_pairs{task="order-sync",verdict="pending"} 1.0',
        'shadow_pairs_opened{task="order-sync"} 5.0',
        'shadow_events_undelivered{task="order-sync"} 1.0',
        'shadow_parity_ratio{task="digest"} 1.0',
        'shadow_dispatches{side="candidate",state="due"} 1.0',
        'shadow_dead_letters{side="candidate"} 1.0',
        'shadow_phase_info{phase="legacy",task="order-sync"} 1.0',
    ):
        assert line in text
    assert 'severity="critical"' in text
    assert "counter" not in text  # judging again may lower any of them


async def test_what_is_run_again_is_not_counted_as_undelivered(
    world: World, judge: JudgeLoop, client: httpx.AsyncClient
) -> None:
    await judged_world(world, judge)
    assert (await get(client, "/v1/tasks/order-sync/parity"))["counts"]["events"] == 6
    await world.rows(
        "UPDATE events SET repeats = id, purpose = 'replay'"
        " WHERE NOT EXISTS (SELECT FROM pairs WHERE event_id = events.id) RETURNING id"
    )
    assert (await get(client, "/v1/tasks/order-sync/parity"))["counts"]["events"] == 5


async def test_a_task_without_comparison_has_no_ratio(client: httpx.AsyncClient) -> None:
    assert "shadow_parity_ratio{" not in (await client.get("/metrics/parity")).text

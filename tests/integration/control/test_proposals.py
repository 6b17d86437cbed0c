"""Proposals over the API: looking, listing, deciding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shadow.judge.loop import JudgeLoop
from tests.integration.judge.world import World

URL = "/v1/tasks/order-sync/proposals"


@pytest.fixture
async def proposed(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> dict[str, Any]:
    """A rule for a measure, which drifts a little on both sides."""
    for number in range(12):
        told = await world.event(data={"order": number})
        await told.both({"score": 1000 + number * 37 % 50}, candidate={"score": 1000.5 + number * 23 % 50})
    await judge.once(datetime.now(UTC) + timedelta(minutes=1))
    answer = await client.post(URL)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["items"]
    return dict(found)


def until(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_what_was_found_says_on_what_it_rests(client: httpx.AsyncClient, proposed: dict[str, Any]) -> None:
    assert (proposed["state"], proposed["source"], proposed["settings"]["type"]) == ("open", "history", "number")
    evidence = proposed["evidence"]
    assert evidence["live"] == {"compared": 12, "differed": 12}
    assert evidence["legacy_twice"] == {"compared": 0, "differed": 0}
    assert (evidence["hides"]["tried_on"], evidence["hides"]["pairs"], evidence["hides"]["to_match"]) == (12, 12, 12)
    assert evidence["samples"][0].keys() == {"legacy", "candidate"}
    assert (await client.get(URL)).json()["items"] == [proposed]
    assert (await client.get(URL, params={"state": "accepted"})).json()["items"] == []
    later = await client.post(URL, json={"since": until(1)})
    assert later.json()["items"] == []


async def test_it_is_accepted_for_a_while_by_somebody_for_a_reason(
    client: httpx.AsyncClient, proposed: dict[str, Any]
) -> None:
    decision = f"/v1/proposals/{proposed['id']}/decision"
    answer = await client.post(decision, json={"decision": "accept", "reason": "measured", "until": until(30)})
    assert answer.status_code == 200, answer.text
    decided = answer.json()
    assert (decided["state"], decided["decided_by"], decided["reason"]) == ("accepted", "token:tests", "measured")
    rules = (await client.get("/v1/tasks/order-sync/rules")).json()["rules"]
    assert proposed["rule"] in [rule["rule"] for rule in rules]
    judged = await client.post("/v1/tasks/order-sync/judgements", json={"since": until(-1), "dry_run": True})
    assert judged.json()["verdicts"] == [{"before": "mismatch", "after": "match", "pairs": 12}]
    assert (
        await client.post(decision, json={"decision": "accept", "reason": "r", "until": until(3)})
    ).status_code == 409
    back = await client.post(decision, json={"decision": "reject", "reason": "it matters"})
    assert back.json()["state"] == "rejected"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"decision": "accept", "reason": "r"}, "body.until"),
        ({"decision": "accept", "reason": "r", "until": "2020-01-01T00:00:00Z"}, "body.until"),
        ({"decision": "accept", "until": "2020-01-01T00:00:00Z"}, "body.reason"),
        ({"decision": "reject", "reason": " "}, "body.reason"),
        ({"decision": "maybe", "reason": "r"}, "body.decision"),
    ],
)
async def test_a_decision_that_is_none_says_what_is_wrong(
    client: httpx.AsyncClient, proposed: dict[str, Any], body: dict[str, Any], says: str
) -> None:
    answer = await client.post(f"/v1/proposals/{proposed['id']}/decision", json=body)
    assert answer.status_code == 422
    assert says in answer.text


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/tasks/none/proposals")).status_code == 404
    assert (await client.post("/v1/tasks/none/proposals")).status_code == 404
    nobody = "/v1/proposals/01997fc5-c0d0-7a20-9b3c-4d5e6f708192/decision"
    assert (await client.post(nobody, json={"decision": "reject", "reason": "r"})).status_code == 404


async def test_legacy_is_asked_to_run_again_by_task_and_the_candidate_by_signature(client: httpx.AsyncClient) -> None:
    neither = await client.post("/v1/replays", json={"reason": "r"})
    assert (neither.status_code, "one of signature, task and legacy_twice" in neither.text) == (422, True)
    blank = await client.post("/v1/replays", json={"reason": " ", "legacy_twice": "digest"})
    assert (blank.status_code, "body.reason" in blank.text) == (422, True)
    both = await client.post("/v1/replays", json={"reason": "r", "signature": "s1", "legacy_twice": "digest"})
    assert (both.status_code, "2 of them" in both.text) == (422, True)
    nothing = await client.post("/v1/replays", json={"reason": "r", "legacy_twice": "digest"})
    assert (nothing.status_code, "no pair of digest was judged" in nothing.text) == (409, True)

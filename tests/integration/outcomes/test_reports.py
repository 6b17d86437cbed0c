"""What workers report is taken whole or refused with what is wrong, and the key says whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from api.front.reports import PREFIX, worker_app
from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.effects.record import SeenEffect, record_effects
from shadow.model.ids import derived_id
from shadow.store import codec
from shadow.store.database import Work
from tests.integration.fanout.stage import StageSet, client_of
from tests.integration.outcomes.test_record import CANDIDATE, due, opened, record

LEGACY_KEY = {"authorization": "Bearer legacy-reports"}
CANDIDATE_KEY = {"authorization": "Bearer candidate-reports"}
CHARGE = {"kind": "http", "target": "stripe", "operation": "POST /v1/transfers", "data": {"amount": 1200}}


@pytest.fixture
async def front(world: StageSet) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.mount(PREFIX, worker_app(world.catalogue, world.database))
    async with client_of(app) as client:
        yield client


async def test_an_outcome_finishes_the_run_of_that_event_and_side(world: StageSet, front: httpx.AsyncClient) -> None:
    event = await opened(world)
    report = {"run": "run_1", "task": "welcome", "status": "completed", "output": None, "event": "order-1"}
    answer = await front.post("/shadow/runs", json=report, headers=LEGACY_KEY)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    run = await world.run(event, "welcome", Side.LEGACY)
    assert (run["state"], run["learned_by"], run["platform_run_id"]) == ("finished", "report", "run_1")
    stored = await world.value("SELECT content FROM bodies WHERE part = 'output'")
    assert codec.decode(stored) == b"null"
    assert (await world.run(event, "welcome", Side.CANDIDATE))["state"] == "expected"


async def test_several_outcomes_come_in_one_report(world: StageSet, front: httpx.AsyncClient) -> None:
    event = await opened(world)
    report = [
        {
            "run": f"run_{task}",
            "task": task,
            "status": "FAILED",
            "error": {"name": "Error", "message": "no", "stack": "at ..."},
            "event": "order-1",
            "attempts": 3,
            "started_at": "2026-11-24T01:00:00Z",
            "finished_at": 1795484223783,
        }
        for task in ("welcome", "sync-order")
    ]
    answer = await front.post("/shadow/runs", json=report, headers=CANDIDATE_KEY)
    assert answer.json() == {"accepted": 2}
    run = await world.run(event, "sync-order", Side.CANDIDATE)
    assert (run["status"], run["error_name"], run["attempts"]) == ("failed", "Error", 3)


@pytest.mark.parametrize(
    "report",
    [
        {"run": "run_1", "task": "welcome", "attempt": 2, "effects": [CHARGE, CHARGE]},  # a run's, together
        [{"run": "run_1", **CHARGE}, {"run": "run_1", **CHARGE}],  # an array of single ones
        {"effects": [{"run": "run_1", **CHARGE}, {"run": "run_1", **CHARGE}]},  # the same under a name
        [{"run": "run_1", "effects": [CHARGE]}, {"run": "run_1", "effects": [CHARGE]}],  # several runs' together
    ],
)
async def test_effects_come_in_every_shape(world: StageSet, front: httpx.AsyncClient, report: Any) -> None:
    answer = await front.post("/shadow/effects", json=report, headers=CANDIDATE_KEY)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "new": 2})
    rows = await world.rows(
        "SELECT side, platform_run_id, kind, target, operation, seen_by, data FROM effects ORDER BY sequence"
    )
    assert [row[:6] for row in rows] == [("candidate", "run_1", "http", "stripe", "POST /v1/transfers", "report")] * 2
    assert orjson.loads(codec.decode(rows[0][6])) == {"amount": 1200}


async def test_one_effect_may_come_alone(world: StageSet, front: httpx.AsyncClient) -> None:
    effect = {
        "run": "run_1",
        **CHARGE,
        "identity": {"transfer": "w1"},
        "idempotency_key": "k",
        "occurred_at": "2026-11-24T01:00:00+01:00",
    }
    answer = await front.post("/shadow/effects", json=effect, headers=LEGACY_KEY)
    assert answer.json() == {"accepted": 1, "new": 1}
    row = await world.rows("SELECT side, identity, idempotency_key, attempt, occurred_at::text FROM effects")
    assert row == [("legacy", '{"transfer":"w1"}', "k", 1, "2026-11-24 00:00:00+00")]


async def test_an_effect_that_is_reported_again_is_kept_once(world: StageSet, front: httpx.AsyncClient) -> None:
    effects = [{"run": "run_1", "id": "e1", **CHARGE}, {"run": "run_1", "id": "e2", **CHARGE}]
    await front.post("/shadow/effects", json=effects, headers=LEGACY_KEY)
    again = await front.post("/shadow/effects", json=[*effects, effects[0]], headers=LEGACY_KEY)
    assert again.json() == {"accepted": 3, "new": 0}
    other_run = await front.post("/shadow/effects", json={**effects[0], "run": "run_2"}, headers=LEGACY_KEY)
    other_side = await front.post("/shadow/effects", json=effects[0], headers=CANDIDATE_KEY)
    assert (other_run.json()["new"], other_side.json()["new"]) == (1, 1)


async def test_the_same_effect_without_an_id_is_two_effects(world: StageSet, front: httpx.AsyncClient) -> None:
    """A payout performed twice must be found: nothing is dropped for looking alike."""
    effect = {"run": "run_1", **CHARGE}
    await front.post("/shadow/effects", json=effect, headers=LEGACY_KEY)
    await front.post("/shadow/effects", json=effect, headers=LEGACY_KEY)
    assert await world.value("SELECT count(*) FROM effects") == 2


async def test_a_late_effect_has_a_judged_pair_looked_at_again(world: StageSet) -> None:
    event = await opened(world)
    await record(world, CANDIDATE)
    for state, due_at, expected in (
        ("judged", "NULL", True),
        ("settling", "now() + interval '1 hour'", True),
        ("waiting", "deadline_at", False),  # it will be read when its time comes
        ("waiting", "now() + interval '1 minute'", True),  # the judge has it in hand
    ):
        async with world.database.connection(Work.CONTROL) as conn:
            query = f"UPDATE pairs SET state = '{state}', due_at = {due_at}"
            await conn.execute(query.encode())
        effect = SeenEffect(CANDIDATE.platform_run_id, "http", "stripe", "POST", b"{}")
        async with world.database.connection(Work.OUTCOMES) as conn:
            await record_effects(conn, Side.CANDIDATE, [effect])
        assert bool(await due(world, event)) is expected, state
    assert await world.value("SELECT count(*) FROM pairs WHERE id = %s", derived_id(event, "welcome")) == 1


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("runs", b"{bad", "the body is no JSON"),
        ("runs", b"[]", None),  # nothing to say is nothing wrong
        ("runs", b'"text"', "the report:"),
        ("runs", b'{"run": "r", "task": "welcome", "status": "done"}', "status: expected one of completed, failed"),
        ("runs", b'{"run": "r", "task": "welcome"}', "status: Field required"),
        (
            "runs",
            b'[{"run": "r", "task": "x", "status": "completed"}]',
            "[0].task: the catalogue has no task 'x'",
        ),
        ("runs", b'{"run": "r", "task": "welcome", "status": "failed", "colour": 1}', "colour: Extra inputs"),
        (
            "runs",
            b'{"run": "r", "task": "welcome", "status": "failed", "platform": "inngest"}',
            "platform: 'inngest' is no platform of the legacy side",
        ),
        ("runs", b'{"run": "r", "task": "welcome", "status": "failed", "finished_at": "soon"}', "finished_at: Invalid"),
        ("effects", b'{"run": "r", "effects": [{"kind": "http"}]}', "effects[0].target: Field required"),
        ("effects", b'{"run": "r\\u0000", "effects": []}', "run: text must hold neither NUL"),
        ("effects", b'[{"run": "", "kind": "a", "target": "b", "operation": "c"}]', "[0].run: String should have"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    world: StageSet, front: httpx.AsyncClient, path: str, body: bytes, said: str | None
) -> None:
    answer = await front.post(f"/shadow/{path}", content=body, headers=LEGACY_KEY)
    if said is None:
        assert answer.status_code == 200
        return
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (422, "Invalid report")
    assert said in problem["detail"]
    assert await world.value("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM effects)") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic bGVnYWN5LXJlcG9ydHM="},
        {"authorization": "Bearer"},
    ],
)
async def test_without_a_report_key_nothing_is_taken(front: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("runs", "effects"):
        answer = await front.post(f"/shadow/{path}", json={"run": "r", **CHARGE}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["title"] == "Unauthorized"


async def test_a_report_that_is_too_long_is_refused(world: StageSet, front: httpx.AsyncClient) -> None:
    body = b"[" + b" " * world.catalogue.limits.body_bytes + b"]"
    answer = await front.post("/shadow/effects", content=body, headers=LEGACY_KEY)
    assert answer.status_code == 413


async def test_what_is_not_served_is_a_problem_too(front: httpx.AsyncClient) -> None:
    answer = await front.get("/shadow/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_an_effect_that_names_its_event_is_its_tenants_before_its_run_is_known(
    world: StageSet, front: httpx.AsyncClient
) -> None:
    await opened(world)
    mail = {**CHARGE, "data": {"to": "zoe@shop.test"}}
    named = {"run": "01RUN1", "event": "order-1", "effects": [mail]}
    await front.post("/shadow/effects", json=named, headers=CANDIDATE_KEY)
    assert await world.value("SELECT count(*) FROM bodies WHERE part = 'pending'") == 0
    report = {"run": "01RUN1", "task": "welcome", "status": "completed", "event": "order-1"}
    await front.post("/shadow/runs", json=report, headers=CANDIDATE_KEY)
    await front.post("/shadow/effects", json={**mail, "run": "01RUN1"}, headers=CANDIDATE_KEY)
    first, second = await world.rows("SELECT data FROM effects ORDER BY sequence")
    assert first == second, "the same hashes, before and after"


async def test_an_event_that_is_not_known_or_not_one_says_nothing(world: StageSet, front: httpx.AsyncClient) -> None:
    await opened(world)
    for side in (LEGACY_KEY, CANDIDATE_KEY):
        report = {"run": "01RUN1", "event": "order-1" if side is LEGACY_KEY else "order-2", "effects": [CHARGE]}
        assert (await front.post("/shadow/effects", json=report, headers=side)).status_code == 200
    assert await world.value("SELECT count(*) FROM bodies WHERE part = 'pending'") == 2


async def test_many_reports_at_once_are_stored_together_and_each_answered_for_itself(
    world: StageSet, front: httpx.AsyncClient
) -> None:
    async def tell(number: int) -> httpx.Response:
        effects = [{**CHARGE, "id": "1"}, {**CHARGE, "id": f"n{number}"}]
        return await front.post("/shadow/effects", json={"run": "run_1", "effects": effects}, headers=CANDIDATE_KEY)

    answers = await asyncio.gather(*(tell(number) for number in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["new"] for answer in answers) == [1] * 19 + [2], "the id that all told is new once"
    assert await world.value("SELECT count(*) FROM effects") == 21
    transactions = await world.value("SELECT count(DISTINCT received_at) FROM effects")
    assert transactions < 20


async def test_a_report_that_cannot_be_stored_fails_alone(world: StageSet, front: httpx.AsyncClient) -> None:
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("ALTER TABLE effects ADD CONSTRAINT no_gifts CHECK (target <> 'gifts')")
    reports = [
        {**CHARGE, "run": f"run_{number}", "target": "gifts" if number == 3 else "stripe"} for number in range(8)
    ]
    answers = await asyncio.gather(
        *(front.post("/shadow/effects", json=report, headers=CANDIDATE_KEY) for report in reports)
    )
    assert [answer.status_code for answer in answers] == [200] * 3 + [503] + [200] * 4
    assert await world.value("SELECT count(*) FROM effects") == 7


async def test_two_reports_of_one_run_at_once_fill_in_each_other(world: StageSet, front: httpx.AsyncClient) -> None:
    event = await opened(world)
    first = {"run": "run_1", "task": "welcome", "status": "completed", "event": "order-1", "attempts": 2}
    second = {**first, "version": "v7"}
    answers = await asyncio.gather(
        *(front.post("/shadow/runs", json=report, headers=CANDIDATE_KEY) for report in (first, second))
    )
    assert [answer.json() for answer in answers] == [{"accepted": 1}] * 2
    run = derived_id(event, "welcome", Side.CANDIDATE)
    assert await world.rows("SELECT attempts, version FROM runs WHERE id = %s", run) == [(2, "v7")]


@pytest.mark.parametrize("grouped", [False, True], ids=["flat", "grouped"])
@pytest.mark.parametrize("text", [b"\\ud800", b"\\u0000"], ids=["surrogate", "nul"])
async def test_an_identity_that_is_no_text_is_refused_and_no_other_report_with_it(
    world: StageSet, front: httpx.AsyncClient, text: bytes, grouped: bool
) -> None:
    effects = [{**CHARGE, "identity": f"order {number}"} for number in range(4)]
    bodies = [
        orjson.dumps({"run": "r", "effects": [effect]} if grouped else {**effect, "run": "r"}) for effect in effects
    ]
    bodies[1] = bodies[1].replace(b"order 1", text)
    answers = await asyncio.gather(
        *(front.post("/shadow/effects", content=body, headers=CANDIDATE_KEY) for body in bodies)
    )
    assert [answer.status_code for answer in answers] == [200, 422, 200, 200]
    assert await world.value("SELECT count(*) FROM effects") == 3


async def test_what_one_report_comes_to_grief_over_is_told_to_no_other(
    world: StageSet, front: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = evidence.of_effect

    def fails(vault: Any, tenant: Any, told: evidence.Told, *names: Any) -> Any:
        if b"odd" in told.data:
            raise TypeError("nobody thought of that")
        return made(vault, tenant, told, *names)

    monkeypatch.setattr(evidence, "of_effect", fails)
    reports = [{**CHARGE, "run": "r", "data": data} for data in ("one", "odd", "two")]
    answers = await asyncio.gather(
        *(front.post("/shadow/effects", json=report, headers=CANDIDATE_KEY) for report in reports),
        return_exceptions=True,
    )
    assert [isinstance(answer, httpx.Response) and answer.status_code for answer in answers] == [200, False, 200]

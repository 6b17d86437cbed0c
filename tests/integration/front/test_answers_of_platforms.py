"""What a producer is told, and what becomes of its event, whatever comes in a platform's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.chaos.line import Line, Manner
from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.integration.front.world import KEY, World, states, world_of

FAILING = [manner for manner in Manner if manner is not Manner.PASS]
BOTH_WAIT = ["legacy deliver due", "candidate deliver held"]
TO_THE_CANDIDATE = ["candidate deliver due"]


@pytest.fixture
async def lined(database: Database) -> AsyncIterator[World]:
    async with world_of(database, lined=True) as world:
        yield world


@asynccontextmanager
async def misbehaving(line: Line, manner: Manner) -> AsyncIterator[None]:
    line.behave(manner)
    try:
        yield
    finally:
        line.behave(Manner.PASS)
        await asyncio.sleep(0.05)  # until connections that are cut have told so


STATUSES = {
    Manner.REFUSE: 502,
    Manner.HANG: 502,
    Manner.RESET: 502,
    Manner.ERROR: 500,
    Manner.BUSY: 429,
    Manner.LIE: 200,
    Manner.PAGE: 200,
    Manner.SHAPE: 200,
    Manner.SLOW: 200,
}
"""What legacy's door answers while legacy behaves so: the platform's own answer where there is one."""


@pytest.mark.parametrize("manner", FAILING)
async def test_a_call_to_legacy_gets_its_answer_and_is_one_run_whoever_sends_it_again(
    lined: World, manner: Manner
) -> None:
    async with misbehaving(lined.lines["trigger"], manner):
        answer = await lined.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert answer.status_code == STATUSES[manner]
    kept = states(await lined.dispatches())
    if manner is Manner.BUSY:  # refused: the producer knows, and nothing is left behind
        assert (answer.headers["retry-after"], kept, await lined.count("events")) == ("1", [], 0)
    elif manner is Manner.SLOW:
        assert kept == TO_THE_CANDIDATE
    else:
        # no run is known: it is the workers' to find out, under the same key, also where the answer says 200
        assert kept == BOTH_WAIT
        assert await lined.runs() == []
    if answer.status_code >= 500:
        assert answer.headers["x-should-retry"] == "true"
    # the SDK comes again
    again = await lined.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert again.status_code == 200
    assert len(lined.trigger.runs()) == 1
    assert await lined.runs() == [("legacy", "sent", lined.trigger.runs()[0].id), ("candidate", "expected", None)]
    assert states(await lined.dispatches()) == TO_THE_CANDIDATE
    assert await lined.count("events") == 1


@pytest.mark.parametrize("manner", FAILING)
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.LIVE])
async def test_no_answer_of_the_candidate_changes_what_a_producer_is_told(
    lined: World, manner: Manner, phase: Phase
) -> None:
    """Not even where it has authority: its event is on disk, and waits for it."""
    lined.routing.phase = phase
    async with misbehaving(lined.lines["inngest"], manner):
        async with asyncio.timeout(4):
            event = await lined.client.post("/e/producer-key", json={"name": "payout/approved", "id": "p", "data": {}})
            call = await lined.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert (event.status_code, len(event.json()["ids"])) == (200, 1)
    assert (call.status_code, call.json()["id"][:4]) == (200, "run_")
    assert states(await lined.dispatches()).count("candidate deliver due") == 2
    assert await lined.count("events") == 2


@pytest.mark.parametrize("manner", [manner for manner in FAILING if manner is not Manner.HANG])
@pytest.mark.parametrize(
    ("line", "path", "headers"),
    [("trigger", "/api/v1/runs", KEY), ("inngest", "/v1/events", {"authorization": "Bearer signkey"})],
)
async def test_what_only_passes_through_gets_the_platforms_own_answer_or_is_told_that_there_is_none(
    lined: World, manner: Manner, line: str, path: str, headers: dict[str, str]
) -> None:
    plain = await lined.client.get(path, headers=headers)
    async with misbehaving(lined.lines[line], manner):
        await asyncio.sleep(0.05)
        answer = await lined.client.get(path, headers=headers)
    assert answer.status_code == (plain.status_code if manner is Manner.SLOW else STATUSES[manner])
    if manner is Manner.PAGE:
        assert answer.text.startswith("<!doctype html>")
    if manner is Manner.BUSY:
        assert answer.headers["retry-after"] == "1"

"""Workers of both sides on Node, with the official SDKs and `@shadow/capture`, and the real gateway between them.

The witness is the bank's own books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.inngest import RunStatus
from sandbox.trigger_dev import TaskContext
from shadow.catalogue.model import Side
from shadow.store.database import Database
from tests.acceptance.paying import SECRET, Paying, paying
from tests.acceptance.sdks import node_server
from tests.integration.fanout.serving import until

MADE = ["POST /v1/transfers", "POST /v1/notes"]
CALLS = {"POST /v1/transfers", "GET /v1/transfers/{id}", "POST /v1/notes"}


@asynccontextmanager
async def at_work(
    database: Database,
    folder: Path,
    trigger: str,
    inngest: str,
    *,
    sequence: str = "after",
    fault: str = "",
    late: bool = False,
) -> AsyncIterator[Paying]:
    """Both workers of these SDK generations, in shadow. `late`: legacy begins once the candidate is tried again."""
    async with paying(database, folder, sequence=sequence) as world:
        legacy = world.environment(Side.LEGACY, "legacy-3")
        candidate = {**world.environment(Side.CANDIDATE, "candidate-7"), "FAULT": fault}
        async with (
            node_server("worker_trigger.mjs", trigger, legacy) as executor,
            node_server("worker_inngest.mjs", inngest, candidate) as app,
        ):
            world.legacy(_executed_by(executor.url, world, late))
            await world.candidate(f"{app.url}/api/inngest")
            await world.to_shadow()
            yield world


def _executed_by(url: str, world: Paying, late: bool) -> Any:
    """As the platform has its SDK's executor run an attempt."""

    async def handler(payload: Any, context: TaskContext) -> Any:
        if late:
            await until(lambda: any(run.attempts > 1 for run in candidates(world)), within=30)
        answer = await world.client.post(
            url,
            json={
                "run": context.run_id,
                "number": context.attempt,
                "idempotencyKey": context.idempotency_key,
                "payload": payload,
            },
        )
        got = answer.json()
        if not got["ok"]:
            raise RuntimeError(got["error"])
        return orjson.loads(got["output"])["json"]

    return handler


def candidates(world: Paying) -> list[Any]:
    return [run for run in world.inngest.runs() if run.function_id == "shop-pay"]


@pytest.mark.parametrize(("trigger", "inngest"), [("trigger-4.5", "inngest-4"), ("trigger-3.3", "inngest-3")])
async def test_legacys_calls_are_real_and_the_candidates_contained(
    database: Database, tmp_path: Path, trigger: str, inngest: str
) -> None:
    async with at_work(database, tmp_path, trigger, inngest) as world:
        await world.send("w-1", "w-2")
        assert await world.judged(2) == [("match", None)] * 2
        (legacy_one, legacy_two), (one, two) = world.trigger.runs(), candidates(world)
        effects = await world.rows(
            "SELECT effects.side, effects.platform_run_id, effects.task, attempt, operation, disposition,"
            " attributed_by, runs.platform_run_id FROM effects LEFT JOIN runs ON runs.id = run_id"
            " WHERE seen_by = 'gateway'"
        )
    # the bank's own books: each transfer once, with the real secret, and nothing of Shadow's on it
    assert Counter(call.asked for call in world.bank.calls if call.asked in MADE) == dict.fromkeys(MADE, 2)
    assert Counter(transfer["request"] for transfer in world.bank.transfers.values()) == {"w-1": 1, "w-2": 1}
    assert {call.headers["authorization"] for call in world.bank.calls} == {f"Bearer {SECRET}"}
    assert not [name for call in world.bank.calls for name in call.headers if name.startswith("x-shadow")]
    # the candidate completed in legacy's stead with the true transfers
    assert {run.status for run in (one, two)} == {RunStatus.COMPLETED}
    true = sorted(world.bank.transfers)
    assert sorted(run.output["transfer"] for run in (one, two)) == true
    assert sorted(run.output["transfer"] for run in (legacy_one, legacy_two)) == true
    # every call said whose it was: by the headers alone, with the attempt, and of the run that made it
    for side, disposition, runs in (
        ("legacy", "forward", {legacy_one.id, legacy_two.id}),
        ("candidate", "replay", {one.run_id, two.run_id}),
    ):
        own = [effect for effect in effects if effect[0] == side]
        assert Counter(effect[4] for effect in own) == dict.fromkeys(CALLS, 2)
        assert {effect[1] for effect in own} == {effect[7] for effect in own} == runs
        assert {effect[2:4] + effect[5:7] for effect in own} == {("pay", 1, disposition, "headers")}


async def test_a_candidate_that_pays_twice_is_a_mismatch_and_nobody_is_paid_twice(
    database: Database, tmp_path: Path
) -> None:
    async with at_work(database, tmp_path, "trigger-4.5", "inngest-4", fault="pays-twice") as world:
        await world.send("w-1")
        assert [verdict for verdict, _ in await world.judged(1)] == ["mismatch"]
        kinds = {kind for (kind,) in await world.rows("SELECT kind FROM differences")}
    assert world.bank.writes == MADE
    assert "effect.duplicate" in kinds
    assert [run.status for run in candidates(world)] == [RunStatus.COMPLETED]


async def test_a_candidate_that_comes_before_its_twin_is_tried_again_by_its_platform(
    database: Database, tmp_path: Path
) -> None:
    async with at_work(database, tmp_path, "trigger-4.0", "inngest-4", sequence="together", late=True) as world:
        await world.send("w-1")
        assert await world.judged(1) == [("match", None)]
        (run,) = candidates(world)
    assert world.bank.writes == MADE
    assert (run.status, run.output["transfer"]) == (RunStatus.COMPLETED, "tr_0001")

"""What calls were answered tells the judge which ids a run knew; of the answers it keeps the ids and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest

from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.judge.loop import JudgeLoop
from shadow.store import codec
from tests.integration.egress.world import Twins, World

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE
ANNA, BERT = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"
NEW = "0190d5f8-bbbb-7ccc-8ddd-1234567890ab"
PEOPLE = {"people": [{"id": ANNA, "name": "Anna", "email": "anna@x.test"}, {"id": BERT, "at": "2026-03-02T10:00:00Z"}]}


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        # one that was read
        (BERT, "mismatch"),
        # one that was not, in place of one that was
        (NEW, "mismatch"),
        (ANNA, "match"),
    ],
)
async def test_an_id_that_was_read_is_no_newborn(world: World, theirs: str, verdict: str) -> None:
    twins = await world.twins()
    world.books.answers = [(200, {"content-type": "application/json"}, orjson.dumps(PEOPLE))]
    for side, about in ((LEGACY, ANNA), (CANDIDATE, theirs)):
        await twins.call(side, "GET", "pay/v1/transfers/1")
        await twins.call(side, "POST", "pay/v1/refunds", json={"about": about})
        await twins.finish(side)
    assert await judged(world, twins) == verdict
    kept = await world.rows(
        "SELECT content FROM bodies JOIN effects ON effects.id = bodies.id AND part = 'evidence' AND NOT writes"
    )
    # of the target's answer, and of the same as it was replayed to the candidate
    assert [orjson.loads(codec.decode(content)) for (content,) in kept] == [
        {"body": {"people": [{"id": ANNA}, {"id": BERT}]}, "moments": [1772445600.0]}
    ] * 2


async def test_what_was_made_is_a_newborn(world: World) -> None:
    twins = await world.twins()
    for side, made in ((LEGACY, ANNA), (CANDIDATE, BERT)):
        await twins.call(side, "POST", "pay/v1/refunds", json={"about": made})
        await twins.finish(side)
    assert await judged(world, twins) == "match"


async def test_the_ids_in_headers_of_an_answer_are_kept_too(world: World) -> None:
    twins = await world.twins()
    headers = {"content-type": "application/json", "x-message-id": ANNA, "x-cost": "12"}
    world.books.answers = [(202, headers, b"")]
    await twins.call(LEGACY, "POST", "pay/v1/refunds", json={"to": "x"})
    await twins.finish(LEGACY)
    await twins.call(CANDIDATE, "POST", "pay/v1/refunds", json={"to": "x"})
    await twins.finish(CANDIDATE)
    assert await judged(world, twins) == "match"
    kept = await world.rows("SELECT content FROM bodies JOIN effects ON effects.id = bodies.id AND part = 'evidence'")
    assert {"body": None, "headers": {"x-message-id": ANNA}} in [orjson.loads(codec.decode(c)) for (c,) in kept]


async def judged(world: World, twins: Twins) -> str:
    empty = codec.encode_evidence(b"{}", codec.UNTAGGED)
    bodies: list[tuple[UUID, str, bytes]] = [(twins.event, "evidence", empty)]
    bodies += [(twins.run(side), "output", empty) for side in Side]
    async with world.database.direct() as connection:
        await evidence.keep(connection, bodies)
    judge = JudgeLoop(world.database, world.catalogue)
    later = datetime.now(UTC) + timedelta(hours=2)
    while (await judge.once(later)).judged == 0:
        later += timedelta(hours=1)
    ((verdict,),) = await world.rows("SELECT verdict FROM pairs WHERE id = %s", twins.pair)
    return str(verdict)

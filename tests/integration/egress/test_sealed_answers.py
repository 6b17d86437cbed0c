"""What the gateway keeps: evidence is redacted, answers are sealed, and calls still find their twins' answers."""

from __future__ import annotations

from datetime import timedelta

from shadow.catalogue.model import Side
from shadow.egress.recorded import RecordedBodies
from shadow.store import codec
from tests.integration.egress.world import World

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE
PERSON = "Marked.Person@x.test"
PAYOUT = {"requestId": PERSON, "email": PERSON, "token": "sk_live_MarkedSecret42"}


async def test_a_call_about_a_person_is_kept_without_the_person_and_answered_all_the_same(world: World) -> None:
    world.books.answers.append((201, {}, b'{"id":"tr_7","email":"Marked.Person@x.test"}'))
    twins = await world.twins()
    await twins.call(LEGACY, json=PAYOUT, headers={"idempotency-key": PERSON})
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, json=PAYOUT, headers={"idempotency-key": PERSON})
    assert answer.headers["x-shadow-gateway"] == "replay"
    assert answer.json() == {"id": "tr_7", "email": PERSON}  # what it is told is the truth
    assert len(world.books.writes) == 1
    shown = str(await world.rows("SELECT effects::text FROM effects"))
    for owner, part, content in await world.rows("SELECT id, part, content FROM bodies"):
        if part.startswith("answer"):
            assert codec.is_sealed(content), (owner, part)
        else:
            shown += codec.decode(content).decode()
    assert "marked" not in shown.lower()
    identities = await world.rows("SELECT DISTINCT identity, idempotency_key FROM effects")
    assert len(identities) == 1  # both sides' are the same
    assert identities[0][0].startswith("~email:")
    assert identities[0][0].endswith("@x.test")


async def test_the_digest_of_a_call_can_not_be_tried_out(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    other = await world.twins()
    await world.execute("UPDATE events SET tenant = 'shop' WHERE id = %s", other.event)
    await other.call(LEGACY, json={"requestId": "wd_1"})
    digests = await world.rows("SELECT DISTINCT digest FROM effects")
    assert len(digests) == 2


async def test_answers_of_a_forgotten_tenant_are_not_replayed(world: World) -> None:
    twins = await world.twins()
    tenant = (await world.rows("SELECT tenant FROM events WHERE id = %s", twins.event))[0][0]
    await twins.call(LEGACY, "POST", "pay/v1/refunds", json={"of": "tr_1"})  # a write without a stub
    await twins.finish(LEGACY)
    assert await world.database.vault.forget(tenant or "", lead=timedelta(milliseconds=10))
    answer = await twins.call(CANDIDATE, "POST", "pay/v1/refunds", json={"of": "tr_1"})
    assert answer.headers["x-shadow-gateway"] == "refused"
    assert len(world.books.writes) == 1


async def test_a_witness_is_told_what_calls_said_and_were_answered(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    ((effect,),) = await world.rows("SELECT id FROM effects")
    said, answered = await RecordedBodies(world.database)([effect])
    assert b"wd_1" in said
    assert answered == b'{"id":"tr_1"}'

"""Calls whose payload lies in the packet store: legacy gets them at once, the candidate once they are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.fanout.queue import resend
from shadow.fanout.resending import send_again
from shadow.intake.plan import planned
from shadow.intake.trigger_arrival import arrival, mapped, wire_key
from shadow.intake.trigger_calls import trigger_call
from shadow.model.ids import derived_id
from shadow.store.database import Work
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import CATALOGUE, SECRET, StageSet
from tests.integration.originals import originals

SUPER = "application/super+json"


async def stored(world: StageSet, body: bytes, kind: str, name: str = "trigger/pay-out/1-x/payload.json") -> str:
    """A packet as the SDK stores it; returns its path."""
    async with httpx.AsyncClient() as client:
        address = f"{world.trigger.url}/api/v2/packets/{name.replace('/', '%2F')}"
        answer = (await client.put(address, headers={"authorization": f"Bearer {SECRET}"})).json()
        await client.put(answer["presignedUrl"], content=body, headers={"content-type": kind})
    return str(answer["storagePath"])


async def call(world: StageSet, payload: Any, kind: str = "application/store") -> UUID:
    """A producer's call as its door leaves it before it is forwarded; legacy's workers will send it."""
    task = world.catalogue.tasks["pay-out"]
    body = orjson.dumps({"payload": payload, "options": {"payloadType": kind}})
    understood = trigger_call("pay-out", body, {})
    decision = decide(task.route, Phase.SHADOW)
    its = mapped(task, understood)
    intent = arrival(
        "calls",
        Origin.PRODUCER,
        task,
        understood,
        wire_key("calls", "trigger", "pay-out", understood, None),
        its,
        world.catalogue.tenant_of("calls", its.data),
        decision,
        planned(world.catalogue, "calls", "payout/approved", Origin.PRODUCER, decision),
        headers=(("content-type", "application/json"),),
        now=datetime.now(UTC),
        patience=timedelta(0),
    )
    return (await world.intake.accept([intent]))[0].event_id


async def data_of(world: StageSet, event: UUID) -> Any:
    return orjson.loads((await originals(world.database, "data"))[event, "data"])


async def done(world: StageSet) -> None:
    async def empty() -> bool:
        return await world.queued() == 0

    await until(empty)


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        (b'{"json":{"tenantId":"acme","n":1},"meta":{}}', SUPER, {"tenantId": "acme", "n": 1}),
        (b'{"tenantId":"acme"}', "application/json", {"tenantId": "acme"}),
    ],
)
async def test_both_sides_get_what_was_stored(world: StageSet, body: bytes, kind: str, data: Any) -> None:
    event = await call(world, await stored(world, body, kind))
    assert await world.rows("SELECT stage, state FROM dispatches WHERE side = 'candidate'") == [("map", "held")]
    async with world.delivering():
        await done(world)
    await world.trigger.settled()
    await world.inngest.settled(5)
    (legacy,) = world.trigger.runs()
    assert legacy.payload == data
    (run,) = world.inngest.runs()
    assert await data_of(world, event) == data
    assert run.event_id == await world.value("SELECT upstream_id FROM events WHERE id = %s", event)


async def test_the_pair_is_counted_for_the_tenant_that_the_payload_names(world: StageSet) -> None:
    event = await call(world, await stored(world, b'{"tenantId":"acme"}', "application/json"))
    async with world.delivering(Side.LEGACY):
        await until(lambda: bool(world.trigger.runs()))

        async def paired() -> bool:
            return bool(await world.value("SELECT count(*) FROM pairs"))

        await until(paired)
    assert await world.rows("SELECT tenant, opened FROM tallies") == [("", 1)]
    async with world.delivering(Side.CANDIDATE):
        await done(world)
    assert await world.rows("SELECT tenant, opened FROM tallies WHERE opened <> 0") == [("acme", 1)]
    assert await world.rows("SELECT tenant FROM pairs UNION SELECT tenant FROM events") == [("acme",)]
    assert await world.value("SELECT id FROM pairs") == derived_id(event, "pay-out")


async def test_what_cannot_be_read_is_a_dead_letter_that_can_be_sent_again(world: StageSet) -> None:
    path = "trigger/pay-out/1-x/payload.json"
    event = await call(world, path)
    async with world.delivering():

        async def dead() -> bool:
            return bool(await world.value("SELECT count(*) FROM dispatches WHERE state = 'dead'"))

        await until(dead)
        ((dispatch, error, problem),) = await world.rows(
            "SELECT dispatches.id, error, mapping_error FROM dispatches JOIN events ON events.id = event_id"
        )
        assert error == problem
        assert error.startswith("the offloaded payload could not be read: HTTP 404")
        assert world.inngest.runs() == []
        assert await stored(world, b'{"n":1}', "application/json") == path
        assert await send_again(world.database, world.catalogue, [dispatch]) == ([dispatch], {})
        await done(world)
    await world.inngest.settled(5)
    assert len(world.inngest.runs()) == 1
    assert await data_of(world, event) == {"n": 1}
    assert await world.value("SELECT mapping_error FROM events WHERE id = %s", event) is None


async def test_a_store_that_does_not_answer_is_asked_again(world: StageSet) -> None:
    path = await stored(world, b'{"n":1}', "application/json")
    async with world.delivering(Side.LEGACY):
        event = await call(world, path)
        await until(lambda: bool(world.trigger.runs()))

        async def released() -> bool:
            return bool(await world.value("SELECT count(*) FROM dispatches WHERE state = 'due'"))

        await until(released)
    await world.trigger.stop()
    async with world.delivering(Side.CANDIDATE):

        async def tried() -> bool:
            return bool(await world.value("SELECT count(*) FROM dispatches WHERE attempts > 1 AND state = 'due'"))

        await until(tried)
        assert "could not be read" in str(await world.value("SELECT error FROM dispatches"))
    assert await data_of(world, event) == {}


def refusing(world: StageSet) -> ResolvedCatalogue:
    """The stage's catalogue, but the payout must have an amount."""
    text = CATALOGUE.format(trigger=world.trigger.url, inngest="http://i", app="http://a", secret=SECRET)
    event = "    event: payout/approved\n    sources: [calls]\n    legacy: {platform: trigger}\n"
    assert event in text
    needs = event + "    candidate: {platform: inngest, data: {amount: $.amount}}\n"
    return parse(text.replace(event + "    candidate: {platform: inngest}\n", needs), "refusing.yaml", {})


async def test_a_call_that_could_not_be_mapped_is_mapped_anew_and_never_sent_empty(world: StageSet) -> None:
    strict = refusing(world)
    lenient, world.catalogue = world.catalogue, strict
    event = await call(world, {"tenantId": "acme", "total": 5}, "application/json")
    world.catalogue = lenient
    async with world.delivering(Side.LEGACY):
        await until(lambda: bool(world.trigger.runs()))

        async def taken() -> bool:
            return bool(await world.value("SELECT count(*) FROM runs WHERE state = 'sent'"))

        await until(taken)
    ((dispatch, stage, state),) = await world.rows("SELECT id, stage, state FROM dispatches")
    assert (stage, state) == ("deliver", "dead")
    async with world.database.connection(Work.CONTROL) as conn:
        assert await resend(conn, world.catalogue, [dispatch]) == []
    sent, failed = await send_again(world.database, strict, [dispatch])
    assert sent == []
    assert "amount" in failed[dispatch]
    assert "amount" in str(await world.value("SELECT mapping_error FROM events"))
    assert await world.rows("SELECT state, attempts FROM dispatches") == [("dead", 1)]
    assert await send_again(world.database, lenient, [dispatch]) == ([dispatch], {})
    assert await world.rows("SELECT mapping_error, tenant FROM events") == [(None, "acme")]
    assert await data_of(world, event) == {"tenantId": "acme", "total": 5}
    async with world.delivering(Side.CANDIDATE):
        await done(world)
    await world.inngest.settled(5)
    assert len(world.inngest.runs()) == 1


async def test_mapped_anew_before_legacy_has_it_the_call_goes_on_being_held(world: StageSet) -> None:
    strict = refusing(world)
    lenient, world.catalogue = world.catalogue, strict
    await call(world, {"total": 5}, "application/json")
    (dispatch,) = (await world.rows("SELECT id FROM dispatches WHERE side = 'candidate'"))[0]
    await send_again(world.database, lenient, [dispatch])
    assert await world.rows("SELECT state FROM dispatches WHERE side = 'candidate'") == [("held",)]


async def test_legacys_own_dead_letter_of_such_a_call_can_still_be_sent_again(world: StageSet) -> None:
    world.catalogue, lenient = refusing(world), world.catalogue
    await call(world, {"total": 5}, "application/json")
    (dispatch,) = (await world.rows("SELECT id FROM dispatches WHERE side = 'legacy'"))[0]
    await world.rows("UPDATE dispatches SET state = 'dead' WHERE id = %s RETURNING id", dispatch)
    assert await send_again(world.database, lenient, [dispatch]) == ([dispatch], {})

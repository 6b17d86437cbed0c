"""A webhook whose mapping failed is kept, and becomes an event once the catalogue is mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Origin
from shadow.cutover import moves
from shadow.cutover.decision import Phase
from shadow.cutover.moves import write_move
from shadow.fanout.resending import send_again
from shadow.intake import webhook
from shadow.intake.intake import Intake
from shadow.intake.plan import planned
from shadow.model.ids import Seed
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.integration.containment.declared import declared
from tests.integration.originals import originals
from tests.unit.shadow.catalogues import TEXT, small

MENDED = small()
BROKEN = parse(TEXT.replace("data: {orderId: $.id}", "data: {orderId: $.identifier}"), "broken.yaml", {})
BODY = b'{"id": 4711}'
HEADERS = (("X-Shopify-Topic", "orders/create"), ("X-Shopify-Webhook-Id", "wh-1"), ("Content-Type", "application/json"))
FIELDS = {name.lower(): value for name, value in HEADERS}


@pytest.fixture
async def dead_letter(database: Database) -> AsyncIterator[UUID]:
    """The id of the dead letter of a delivery that the broken catalogue could not map."""
    intake = Intake(database)
    await intake.start()
    document = webhook.document(BODY, "application/json")
    delivery = webhook.delivery("shopify", BROKEN.webhook("shopify"), BODY, document, HEADERS, FIELDS)
    assert isinstance(delivery.read, webhook.Unmapped)
    unmapped = webhook.arrival(delivery, planned(BROKEN, "shopify", "", Origin.PRODUCER, None), None)
    await intake.accept([unmapped])
    await intake.stop()
    ((dispatch,),) = await rows(database, "SELECT id FROM dispatches WHERE stage = 'map' AND state = 'dead'")
    yield dispatch


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        return await (await connection.execute(query)).fetchall()


async def test_with_the_same_catalogue_it_stays_a_dead_letter_and_says_why(
    database: Database, dead_letter: UUID
) -> None:
    done, failed = await send_again(database, BROKEN, [dead_letter])
    assert done == []
    assert "identifier" in failed[dead_letter]
    assert await rows(database, "SELECT state, attempts FROM dispatches") == [("dead", 1)]


async def test_with_the_mended_catalogue_it_is_an_event_on_its_way(
    database: Database, dead_letter: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LEAD", timedelta(0))
    await declared(database, MENDED)
    await move(database, MENDED, "sync-order", Phase.SHADOW, actor="ada", reason="dual run")
    done, failed = await send_again(database, MENDED, [dead_letter])
    assert (done, failed) == ([dead_letter], {})
    ((name, phase, authority, error, delivery_id, upstream_id),) = await rows(
        database, "SELECT name, phase, authority, mapping_error, delivery_id, upstream_id FROM events"
    )
    assert (name, phase, authority, error) == ("shopify/order.created", "shadow", "legacy", None)
    assert delivery_id == "shopify:wh-1"
    assert await rows(database, "SELECT side, stage, task, state FROM dispatches ORDER BY side, task") == [
        ("candidate", "deliver", None, "due"),
        ("legacy", "deliver", "credit-creator", "due"),
        ("legacy", "deliver", "sync-order", "due"),
    ]
    ((header, position),) = await rows(database, "SELECT seed, position FROM dispatches WHERE side = 'candidate'")
    seed = Seed.parse(header)
    assert seed is not None
    assert seed.ulid(position) == upstream_id


async def test_its_data_is_what_the_mended_mapping_gives(database: Database, dead_letter: UUID) -> None:
    await send_again(database, MENDED, [dead_letter])
    (content,) = (await originals(database, "data")).values()
    assert orjson.loads(content) == {"orderId": 4711}


async def test_sent_again_twice_it_is_sent_once(database: Database, dead_letter: UUID) -> None:
    await send_again(database, MENDED, [dead_letter])
    done, failed = await send_again(database, MENDED, [dead_letter])
    assert done == []
    assert "no dead letter" in failed[dead_letter]
    assert len(await rows(database, "SELECT id FROM dispatches")) == 2


@pytest.mark.parametrize(
    ("phase", "authority"), [(Phase.SHADOW, "legacy"), (Phase.LIVE, "legacy"), (Phase.RETIRED, "candidate")]
)
async def test_what_was_passed_on_to_legacys_app_is_not_run_a_second_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, phase: Phase, authority: str
) -> None:
    monkeypatch.setattr(moves, "LEAD", timedelta(0))
    broken = parse(TEXT.replace("data: {ref: $.ref}", "data: {ref: $.missing}"), "broken.yaml", {})
    fields = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": "d-1"}
    body = b'{"ref": "main"}'
    document = webhook.document(body, "application/json")
    delivery = webhook.delivery(
        "forwarding", broken.webhook("forwarding"), body, document, tuple(fields.items()), fields
    )
    assert isinstance(delivery.read, webhook.Unmapped)
    intake = Intake(database)
    await intake.start()
    await intake.accept([webhook.arrival(delivery, planned(broken, "forwarding", "", Origin.PRODUCER, None), None)])
    await intake.stop()
    async with database.connection(Work.CONTROL) as connection:
        await write_move(connection, MENDED.routes["deploy"], phase, actor="ada", reason="by hand")
    ((dead,),) = await rows(database, "SELECT id FROM dispatches WHERE state = 'dead'")
    done, failed = await send_again(database, MENDED, [dead])
    assert (done, failed) == ([dead], {})
    assert await rows(database, "SELECT authority FROM events") == [(authority,)]
    candidates = await rows(database, "SELECT 1 FROM dispatches WHERE side = 'candidate'")
    assert len(candidates) == (0 if phase is Phase.LIVE else 1)

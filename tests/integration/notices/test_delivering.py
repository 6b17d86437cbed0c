"""Notices reach the channels that want them: at least once, under one id, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import yaml
from standardwebhooks import Webhook

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.model.backoff import Backoff
from shadow.model.ids import new_id
from shadow.notices import sending
from shadow.notices.delivering import NoticeLoop
from shadow.notices.messages import Message, Told, trial, webhook
from shadow.notices.record import Notice, note
from shadow.notices.sending import Channel
from shadow.store.database import Database, Work
from tests.integration.fanout.serving import until
from tests.integration.notices.receiver import Receiver, receiving
from tests.unit.shadow.catalogues import TEXT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPENED = Notice("gate_opened", "The gate of pay opened", task="pay", facts={"pairs": 299}, once="gate:pay:1")
AT_ONCE = Backoff(base=timedelta(0))


class World:
    """A receiver, and channels that lead to it."""

    def __init__(self, database: Database, receiver: Receiver, url: str) -> None:
        self.database = database
        self.receiver = receiver
        self.url = url

    def catalogue(self, **channels: dict[str, Any]) -> ResolvedCatalogue:
        found = {
            name: {"kind": "webhook", "url": f"{self.url}/{name}/s3cr3t", "private": True, **settings}
            for name, settings in channels.items()
        }
        return parse(TEXT + yaml.safe_dump({"notifications": {"channels": found}}), "c.yaml", {})

    async def tell(self, *notices: Notice) -> None:
        async with self.database.connection(Work.CONTROL) as connection:
            for notice in notices:
                await note(connection, notice)

    async def deliveries(self) -> list[tuple[Any, ...]]:
        """(channel, attempts, sent, given up, error) of each."""
        async with self.database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(
                "SELECT channel, attempts, sent_at IS NOT NULL, sent_at IS NULL AND due_at IS NULL, error"
                " FROM notice_deliveries ORDER BY channel, id"
            )
            return await cursor.fetchall()

    async def execute(self, statement: str) -> None:
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(statement)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with receiving() as (receiver, url):
        yield World(database, receiver, url)


async def turned(world: World, catalogue: ResolvedCatalogue, *, backoff: Backoff = AT_ONCE, rounds: int = 1) -> None:
    """The loop's own steps, taken one by one."""
    loop = NoticeLoop(world.database, catalogue, backoff=backoff)
    await loop.fan_out()
    for _ in range(rounds):
        for name in catalogue.catalogue.notifications.channels:
            await loop.send_due(name)
    await loop.stop()


async def test_a_running_loop_tells_at_once(world: World) -> None:
    loop = NoticeLoop(world.database, world.catalogue(ops={"secret": SECRET}), poll_seconds=60)
    await loop.start()
    try:
        await world.tell(OPENED)
        await until(lambda: len(world.receiver.messages) == 1)
        await until(lambda: _sent(world))
    finally:
        await loop.stop()
    body, headers = world.receiver.bodies[0], world.receiver.headers[0]
    assert Webhook(SECRET).verify(body, headers)["title"] == "The gate of pay opened"
    assert world.receiver.paths == ["/ops/s3cr3t"]


async def _sent(world: World) -> bool:
    return await world.deliveries() == [("ops", 1, True, False, None)]


async def test_a_channel_hears_of_what_it_wants_only(world: World) -> None:
    catalogue = world.catalogue(
        all={"on": ["gate_opened", "moved", "leak"]},
        leaks={"on": ["leak"]},
        orders={"on": ["gate_opened", "moved"], "tasks": ["sync-order"]},
    )
    route = catalogue.tasks["sync-order"].route
    await world.tell(OPENED, Notice("leak", "A write got out"), Notice("moved", "Moved", route=route))
    await turned(world, catalogue)
    told = sorted((path.split("/")[1], message["kind"]) for path, message in _told(world))
    assert told == [
        ("all", "gate_opened"),
        ("all", "leak"),
        ("all", "moved"),
        ("leaks", "leak"),
        ("orders", "moved"),
    ]


def _told(world: World) -> list[tuple[str, dict[str, Any]]]:
    return list(zip(world.receiver.paths, world.receiver.messages, strict=True))


async def test_what_fails_is_sent_again_under_the_same_id(world: World) -> None:
    world.receiver.says(503)
    world.receiver.says(302, {"location": f"{world.url}/elsewhere"})
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={}), rounds=2)
    assert await world.deliveries() == [("ops", 2, False, False, "answered 302")]
    await turned(world, world.catalogue(ops={}), rounds=2)
    assert await world.deliveries() == [("ops", 3, True, False, None)]
    assert len({headers["webhook-id"] for headers in world.receiver.headers}) == 1
    assert world.receiver.paths == ["/ops/s3cr3t"] * 3  # nobody was followed elsewhere


async def test_a_receiver_that_asks_for_time_gets_it(world: World) -> None:
    world.receiver.says(429, {"retry-after": "120"})
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={}), rounds=3)
    assert len(world.receiver.messages) == 1
    async with world.database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute("SELECT due_at > now() + interval '100 seconds' FROM notice_deliveries")
        assert await cursor.fetchone() == (True,)


async def test_what_nobody_takes_for_hours_is_given_up_and_says_so(world: World) -> None:
    world.receiver.says(500)
    await world.tell(OPENED)
    await world.execute("UPDATE notices SET made_at = now() - interval '7 hours'")
    await turned(world, world.catalogue(ops={}), rounds=2)
    assert await world.deliveries() == [("ops", 1, False, True, "answered 500")]


async def test_slack_is_believed_when_it_refuses(world: World) -> None:
    world.receiver.says(404, body=b"no_service")
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={"kind": "slack"}), rounds=2)
    assert await world.deliveries() == [("ops", 1, False, True, "answered 404: no_service")]
    assert world.receiver.messages[0]["text"] == "The gate of pay opened"


async def test_a_webhook_that_answers_what_a_deployment_may_is_tried_again(world: World) -> None:
    world.receiver.says(404, body=b"no_service")
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={}))
    assert await world.deliveries() == [("ops", 1, False, False, "answered 404")]


async def test_a_channel_that_hangs_keeps_no_other_waiting(world: World) -> None:
    async with receiving() as (slow, elsewhere):
        slow.hangs = True
        loop = NoticeLoop(world.database, world.catalogue(ops={}, slow={"url": f"{elsewhere}/s3cr3t"}))
        await world.tell(OPENED)
        await loop.start()
        await until(lambda: len(slow.messages) == 1)
        await world.tell(Notice("leak", "A write got out"))
        await until(lambda: len(world.receiver.messages) == 2)
        await loop.stop()


async def test_a_receiver_that_does_not_answer_is_one_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadow.notices.sending.WITHIN", timedelta(seconds=0.1))
    world.receiver.hangs = True
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={}))
    assert await world.deliveries() == [("ops", 1, False, False, "no answer within 0.1s")]


async def test_two_processes_send_one_message(world: World) -> None:
    loops = [NoticeLoop(world.database, world.catalogue(ops={}), poll_seconds=0.05) for _ in range(3)]
    for loop in loops:
        await loop.start()
    await world.tell(OPENED, Notice("leak", "A write got out"))
    await until(lambda: _all_sent(world))
    for loop in loops:
        await loop.stop()
    assert sorted(message["kind"] for message in world.receiver.messages) == ["gate_opened", "leak"]


async def _all_sent(world: World) -> bool:
    return await world.deliveries() == [("ops", 1, True, False, None)] * 2


async def test_a_private_address_has_to_be_declared(world: World) -> None:
    loopback = world.url.replace("http://", "https://")
    await world.tell(OPENED)
    await turned(world, world.catalogue(ops={"url": loopback, "private": False}))
    ((_channel, _attempts, sent, _given_up, error),) = await world.deliveries()
    assert not sent
    assert error == "its host lies at an address that is not public (`private: true` allows that)"
    assert world.receiver.messages == []


async def test_a_channel_that_the_catalogue_has_lost_is_given_up_in_the_end(world: World) -> None:
    await world.tell(OPENED)
    await turned(world, world.catalogue(old={}), rounds=0)
    loop = NoticeLoop(world.database, world.catalogue(ops={}), poll_seconds=0.05)
    await loop.start()
    await world.execute("UPDATE notices SET made_at = now() - interval '7 hours'")
    await until(lambda: _given_up(world))
    await loop.stop()


async def _given_up(world: World) -> bool:
    return await world.deliveries() == [("old", 0, False, True, "the catalogue has no such channel any more")]


async def test_neither_logs_nor_rows_hold_a_channels_address(world: World) -> None:
    world.receiver.says(500, body=b"you asked for /ops/s3cr3t")
    await world.tell(OPENED)
    with structlog.testing.capture_logs() as logs:
        await turned(world, world.catalogue(ops={"secret": SECRET}))
        gone = world.catalogue(gone={"url": "http://127.0.0.1:9/s3cr3t"}).catalogue.notifications.channels["gone"]
        channel = Channel("gone", gone, None)

        result = await channel.send(trial(new_id(), "gone", datetime.now(UTC)))
        await channel.close()
    assert result.error == "can't be reached (ConnectError)"
    assert "s3cr3t" not in str(logs) + str(await world.deliveries()) + str(result)
    assert [entry["event"] for entry in logs] == ["notices.not_taken"]


async def test_a_notice_of_which_no_message_can_be_made_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(told: Told, *rest: Any) -> Message:
        if told.kind == "leak":
            raise ValueError("it can't be said")
        return webhook(told, *rest)

    monkeypatch.setattr(sending, "webhook", fails)
    await world.tell(Notice("leak", "A write got out"), OPENED)
    await turned(world, world.catalogue(ops={}))
    assert [message["kind"] for message in world.receiver.messages] == ["gate_opened"]
    assert sorted((delivery[2], delivery[4]) for delivery in await world.deliveries()) == [
        (False, "no message could be made of it (ValueError)"),
        (True, None),
    ]

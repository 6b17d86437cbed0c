"""What every adapter must do. A new platform gets a subclass with a `subject` fixture, and passes.

The subject is the platform behind an adapter, with switches for the ways in which it may fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import httpx
import orjson
import pytest

from benchmarks.chaos.line import Line, Manner
from shadow.catalogue import ResolvedTask
from shadow.model.ids import Seed, new_id
from shadow.outcomes.outcome import Status
from shadow.outcomes.reader import AskedToWait, Awaited, Reader
from shadow.platforms.adapter import Adapter, Delivered, Delivery, Failed, Result, Throttled
from shadow.platforms.client import TooLarge
from shadow.platforms.event import EventRow
from shadow.platforms.inngest_api import Refused
from shadow.platforms.trigger_api import Refused as TriggerRefused
from tests.unit.shadow.outcomes.reading import read_all


class Subject(Protocol):
    """One platform under test."""

    adapter: Adapter
    task: ResolvedTask
    """A task that runs there and returns `{"done": ...}`."""
    seeded: bool
    """Whether deliveries carry a seed instead of a task."""
    line: Line
    """Between the adapter and the platform."""
    tells: bool
    """Whether the body of an answer says what became of a delivery; else its status alone does."""

    def started(self) -> int:
        """How many runs there are, or requests that were taken."""

    async def settled(self) -> None:
        """Wait until they have ended."""

    def lose_answers(self, count: int) -> None:
        """Carry out the next deliveries without the answer arriving."""

    def throttle(self, seconds: int) -> None:
        """Answer the next delivery with 429."""

    def hang(self) -> None:
        """Answer nothing any more."""

    def reader(self) -> Reader | None:
        """What reads its outcomes; None when they are only reported."""


def event(name: str = "order/created", *, external_id: str | None = None) -> EventRow:
    """An event as it would have been stored a moment ago."""
    now = datetime.now(UTC)
    identifier = new_id()
    seed = Seed.new()
    return EventRow(
        id=identifier,
        source="store",
        door="inngest",
        origin="producer",
        name=name,
        tenant="acme",
        external_id=external_id,
        delivery_id=external_id or seed.ulid(0),
        upstream_id=seed.ulid(0),
        occurred_at=None,
        scheduled_at=None,
        accepted_at=now,
        route="order/created",
        phase="shadow",
        authority="legacy",
    )


class Conformance:
    """The suite."""

    def delivery(self, subject: Subject, number: int = 0, *, attempt: int = 1) -> Delivery:
        """The delivery of the `number`-th event; made again it is the same."""
        known: dict[int, Delivery] = subject.__dict__.setdefault("deliveries", {})
        if number not in known:
            seed: Seed = subject.__dict__.setdefault("seed", Seed.new())
            row = event(subject.task.event, external_id=f"order-{number}")
            known[number] = Delivery(
                dispatch_id=new_id(),
                event=row,
                data=orjson.dumps({"orderId": number, "tenantId": "acme"}),
                task=None if subject.seeded else subject.task,
                seed=seed if subject.seeded else None,
                position=number,
            )
        first = known[number]
        return Delivery(
            first.dispatch_id,
            first.event,
            first.data,
            first.task,
            first.request,
            first.headers,
            first.seed,
            first.position,
            first.idempotency_key,
            attempt,
        )

    async def deliver(self, subject: Subject, deliveries: Sequence[Delivery]) -> list[Result]:
        """Deliver as a lane does, and give the results in the order of the deliveries."""
        results: dict[UUID, Result] = {}
        for group in subject.adapter.groups(deliveries):
            assert len(group) <= subject.adapter.batch_size
            given = await subject.adapter.deliver(group)
            assert len(given) == len(group)
            results |= {delivery.dispatch_id: result for delivery, result in zip(group, given, strict=True)}
        return [results[delivery.dispatch_id] for delivery in deliveries]

    async def test_it_delivers(self, subject: Subject) -> None:
        (result,) = await self.deliver(subject, [self.delivery(subject)])
        assert isinstance(result, Delivered)
        assert subject.started() == 1

    async def test_it_delivers_many_together(self, subject: Subject) -> None:
        results = await self.deliver(subject, [self.delivery(subject, number) for number in range(7)])
        assert all(isinstance(result, Delivered) for result in results)
        assert subject.started() == 7

    async def test_every_delivery_is_in_exactly_one_group(self, subject: Subject) -> None:
        deliveries = [self.delivery(subject, number) for number in (4, 0, 1, 9, 2)]
        grouped = [delivery for group in subject.adapter.groups(deliveries) for delivery in group]
        assert sorted(item.dispatch_id for item in grouped) == sorted(item.dispatch_id for item in deliveries)

    async def test_the_same_delivery_twice_is_one_run(self, subject: Subject) -> None:
        for attempt in (1, 2, 3):
            (result,) = await self.deliver(subject, [self.delivery(subject, attempt=attempt)])
            assert isinstance(result, Delivered)
        assert subject.started() == 1

    async def test_an_answer_that_is_lost_is_a_failure_and_its_repetition_the_same_run(self, subject: Subject) -> None:
        subject.lose_answers(1)
        deliveries = [self.delivery(subject, number) for number in range(3)]
        results = await self.deliver(subject, deliveries)
        assert any(isinstance(result, Failed) for result in results)
        again = [self.delivery(subject, number, attempt=2) for number in range(3)]
        assert all(isinstance(result, Delivered) for result in await self.deliver(subject, again))
        assert subject.started() == 3

    async def test_a_rate_limit_says_how_long_to_wait(self, subject: Subject) -> None:
        subject.throttle(3)
        (result,) = await self.deliver(subject, [self.delivery(subject)])
        assert isinstance(result, Throttled)
        assert timedelta(seconds=1) <= result.retry_after <= timedelta(seconds=11)
        assert subject.started() == 0

    async def test_a_platform_that_hangs_is_given_up_in_time(self, subject: Subject) -> None:
        subject.hang()
        async with asyncio.timeout(8):
            (result,) = await self.deliver(subject, [self.delivery(subject)])
        assert isinstance(result, Failed)

    @pytest.mark.parametrize("manner", [manner for manner in Manner if manner is not Manner.PASS])
    async def test_no_answer_of_a_platform_loses_a_delivery_or_makes_it_twice(
        self, subject: Subject, manner: Manner
    ) -> None:
        """Whatever comes in the platform's place: it is tried again, and has started one run when it is over."""
        lies = manner in (Manner.LIE, Manner.PAGE, Manner.SHAPE)
        deliveries = [self.delivery(subject, number) for number in range(3)]
        subject.line.behave(manner)
        async with asyncio.timeout(10):
            results = await self.deliver(subject, deliveries)
        if lies and not subject.tells:
            return  # its status is its word
        expected = {Manner.SLOW: Delivered, Manner.BUSY: Throttled}.get(manner, Failed)
        assert all(isinstance(result, expected) for result in results), results
        if expected is Delivered:
            assert subject.started() == 3
            return
        subject.line.behave(Manner.PASS)
        again = [self.delivery(subject, number, attempt=2) for number in range(3)]
        assert all(isinstance(result, Delivered) for result in await self.deliver(subject, again))
        assert subject.started() == 3

    @pytest.mark.parametrize("manner", [manner for manner in Manner if manner is not Manner.PASS])
    async def test_no_answer_of_a_platform_ends_a_run(self, subject: Subject, manner: Manner) -> None:
        """Until it says how the run ended, nobody takes it for ended; afterwards it is read as ever."""
        reader = subject.reader()
        if reader is None:
            return  # reported at /shadow/runs
        (result,) = await self.deliver(subject, [delivery := self.delivery(subject)])
        assert isinstance(result, Delivered)
        await subject.settled()
        awaited = _awaited(subject, delivery, result)
        subject.line.behave(manner)
        try:
            async with asyncio.timeout(15):
                found = await read_all(reader, [awaited])
        except (httpx.HTTPError, TimeoutError, TooLarge, Refused, TriggerRefused, AskedToWait):
            found = []
        if not found or manner is not Manner.SLOW:
            assert found == []
            subject.line.behave(Manner.PASS)
            found = await read_all(reader, [awaited])
        (outcome,) = found
        assert outcome.status is Status.COMPLETED

    async def test_how_a_run_ended_can_be_read(self, subject: Subject) -> None:
        reader = subject.reader()
        if reader is None:
            return  # reported at /shadow/runs
        delivery = self.delivery(subject)
        (result,) = await self.deliver(subject, [delivery])
        assert isinstance(result, Delivered)
        await subject.settled()
        awaited = _awaited(subject, delivery, result)
        (outcome,) = await read_all(reader, [awaited])
        assert outcome.status is Status.COMPLETED
        assert outcome.asked_for == awaited.id
        assert b"done" in (outcome.output or b"")
        assert outcome.finished_at is not None


def _awaited(subject: Subject, delivery: Delivery, result: Delivered) -> Awaited:
    return Awaited(
        id=new_id(),
        task=subject.task.id,
        platform_run_id=result.platform_run_id,
        polls=0,
        event_id=delivery.event.delivery_id,
        event_name=delivery.event.name,
        upstream_id=result.upstream_id,
        accepted_at=delivery.event.accepted_at,
        starts_at=delivery.event.accepted_at,
    )

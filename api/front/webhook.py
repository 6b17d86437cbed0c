"""`POST /webhooks/{source}`: what providers send, signature checked over the raw bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import httpx
import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front.exchange import (
    AS_IT_IS,
    ENCODED,
    Awaited,
    BodyTooLarge,
    Exchange,
    Refused,
    Whole,
    fields,
    is_encoded,
    pairs,
    pass_back,
    problem,
    problem_of,
    read_body,
    respond,
    retry_headers,
)
from api.front.plans import Plans
from api.front.services import FrontServices
from shadow.catalogue import Ignored, MappedEvent
from shadow.catalogue.model import HttpPlatform, Origin, Side, WebhookSource
from shadow.fanout.handoff import Started, record_started
from shadow.fanout.spooled_handoffs import Handed
from shadow.intake import answers, signatures, webhook
from shadow.intake.arrival import Arrival, Receipt, Stage
from shadow.intake.group_commit import Overloaded
from shadow.intake.plan import PASSTHROUGH_PATIENCE
from shadow.model.ids import text_of
from shadow.observe.fail_points import reach
from shadow.platforms.client import Answer, TooLarge, carry
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_PREFIX = "/webhooks/"
_IGNORED = Whole(202, b'{"status":"ignored"}')
_MARGIN = timedelta(seconds=10)
"""By which the door's own forward ends before the workers would begin."""
_PAUSE = timedelta(seconds=5)
"""Before the workers try what the door could not hand over."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A webhook source with what each of its deliveries needs made ready."""

    name: str
    check: signatures.Check
    mapper: webhook.Mapper
    forward: HttpPlatform | None
    forward_name: str | None
    passthrough: bool
    by_body: bool
    """Whether a delivery is known again by its bytes."""


class WebhookDoor:
    """Verify, parse, map, commit, answer 202.

    A delivery that cannot be mapped is accepted and kept as a dead letter; one that the catalogue ignores is
    acknowledged, and stored only where it has to be forwarded.
    """

    def __init__(self, services: FrontServices, plans: Plans) -> None:
        self._services = services
        self._plans = plans
        self._passing: set[UUID] = set()
        """Spooled deliveries that are being passed on."""
        self._limit = services.catalogue.limits.body_bytes
        self._sources = {
            name: self._made_ready(name, settings)
            for name, settings in services.catalogue.sources.items()
            if isinstance(settings, WebhookSource)
        }

    def _made_ready(self, name: str, settings: WebhookSource) -> _Source:
        forward = self._services.catalogue.platforms[settings.forward] if settings.forward else None
        assert forward is None or isinstance(forward, HttpPlatform), "the catalogue's check sees to it"
        return _Source(
            name=name,
            check=signatures.verifier(settings.signature),
            mapper=self._services.catalogue.webhook(name),
            forward=forward,
            forward_name=settings.forward,
            passthrough=forward is not None and settings.answer == "passthrough",
            by_body=settings.dedupe == "body",
        )

    def take(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """Take a delivery that is passed on to nobody. False, and nothing is done, of any other."""
        source = self._sources.get(scope["path"][len(_PREFIX) :])
        if source is None or source.forward is not None or scope["method"] != "POST":
            return False
        try:
            delivery = self._read(source, scope, body)
        except Refused as refused:
            exchange.answer(refused.answer)
            return True
        if isinstance(delivery.read, Ignored):
            exchange.answer(_IGNORED)
            return True
        arrival = self._arrival(source, delivery)

        def settle(outcome: Sequence[Receipt] | Exception) -> None:
            try:
                if isinstance(outcome, psycopg.Error | Overloaded):
                    exchange.answer(_not_stored(source, outcome))
                    return
                if isinstance(outcome, Exception):
                    exchange.failed(outcome)  # raised here, it would hold this frame, which holds it
                    return
                receipt = outcome[0]
                if receipt.spooled is not None or arrival.mapping_error is not None:
                    self._kept(source, arrival, receipt)
                exchange.answer(_taken(receipt))
            except Exception as error:
                exchange.failed(error)

        try:
            self._services.intake.hand_in((arrival,), settle)
        except Overloaded as error:
            exchange.answer(_not_stored(source, error))
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self._sources.get(scope["path"][len(_PREFIX) :])
        if source is None:
            await problem(send, 404, "there is no webhook source of that name")
            return
        if scope["method"] != "POST":
            await problem(send, 405, "webhooks are sent by POST", ((b"allow", b"POST"),))
            return
        try:
            body = await read_body(scope, receive, self._limit)
        except BodyTooLarge:
            await respond(send, *self._too_large())
            return
        exchange = Awaited()
        if self.take(scope, body, exchange):
            await respond(send, *await exchange.whole())
            return
        try:
            delivery = self._read(source, scope, body)
        except Refused as refused:
            await respond(send, *refused.answer)
            return
        await self._take(source, delivery, send)

    def _too_large(self) -> Whole:
        return problem_of(413, f"the body is longer than {self._limit} bytes")

    def _read(self, source: _Source, scope: Scope, body: bytes) -> webhook.Delivery:
        """Verify, parse, map.

        Raises:
            Refused: it is not what the source's provider sends.
        """
        if len(body) > self._limit:
            raise Refused(self._too_large())
        named = fields(scope)
        try:
            source.check(named, body, self._services.clock())
        except signatures.SignatureRejected as error:
            log.warning("front.signature_rejected", source=source.name, reason=str(error))
            raise Refused(problem_of(401, f"the signature was not accepted: {error}")) from None
        try:
            document = webhook.document(body, named.get("content-type", ""))
        except webhook.BadBody as error:
            encoded = is_encoded(scope)
            raise Refused(problem_of(415, ENCODED, AS_IT_IS) if encoded else problem_of(400, str(error))) from None
        delivery = webhook.delivery(source.name, source.mapper, body, document, (), named, by_body=source.by_body)
        if source.forward is not None or not isinstance(delivery.read, MappedEvent):
            delivery = replace(delivery, headers=pairs(scope))  # kept, or passed on, as it came
        return delivery

    def _arrival(self, source: _Source, delivery: webhook.Delivery) -> Arrival:
        if isinstance(delivery.read, MappedEvent):
            read = delivery.read
            plan = self._plans.of(source.name, read.name, Origin.PRODUCER, read.tenant, read.data)
        else:
            plan = self._plans.without_task(source.name)
        return webhook.arrival(delivery, plan.dispatches, plan.decision, plan.ramp_key)

    def _kept(self, source: _Source, arrival: Arrival, receipt: Receipt) -> None:
        if arrival.mapping_error is not None:
            log.warning("front.unmapped", source=source.name, event_id=str(receipt.event_id))
        if receipt.spooled is not None and self._services.straight is not None:
            self._services.straight.events((arrival,), (receipt,))

    async def _take(self, source: _Source, delivery: webhook.Delivery, send: Send) -> None:
        arrival = self._arrival(source, delivery)
        try:
            receipt = (await self._services.intake.accept((arrival,)))[0]
        except (psycopg.Error, Overloaded) as error:
            await respond(send, *_not_stored(source, error))
            return
        self._kept(source, arrival, receipt)
        forwards = any(dispatch.stage is Stage.FORWARD for dispatch in arrival.dispatches)
        straight = self._services.straight
        if receipt.spooled is not None and straight is not None and forwards and not source.passthrough:
            straight.begin(arrival, receipt, partial(self._passed_on, source, delivery, arrival, receipt))
        if source.passthrough and forwards:
            if receipt.spooled is None:
                answer = await self._forwarded(source, delivery, receipt.event_id, receipt.duplicate)
            else:
                answer = await self._passed_on(source, delivery, arrival, receipt)
            if answer is not None:
                await respond(send, answer.status, answer.body, pass_back(answer.headers))
                return
        await respond(send, *(_IGNORED if isinstance(delivery.read, Ignored) else _taken(receipt)))

    async def _passed_on(
        self, source: _Source, delivery: webhook.Delivery, arrival: Arrival, receipt: Receipt
    ) -> Answer | None:
        """Pass a spooled delivery on. None when there is no answer, when it was passed on before, or when it may have
        been another side's before."""
        straight = self._services.straight
        if straight is None or source.forward is None or source.forward_name is None or not straight.may_go(arrival):
            return None
        event_id = receipt.event_id
        if event_id in self._passing or straight.passed_on(event_id):
            return None  # its provider sends it again
        self._passing.add(event_id)
        try:
            answer = await _send(self._services.http, source.forward, delivery)
            reach("webhook.forwarded")
            if answer is not None and 200 <= answer.status < 300:
                await straight.handed(Handed(event_id, Side.LEGACY, None, source.forward_name))
        finally:
            self._passing.discard(event_id)
        return answer

    async def _forwarded(
        self, source: _Source, delivery: webhook.Delivery, event_id: UUID, duplicate: bool
    ) -> Answer | None:
        """The app's own answer; None when there is none, or when the delivery was passed on before.

        An answer that is no success leaves the hand-over to the workers, and the provider, who sees that answer,
        may be the one that brings it again: whoever comes first.
        """
        assert source.forward is not None
        assert source.forward_name is not None
        database = self._services.database
        try:
            if duplicate:
                if self._services.straight is not None and self._services.straight.passed_on(event_id):
                    return None  # the event is written down, and that it was passed on is about to be
                async with database.connection(Work.ACCEPT) as connection:
                    if not await answers.take_over(connection, event_id, PASSTHROUGH_PATIENCE):
                        return None
            answer = await _send(self._services.http, source.forward, delivery)
            reach("webhook.forwarded")
            taken = answer is not None and 200 <= answer.status < 300
            async with database.connection(Work.ACCEPT) as connection:
                if taken:
                    started = Started(None, event_id, Side.LEGACY, None, source.forward_name)
                    await record_started(connection, self._services.catalogue, (started,))
                else:
                    await answers.hasten(connection, (event_id,), _PAUSE)
        except Exception:
            # The delivery is stored: whatever failed here, the provider need not send it again.
            log.exception("front.forward_not_recorded", source=source.name)
            return None
        return answer


def _taken(receipt: Receipt) -> Whole:
    duplicate = "true" if receipt.duplicate else "false"
    return Whole(202, f'{{"id":"{text_of(receipt.event)}","duplicate":{duplicate}}}'.encode())


def _not_stored(source: _Source, error: psycopg.Error | Overloaded) -> Whole:
    log.error("front.not_stored", door="webhook", source=source.name, error=type(error).__name__)
    return problem_of(503, "the delivery could not be stored; send it again", retry_headers(()))


FAILED = problem_of(500, "the delivery could not be taken; send it again")
"""What is answered to what nobody foresaw."""


async def _send(http: httpx.AsyncClient, platform: HttpPlatform, delivery: webhook.Delivery) -> Answer | None:
    """Pass a delivery on byte for byte, with its own headers and those of the platform; None without an answer."""
    added = [(name, value.get_secret_value()) for name, value in platform.headers.items()]
    replaced = {name.lower() for name, _value in added}
    headers = [(name, value) for name, value in delivery.headers if name not in replaced]
    within = min(platform.timeout, PASSTHROUGH_PATIENCE - _MARGIN)
    try:
        return await carry(http, "POST", platform.url, (*headers, *added), delivery.body, within=within)
    except (httpx.TransportError, TimeoutError, TooLarge) as error:
        log.warning("front.forward_failed", source=delivery.source, error=type(error).__name__)
        return None

"""`POST /e/{key}`: Inngest's event API, and everything else of Inngest's passed through to it.

The answer holds the very ids that Inngest will assign, before Inngest has seen the events: they follow from the
seed under which the delivery loop will send them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

import orjson
import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front.exchange import (
    AS_IT_IS,
    ENCODED,
    JSON_HEADERS,
    Awaited,
    BodyTooLarge,
    Exchange,
    RawHeaders,
    Refused,
    Whole,
    fields,
    is_encoded,
    problem,
    read_body,
    respond,
    retry_headers,
)
from api.front.keys import KeyRing
from api.front.passthrough import pass_through
from api.front.plans import Plan, Plans
from api.front.services import FrontServices
from api.front.workers import UnknownRun, Worker, Workers, told_by
from shadow.access.rates import Rates
from shadow.catalogue.model import InngestPlatform, InngestSource, Origin, Side
from shadow.causes.authority import Purpose
from shadow.intake import inngest_events
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Receipt, Stage
from shadow.intake.group_commit import Overloaded
from shadow.intake.inngest_events import EventRefused, InngestEvent
from shadow.intake.storable import storable_or_none
from shadow.model.ids import Seed

log = structlog.get_logger(__name__)

PASSED_PREFIXES = ("/fn", "/v0", "/v1", "/v2", "/invoke")
"""What else Inngest serves, at the root path."""
_EVENT_PREFIXES = ("/invoke",)
"""Those of them that its event API serves."""
_PREFIX = "/e/"
_SEED = b"x-inngest-event-id-seed"
_NOTED = frozenset((b"x-shadow-run", b"x-shadow-event", _SEED))
"""Headers that tell something: of whom the events are, or under which ids they come again."""
_MOST_NAMES = 10
_DOOR = Door.INNGEST
_PRODUCER = Origin.PRODUCER
_NONE: dict[bytes, bytes] = {}
_CORS: RawHeaders = ((b"access-control-allow-origin", b"*"), (b"vary", b"Origin"))
_HEADERS: RawHeaders = (*JSON_HEADERS, *_CORS)


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    origin: Origin
    forward_unknown: bool
    unknown: tuple[PlannedDispatch, ...]
    """The hand-over of an event that the catalogue does not name: to the candidate alone."""


class InngestDoor:
    """Check all of a request, commit it, answer with its ids."""

    def __init__(self, services: FrontServices, plans: Plans, workers: Workers) -> None:
        self._services = services
        self._plans = plans
        self._workers = workers
        self._limit = services.catalogue.limits.body_bytes
        self._rates = Rates.of(services.catalogue.limits.requests_per_second)
        self._platform = _platform(services)
        self._keys = KeyRing(
            (self._made_ready(name, settings), settings.keys)
            for name, settings in services.catalogue.sources.items()
            if isinstance(settings, InngestSource)
        )

    def _made_ready(self, name: str, settings: InngestSource) -> _Source:
        unknown: tuple[PlannedDispatch, ...] = ()
        if self._platform is not None:
            unknown = (PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, self._platform[0], None),)
        return _Source(name, settings.origin, settings.unknown == "forward", unknown)

    def take(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """Take what a producer sends. False, and nothing is done, of what a worker sends."""
        source = self._keys.holder(scope["path"][len(_PREFIX) :])
        if source is None or scope["method"] != "POST":
            return False
        noted = _noted(scope)
        if not _is_producers(source, noted):
            return False
        try:
            if self._rates is not None:
                self._within_rates(self._rates, scope)
            self._begin(source, scope, noted, body, exchange)
        except Refused as refused:
            exchange.answer(refused.answer)
        return True

    def _begin(
        self, source: _Source, scope: Scope, noted: Mapping[bytes, bytes], body: bytes, exchange: Exchange
    ) -> None:
        """Hand in what a producer sends. Raises Refused."""
        if len(body) > self._limit:
            raise Refused(self._too_large())
        try:
            arrivals = self._arrivals(source, None, inngest_events.parse(body), noted)
        except EventRefused as error:
            raise _refused(source, scope, error) from None
        if not arrivals:
            exchange.answer(_taken(()))
            return

        def settle(outcome: Sequence[Receipt] | Exception) -> None:
            try:
                if isinstance(outcome, psycopg.Error | Overloaded):
                    exchange.answer(_not_stored(source, outcome))
                    return
                if isinstance(outcome, Exception):
                    exchange.failed(outcome)  # raised here, it would hold this frame, which holds it
                    return
                for receipt in outcome:
                    if receipt.spooled is not None:
                        self._kept(arrivals, outcome)
                        break
                exchange.answer(_taken(outcome))
            except Exception as error:
                exchange.failed(error)

        try:
            self._services.intake.hand_in(arrivals, settle)
        except Overloaded as error:
            exchange.answer(_not_stored(source, error))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await _preflight(scope, send)
            return
        if scope["method"] != "POST":
            await respond(send, 405, b"", ((b"allow", b"POST"),))
            return
        source = self._keys.holder(scope["path"][len(_PREFIX) :])
        if source is None:
            await respond(send, 401, b'{"status":401,"message":"","error":"Event key not found"}', _HEADERS)
            return
        try:
            await respond(send, *await self._answered(source, scope, receive))
        except Refused as refused:
            await respond(send, *refused.answer)

    async def _answered(self, source: _Source, scope: Scope, receive: Receive) -> Whole:
        """Raises Refused."""
        if self._rates is not None:
            self._within_rates(self._rates, scope)
        try:
            body = await read_body(scope, receive, self._limit)
        except BodyTooLarge:
            return self._too_large()
        noted = _noted(scope)
        if _is_producers(source, noted):
            exchange = Awaited()
            self._begin(source, scope, noted, body, exchange)
            return await exchange.whole()
        try:
            events = inngest_events.parse(body)
            worker = await self._workers.of(source.origin, told_by(fields(scope)))
            arrivals = self._arrivals(source, worker, events, noted)
            receipts = await self._services.intake.accept(arrivals) if arrivals else ()
            self._kept(arrivals, receipts)
            if worker is not None and receipts:
                await self._workers.note(worker, receipts)
        except EventRefused as error:
            raise _refused(source, scope, error) from None
        except UnknownRun as error:
            log.warning("front.run_unknown", door="inngest", source=source.name)
            return _refusal(503, f"{error}; send the events again", retry_headers(_HEADERS))
        except (psycopg.Error, Overloaded) as error:
            return _not_stored(source, error)
        return _taken(receipts)

    def _within_rates(self, rates: Rates, scope: Scope) -> None:
        wait = rates.wait(scope["path"][len(_PREFIX) :], time.monotonic())
        if wait > 0:
            again = (b"retry-after", str(math.ceil(wait)).encode())
            error = "this event key sends more than limits.requests_per_second"
            raise Refused(_refusal(429, error, (*_HEADERS, again)))

    def _too_large(self) -> Whole:
        return _refusal(413, f"request is larger than {self._limit} bytes")

    def _kept(self, arrivals: Sequence[Arrival], receipts: Sequence[Receipt]) -> None:
        if self._services.straight is not None:
            self._services.straight.events(arrivals, receipts)

    async def pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one of the platform's own paths on to it."""
        if self._platform is None:
            await problem(send, 404, "the catalogue has no platform of kind inngest")
            return
        settings = self._platform[1]
        base = settings.event_url if scope["path"].startswith(_EVENT_PREFIXES) else settings.api_url
        await pass_through(self._services.http, base, scope, receive, send, _unreachable)

    def _arrivals(
        self, source: _Source, worker: Worker | None, events: Sequence[InngestEvent], noted: Mapping[bytes, bytes]
    ) -> list[Arrival]:
        """Raises EventRefused for an event that the source may not bring."""
        seed = None
        if noted and (parsed := Seed.parse(noted.get(_SEED, b"").decode("latin-1"))) is not None:
            seed = parsed.header()
        now = self._services.clock()
        if len(events) == 1:
            return [self._arrival(source, worker, events[0], seed, 0, now)]
        return [self._arrival(source, worker, event, seed, index, now) for index, event in enumerate(events)]

    def _arrival(
        self, source: _Source, worker: Worker | None, event: InngestEvent, seed: str | None, index: int, now: datetime
    ) -> Arrival:
        tenant = storable_or_none(self._services.catalogue.tenant_of(source.name, event.fields))
        plan = self._plan(source, event, tenant) if worker is None else self._child(worker, source, event, tenant)
        dedupe, delivery_id = event.dedupe(source.name, seed, index), event.id
        if plan.descent is not None and plan.descent.purpose != Purpose.LIVE:
            # Of a run that was repeated: its ids must never stand for what the world shall see, here or on Inngest,
            # which would swallow that as a duplicate.
            delivery_id = None
            dedupe = dedupe and dedupe._replace(scope=f"{dedupe.scope}:{plan.descent.parent_run}")
        return Arrival(  # by place: by name it takes more than twice as long
            source.name,
            _DOOR,
            source.origin if worker is None else worker.origin,
            event.name,
            event.data,
            plan.dispatches,
            plan.decision,
            plan.descent,
            tenant,
            event.id,
            delivery_id,
            event.occurred_at,
            event.scheduled_at(now),
            dedupe,
            event.request,
            ramp_key=plan.ramp_key,
        )

    def _plan(self, source: _Source, event: InngestEvent, tenant: str | None) -> Plan:
        plan = self._plans.feeding(source.name, event.name, source.origin, tenant, event.fields)
        if plan is not None:
            return plan
        if source.forward_unknown:
            return Plan(None, source.unknown)
        raise EventRefused(self._unknown(source, event.name))

    def _child(self, worker: Worker, source: _Source, event: InngestEvent, tenant: str | None) -> Plan:
        plan = self._workers.plan(worker, source.name, event.name, tenant, event.fields)
        if self._workers.knows(event.name):
            return plan
        if source.forward_unknown and worker.side is Side.CANDIDATE:
            return replace(plan, dispatches=source.unknown)
        raise EventRefused(self._unknown(source, event.name))

    def _unknown(self, source: _Source, event_name: str) -> str:
        names = self._plans.events(source.name if source.origin is Origin.PRODUCER else None)
        nearest = get_close_matches(event_name, names, _MOST_NAMES) or names[:_MOST_NAMES]
        more = f" and {len(names) - len(nearest)} more" if len(names) > len(nearest) else ""
        known = ", ".join(nearest) + more if nearest else "none"
        return f"event {event_name!r} is not in the catalogue; events of this source: {known}"


def _platform(services: FrontServices) -> tuple[str, InngestPlatform] | None:
    """The candidate's Inngest."""
    for name, settings in services.catalogue.platforms.items():
        if isinstance(settings, InngestPlatform) and settings.side is Side.CANDIDATE:
            return name, settings
    return None


def _noted(scope: Scope) -> Mapping[bytes, bytes]:
    """The request's headers that tell something; of a repeated one the first."""
    noted: dict[bytes, bytes] = _NONE
    for name, value in scope["headers"]:
        if name in _NOTED:
            noted = {name: value, **noted}
    return noted


def _is_producers(source: _Source, noted: Mapping[bytes, bytes]) -> bool:
    """Whether it is no worker that sends this."""
    return source.origin is _PRODUCER and (not noted or noted.keys() == {_SEED})


def _taken(receipts: Sequence[Receipt]) -> Whole:
    # Upstream, too, answers a request without events with one empty id.
    if len(receipts) == 1:
        return Whole(200, b'{"ids":["%s"],"status":200}' % receipts[0].upstream_id.encode(), _HEADERS)
    ids = [receipt.upstream_id for receipt in receipts] or [""]
    return Whole(200, orjson.dumps({"ids": ids, "status": 200}), _HEADERS)


def _not_stored(source: _Source, error: psycopg.Error | Overloaded) -> Whole:
    log.error("front.not_stored", door="inngest", source=source.name, error=type(error).__name__)
    return _refusal(503, "events could not be stored; send them again", retry_headers(_HEADERS))


def _refused(source: _Source, scope: Scope, error: EventRefused) -> Refused:
    log.info("front.refused", door="inngest", source=source.name)
    if is_encoded(scope):
        return Refused(_refusal(415, ENCODED, (*_HEADERS, *AS_IT_IS)))
    return Refused(_refusal(400, str(error)))


def _refusal(status: int, error: str, headers: RawHeaders = _HEADERS) -> Whole:
    return Whole(status, orjson.dumps({"ids": [""], "status": status, "error": error}), headers)


FAILED = _refusal(500, "internal server error")
"""What is answered to what nobody foresaw."""


async def _unreachable(send: Send, error: str) -> None:
    body = {"status": 502, "error": f"inngest could not be reached: {error}", "data": None}
    await respond(send, 502, orjson.dumps(body), _HEADERS)


async def _preflight(scope: Scope, send: Send) -> None:
    """Any origin, method and header, for an hour (reference 1.1)."""
    headers = dict(scope["headers"])
    await respond(
        send,
        200,
        b"",
        (
            *_CORS,
            (b"access-control-allow-methods", headers.get(b"access-control-request-method", b"POST").upper()),
            (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"*")),
            (b"access-control-max-age", b"3600"),
        ),
    )

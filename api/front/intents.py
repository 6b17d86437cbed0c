"""Calls to Trigger.dev as intents: committed before they are forwarded, settled by the platform's answer.

1. The intent is stored: the event, a hand-over to legacy that the workers leave alone for a while, and one to the
   candidate that is held.
2. The call is forwarded.
3. An answer that accepts it goes to the producer at once, and is written down right after (`settlements.py`), which
   lets the candidate have the event. One that refuses it removes the intent first. Without an answer the intent stays,
   and the workers send it again under the same key; the client is told to come again only where its call would be
   recognised, or where nothing of it has been sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
import orjson
import psycopg
import structlog
from starlette.types import Scope, Send

from api.front import trigger_shape
from api.front.exchange import pass_back, respond, target
from api.front.intent import Beside, Intent, NotServed, ReadAnswer, TriggerTold, Wanted
from api.front.known_keys import Asked, KnownKeys, is_issued
from api.front.plans import Plan, Plans
from api.front.services import FrontServices
from api.front.settlements import Settlements
from api.front.trigger_source import CallingSource
from api.front.workers import Worker, Workers, unknown
from shadow.catalogue.model import Origin, Side, TriggerPlatform
from shadow.causes.parents import Told
from shadow.cutover.decision import Decision, Phase, decide
from shadow.intake import trigger_arrival
from shadow.intake.arrival import Arrival, State
from shadow.intake.group_commit import Overloaded
from shadow.intake.plan import planned
from shadow.intake.storable import storable_or_none
from shadow.intake.trigger_calls import TriggerCall
from shadow.observe.fail_points import reach
from shadow.platforms.client import Answer, carry

log = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=60)
"""How long workers leave an intent to the door, which waits less than that for the platform."""
_MARGIN = timedelta(seconds=10)
_SOON = timedelta(seconds=5)
"""When workers take over an intent that got no answer: the SDK itself tries again first."""
_TRIES = 3
_PAUSE = 0.2
"""Seconds between tries of the door itself."""
_AT_ONCE = 1024 * 1024
"""Bytes of bodies that are mapped on the event loop; more of them are in a thread."""
_AMBIGUOUS = 408
"""A refusal that does not say the call was not taken."""


class _Unsent(Exception):
    """Nothing of a call reached the platform, in any of its tries."""


class Intents:
    """Stores, forwards and settles calls."""

    def __init__(self, services: FrontServices, plans: Plans, workers: Workers) -> None:
        self._services = services
        self._plans = plans
        self._workers = workers
        self._keys = KnownKeys(services)
        self._settlements = Settlements(services, workers, self._keys)

    async def commit(
        self,
        source: CallingSource,
        wanted: Sequence[Wanted],
        headers: tuple[tuple[str, str], ...],
        told: TriggerTold,
        *,
        bridges: bool = False,
    ) -> list[Intent]:
        """Store what is asked for, all of it or nothing.

        Where some of it is the candidate's and the rest is not, what is issued rests until the rest has been forwarded.
        What was accepted before, and comes again, stays what it was: so only then it is known what can't be served.

        Args:
            told: what the request says of the run that makes it.
            bridges: the caller can answer for what only the candidate gets. If not, a producer's call is legacy's,
                which has been told of it before.

        Raises:
            NotServed: one of the tasks is the candidate's, and the call can't be answered for it.
            psycopg.Error, Overloaded: it could not be stored.
        """
        if sum(len(call.body) for _task, call, _key in wanted) <= _AT_ONCE:
            mapped = _mapped(wanted)
        else:
            mapped = await asyncio.to_thread(_mapped, wanted)
        workers = [await self._worker(source, call.parent, told) for _task, call, _key in wanted]
        asked = [
            Asked(source, task, call, key, its, worker, headers)
            for (task, call, key), its, worker in zip(wanted, mapped, workers, strict=True)
        ]
        arrivals = self._arrivals(asked, bridges=bridges)
        try:
            intents = await self._keys.accepted(asked, arrivals, partial(self._legacys, self._services.clock()))
        except (psycopg.Error, Overloaded) as error:
            intents = self._uncommitted(asked, arrivals, error)
        straight = self._services.straight
        if straight is not None and any(it.receipt.spooled and not straight.may_go(it.arrival) for it in intents):
            # Its key may stand for a run of the other side. It is stored, and known when it comes again.
            raise psycopg.OperationalError("the database is away, and the route was moved within the life of the key")
        unserved = next((intent for intent in intents if intent.is_issued and not _can_go(intent.call, bridges)), None)
        if unserved is not None:
            await self._settlements.dropped(intents)
            raise _not_served(unserved.call)
        return intents

    def _uncommitted(self, asked: Sequence[Asked], arrivals: Sequence[Arrival], error: Exception) -> list[Intent]:
        """What becomes of calls whose intents could not be committed, decided here and nowhere else: they are refused,
        and nothing is forwarded."""
        raise error

    def may_issue(self, source: CallingSource, tasks: Sequence[str] | None = None) -> list[str]:
        """Those of legacy's tasks that may be the candidate's now, for some key at least, if a producer starts them.

        Args:
            tasks: the only ones that matter.
        """
        decisions = self._services.routing.decisions
        return [
            name
            for name, task in source.tasks.items()
            if (tasks is None or name in tasks)
            and any(decision.authority is Side.CANDIDATE for decision in decisions(task.route))
        ]

    async def issued_tasks(
        self, source: CallingSource, parent: str | None, told: TriggerTold, tasks: Sequence[str] | None
    ) -> list[str]:
        """Those of legacy's tasks that may be the candidate's now, if the client starts them.

        Args:
            parent: the run that makes the call, as its options name it.
            tasks: the only ones that matter.

        Raises:
            psycopg.Error: the database is away.
        """
        worker = await self._worker(source, parent, told)
        if worker is None:
            return self.may_issue(source, tasks)
        return [
            name
            for name, task in source.tasks.items()
            if (tasks is None or name in tasks) and self._workers.may_bridge(worker, task.event)
        ]

    async def _worker(self, source: CallingSource, parent: str | None, told: TriggerTold) -> Worker | None:
        """The run that makes the call; None for a producer.

        The SDK says inside a task that it is there, also with the key that the app itself has.
        """
        run = told.run if told.run.run or not parent else Told(parent, told.run.task, told.run.event)
        if source.origin is Origin.PRODUCER and not run:
            return unknown(Side.LEGACY) if told.inside else None
        return await self._workers.of(Origin.LEGACY, run)

    def _arrivals(self, asked: Sequence[Asked], *, bridges: bool) -> list[Arrival]:
        """Raises NotServed, after the mapping and right before the arrivals are handed in."""
        now = self._services.clock()
        arrivals = []
        for one in asked:
            plan = self._plan(one)
            decision = plan.decision
            if decision is None or (plan.descent is not None and not plan.descent.sides):
                raise NotServed.withheld(one.call.task)
            if one.worker is None and not bridges and decision.authority is Side.CANDIDATE:
                arrivals.append(self._legacys(now, one))
            else:
                arrivals.append(self._arrival(one, decision, plan, now))
        issued = [is_issued(its) for its in arrivals]
        at_once = all(issued) and all(_can_go(one.call, bridges) for one in asked)
        if any(issued) and not at_once:
            arrivals = [_resting(its) if alone else its for its, alone in zip(arrivals, issued, strict=True)]
        return arrivals

    def _plan(self, one: Asked) -> Plan:
        name, event, tenant, data = one.source.name, one.task.event, self._tenant(one), one.mapped.data
        if one.worker is None:
            return self._plans.of(name, event, one.source.origin, tenant, data)
        return self._workers.plan(one.worker, name, event, tenant, data, one.task.id)

    def _tenant(self, one: Asked) -> str | None:
        return storable_or_none(self._services.catalogue.tenant_of(one.source.name, one.mapped.data))

    def _arrival(self, one: Asked, decision: Decision, plan: Plan, now: datetime) -> Arrival:
        return trigger_arrival.arrival(
            one.source.name,
            one.source.origin if one.worker is None else one.worker.origin,
            one.task,
            one.call,
            one.key,
            one.mapped,
            self._tenant(one),
            decision,
            plan.dispatches,
            descent=plan.descent,
            ramp_key=plan.ramp_key,
            headers=one.headers,
            now=now,
            patience=PATIENCE,
        )

    def _legacys(self, now: datetime, one: Asked) -> Arrival:
        """A producer's call as legacy's alone: Trigger.dev had been told of it before its task moved."""
        decision = decide(one.task.route, Phase.LEGACY)
        catalogue = self._services.catalogue
        plan = Plan(decision, planned(catalogue, one.source.name, one.task.event, one.source.origin, decision))
        return self._arrival(one, decision, plan, now)

    async def forward(
        self,
        platform: TriggerPlatform,
        scope: Scope,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        path: str | None = None,
    ) -> Answer:
        """Send the call on to the same path of the platform. Its answer comes uncompressed, to be read here too.

        Args:
            path: another one to send it to.

        Raises:
            httpx.TransportError, TimeoutError, TooLarge: there was no answer.
        """
        url = target(scope, platform.url) if path is None else platform.url.rstrip("/") + path
        sent = [(name, value) for name, value in headers if name != "accept-encoding"]
        sent.append(("accept-encoding", "identity"))
        within = min(platform.timeout, (PATIENCE - _MARGIN) / _TRIES)
        return await carry(self._services.http, scope["method"], url, sent, body, within=within)

    async def note_issued(self, intents: Sequence[Intent]) -> None:
        """`note`, of calls that are on disk and answered here.

        Raises:
            psycopg.Error: the database is away; the client may come again, since its call will be recognised.
        """
        if self._services.straight is not None:
            self._services.straight.events([it.arrival for it in intents], [it.receipt for it in intents])
        try:
            await self._settlements.note(intents)
        except psycopg.Error as error:
            if known_again(intents):
                raise
            log.error("front.not_noted", intents=len(intents), error=type(error).__name__)

    async def conclude(
        self,
        source: CallingSource,
        scope: Scope,
        send: Send,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        intents: Sequence[Intent],
        read: ReadAnswer,
        *,
        complete: bool = True,
        beside: Beside | None = None,
        ask: Callable[[], Awaitable[Answer]] | None = None,
    ) -> None:
        """Forward a call whose intents are stored, settle them, and answer with the platform's own answer.

        Args:
            complete: every run that the call asks for has an intent. The others have no key of ours.
            beside: what else the call asked for.
            ask: forwards it in another way than as it came.
        """
        issued = beside.issued if beside else ()
        everything = [*intents, *issued]
        # A client that cannot be recognised when it comes again (SDK 3 sends no request key) would start a second run:
        # the door tries in its place, where everything that it sends has a key.
        alone = complete and bool(intents) and not any(intent.key.dedupe for intent in intents)
        if ask is None:
            ask = partial(self.forward, source.platform, scope, headers, body)
        reach("trigger.intended")
        try:
            answer = await self._answer(ask, _TRIES if alone else 1)
            reach("trigger.forwarded")
        except Exception as error:
            unsent = isinstance(error, _Unsent)
            cause = type(error.__cause__ if unsent else error).__name__
            log.warning("front.forward_failed", source=source.name, error=cause, unsent=unsent)
            again = await self._unanswered(everything, unsent=unsent)
            await trigger_shape.unreachable(send, cause, again=again)
            return
        returned, text = pass_back(answer.headers), answer.body
        if 200 <= answer.status < 300:
            document = read_json(answer.body)
            taken = read(document, intents)
            if beside is None and all(intent.worker is None for intent in intents):
                self._settlements.later(source.platform_name, intents, taken)
            else:
                await self._settlements.settle(source.platform_name, intents, taken)
            if beside is not None:
                await self._settlements.release(issued)
                await beside.taken(document)
                text = orjson.dumps(beside.joined(document)) if document is not None else text
        elif answer.status >= 500 or answer.status == _AMBIGUOUS:
            again = await self._unanswered(everything, unsent=False)
            told = any(name.lower() == b"x-should-retry" for name, _value in returned)
            if not again:
                returned = [(name, value) for name, value in returned if name.lower() != b"x-should-retry"]
                returned.append((b"x-should-retry", b"false"))
            elif intents and not told:
                returned.append((b"x-should-retry", b"true"))
        else:
            log.info("front.refused_upstream", source=source.name, status=answer.status)
            await self._settlements.refused(everything)
        await respond(send, answer.status, text, returned)

    async def _answer(self, ask: Callable[[], Awaitable[Answer]], tries: int) -> Answer:
        """The platform's answer, asked for again under the same keys while there is none of use.

        Raises:
            _Unsent: no try got as far as a connection.
            httpx.TransportError, TimeoutError, TooLarge: there was no answer.
        """
        sent = False
        while True:
            tries -= 1
            try:
                answer = await ask()
            except httpx.TransportError as error:
                sent = sent or not isinstance(error, httpx.ConnectError)
                if tries <= 0:
                    if sent:
                        raise
                    raise _Unsent from error
            else:
                if answer.status < 500 or tries <= 0 or answer.fields.get("x-should-retry") == "false":
                    return answer
                sent = True
            await asyncio.sleep(_PAUSE)

    async def _unanswered(self, intents: Sequence[Intent], *, unsent: bool) -> bool:
        """Leave intents to the workers or to the client; never to both, unless they are recognised.

        Returns:
            whether the client may come again.
        """
        if not intents:
            return True  # nothing is stored: the call is the client's alone
        recognised = known_again(intents)
        if unsent and not recognised:
            return await self._settlements.refused(intents)
        try:
            await self._settlements.without_answer([intent for intent in intents if not intent.is_issued])
            if issued := [intent for intent in intents if intent.is_issued]:
                await self._settlements.release(issued)
        except psycopg.Error as error:
            # The workers come to them anyway, when the door's time is over.
            log.error("front.not_hastened", intents=len(intents), error=type(error).__name__)
        return recognised


def known_again(intents: Sequence[Intent]) -> bool:
    """Whether all of a call would be recognised if its client sent it again. If not, that would start second runs."""
    return all(intent.key.dedupe for intent in intents)


def _can_go(call: TriggerCall, bridges: bool) -> bool:
    """Whether a call may be the candidate's."""
    return bridges and not call.is_awaited


def _not_served(call: TriggerCall) -> NotServed:
    """Why it can't be."""
    return NotServed.awaited(call.task) if call.is_awaited else NotServed.announced_before(call.task)


def _resting(arrival: Arrival) -> Arrival:
    """What is issued, left alone until the rest of its call is forwarded."""
    return replace(
        arrival,
        dispatches=tuple(
            replace(dispatch, delay=max(dispatch.delay, PATIENCE)) if dispatch.state is State.DUE else dispatch
            for dispatch in arrival.dispatches
        ),
    )


def _mapped(wanted: Sequence[Wanted]) -> list[trigger_arrival.Mapped]:
    return [trigger_arrival.mapped(task, call) for task, call, _key in wanted]


def read_json(body: bytes) -> Any:
    """An answer's JSON; None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

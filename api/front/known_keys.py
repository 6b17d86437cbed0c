"""Calls under keys that stand for something already: accepted as what they mean now, on whichever side that is.

Who has authority may have changed since a key was first used. A call that comes again stays what it was: its run is
issued if the candidate has it, and Trigger.dev is asked for it if legacy has. Only a key that is free again, because
its run has failed (reference 6.2), starts another run, on the side that has authority now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import httpx
import structlog

from api.front.afterwards import about_key
from api.front.intent import Intent, Taken
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource
from api.front.workers import Worker
from shadow.catalogue import ResolvedTask
from shadow.catalogue.model import Side
from shadow.fanout.opening import open_pairs
from shadow.fanout.stored_events import load_events
from shadow.intake import answers, known_keys
from shadow.intake.arrival import Arrival, DedupeKey, Receipt
from shadow.intake.known_keys import UNSUCCESSFUL, UNSUCCESSFUL_THERE, Standing
from shadow.intake.trigger_arrival import Mapped, WireKey
from shadow.intake.trigger_calls import TriggerCall
from shadow.platforms.client import TooLarge
from shadow.platforms.trigger_api import Refused, TriggerApi
from shadow.store.database import Connection, Work

log = structlog.get_logger(__name__)

_LOOK_AGAIN_SECONDS = (0.05, 0.2, 0.5)
"""Pauses before the run that a key stands for is looked for once more: the process whose producer was answered with it
may be about to write it down."""
_ROUNDS = 3
"""How often a key is freed for one call: a call of somebody else's may take it in between, and fail at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One run that a call asks for, understood."""

    source: CallingSource
    task: ResolvedTask
    call: TriggerCall
    key: WireKey
    mapped: Mapped
    worker: Worker | None
    """The run that makes the call; None for a producer."""
    headers: tuple[tuple[str, str], ...]

    @property
    def has_own_key(self) -> bool:
        """Whether its caller chose the key."""
        return not self.key.ours and self.key.dedupe is not None


Legacys = Callable[[Asked], Arrival]
"""The call as legacy's alone."""


def authority_of(arrival: Arrival) -> Side | None:
    """The side whose run it will be."""
    if arrival.descent is not None:
        return arrival.descent.authority
    return arrival.decision.authority if arrival.decision is not None else None


def is_issued(arrival: Arrival) -> bool:
    """Whether its run will be the candidate's, and answered for here."""
    return authority_of(arrival) is Side.CANDIDATE


class KnownKeys:
    """Accepts calls, and says what they are."""

    def __init__(self, services: FrontServices) -> None:
        self._services = services

    async def accepted(self, asked: Sequence[Asked], arrivals: Sequence[Arrival], legacys: Legacys) -> list[Intent]:
        """Make the calls durable, all or nothing.

        Raises:
            psycopg.Error, Overloaded: it could not be stored.
        """
        return await self._accepted(asked, arrivals, legacys, _ROUNDS)

    async def link(self, connection: Connection, taken: Sequence[tuple[Intent, Taken]]) -> None:
        """Keep which runs stand for keys whose events are not kept."""
        for intent, told in taken:
            dedupe = intent.arrival.dedupe
            if told.cached and told.run is not None and dedupe is not None and not intent.key.ours:
                await known_keys.link(connection, dedupe, told.run)

    async def _linked(self, asked: Sequence[Asked], arrivals: Sequence[Arrival], legacys: Legacys) -> Sequence[Arrival]:
        """The arrivals; those under keys of runs that are Trigger.dev's, and of no event, are legacy's still."""
        keys: dict[int, DedupeKey] = {
            place: arrival.dedupe
            for place, (one, arrival) in enumerate(zip(asked, arrivals, strict=True))
            if is_issued(arrival) and one.has_own_key and arrival.dedupe is not None
        }
        if not keys:
            return arrivals
        async with self._services.database.connection(Work.ACCEPT) as connection:
            linked = await known_keys.linked(connection, list(keys.values()))
        if not linked:
            return arrivals
        changed = list(arrivals)
        for place, key in keys.items():
            run = linked.get((key.scope, key.key))
            if run is None:
                continue
            if await self._has_failed(asked[place], run):
                async with self._services.database.connection(Work.ACCEPT) as connection:
                    await known_keys.unlink(connection, key.scope, key.key)
            else:
                changed[place] = legacys(asked[place])
        return changed

    async def _accepted(
        self, asked: Sequence[Asked], arrivals: Sequence[Arrival], legacys: Legacys, rounds: int
    ) -> list[Intent]:
        for one, arrival in zip(asked, arrivals, strict=True):
            if is_issued(arrival) and one.has_own_key and arrival.dedupe is not None:
                # A producer is answered before it is written down which run its key stands for.
                await self._services.afterwards.of(about_key(arrival.dedupe))
        arrivals = await self._linked(asked, arrivals, legacys)
        receipts = await self._services.intake.accept(arrivals)
        intents = [
            Intent(one.task, one.call, one.key, arrival, receipt, one.worker, authority_of(arrival))
            for one, arrival, receipt in zip(asked, arrivals, receipts, strict=True)
        ]
        again = [place for place, receipt in enumerate(receipts) if receipt.duplicate]
        if not again:
            return intents
        found = await self._standings_by_now(asked, arrivals, receipts, again)
        free, gone = [], []
        for place in again:
            standing = found.get(receipts[place].event_id)
            one, arrival = asked[place], arrivals[place]
            if standing is None:
                # Its call was refused at this moment, and its key is free; or it was too old to be kept, and is not.
                if rounds > 0 and is_issued(arrival):
                    gone.append(place)
                continue
            if rounds > 0 and await self._is_free(one, arrival, standing):
                free.append(place)
                continue
            if standing.authority is Side.LEGACY and is_issued(arrival):
                arrival = legacys(one)  # should Trigger.dev free the key, its new run is its own
            intents[place] = replace(intents[place], arrival=arrival, authority=standing.authority)
        if free:
            await self._free([intents[place] for place in free])
        if once_more := [*free, *gone]:
            retaken = await self._accepted(
                [asked[place] for place in once_more], [arrivals[place] for place in once_more], legacys, rounds - 1
            )
            for place, intent in zip(once_more, retaken, strict=True):
                intents[place] = intent
        return intents

    async def _standings_by_now(
        self, asked: Sequence[Asked], arrivals: Sequence[Arrival], receipts: Sequence[Receipt], again: Sequence[int]
    ) -> dict[UUID, Standing]:
        """How the events of calls that came again stand, once the answers to the calls before are written down.

        Another process may be about to. Without the name of legacy's run, nobody could tell whether it has failed, and
        legacy would be asked for another where the candidate has authority by now.
        """
        found = await self._standings([(receipts[place].event_id, asked[place].task.id) for place in again])
        for pause in _LOOK_AGAIN_SECONDS:
            nameless = [
                place
                for place in again
                if asked[place].has_own_key
                and is_issued(arrivals[place])
                and (standing := found.get(receipts[place].event_id)) is not None
                and standing.authority is Side.LEGACY
                and standing.legacy_run is None
            ]
            if not nameless:
                break
            await asyncio.sleep(pause)
            for place in nameless:
                del found[receipts[place].event_id]
            found |= await self._standings([(receipts[place].event_id, asked[place].task.id) for place in nameless])
        return found

    async def _standings(self, asked: Sequence[tuple[UUID, str]]) -> dict[UUID, Standing]:
        async with self._services.database.connection(Work.CAUSES) as connection:
            found = await known_keys.standings(connection, asked)
        resting = [event for event, its in found.items() if its.authority is Side.CANDIDATE and not its.is_opened]
        if resting:
            for event in set(resting) - await self._kept(resting):
                del found[event]
        return found

    async def _kept(self, events: Sequence[UUID]) -> set[UUID]:
        """Those of the issued events that are there still, and stay. They may rest for another call, and would go with
        it if the platform refused that; but whoever is told of a run now relies on it."""
        async with self._services.database.connection(Work.ACCEPT) as connection:
            rested = await answers.release(connection, events)
            there = await load_events(connection, events)
            await open_pairs(connection, self._services.catalogue, [event for event in there if event.id in rested])
        return {event.id for event in there}

    async def _free(self, intents: Sequence[Intent]) -> None:
        async with self._services.database.connection(Work.ACCEPT) as connection:
            for intent in intents:
                if intent.arrival.dedupe is not None:
                    await answers.forget_key(connection, intent.receipt.event_id, intent.arrival.dedupe)

    async def _is_free(self, one: Asked, arrival: Arrival, standing: Standing) -> bool:
        """Whether the key's run has failed, so that the key stands for nothing any more.

        While legacy has authority over both, that is for Trigger.dev to say, which gets the call.
        """
        if not one.has_own_key:
            return False
        if standing.authority is Side.CANDIDATE:
            return standing.candidate_status in UNSUCCESSFUL
        if one.worker is not None or not is_issued(arrival) or standing.legacy_run is None:
            return False
        if standing.legacy_status is not None:
            return standing.legacy_status in UNSUCCESSFUL
        return await self._has_failed(one, standing.legacy_run)

    async def _has_failed(self, one: Asked, run: str) -> bool:
        """Whether a run of Trigger.dev is known to have failed."""
        try:
            read, _answer = await TriggerApi(one.source.platform, self._services.http).retrieve(run)
        except (Refused, httpx.HTTPError, TimeoutError, TooLarge) as error:
            log.info("front.run_not_read", platform=one.source.platform_name, error=type(error).__name__)
            return False
        return read.get("status") in UNSUCCESSFUL_THERE

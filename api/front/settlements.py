"""What the platform's answer to a call makes of its intents, written down.

A producer has its answer first: its intent is on disk, with the key under which the call went, so that whatever happens
before the answer is written down too is resolved by the workers, who send it again under that key and are told the same
run. What producers' calls leave to be written waits together and is written in rounds; workers get their answers
afterwards, since what their run goes on to do rests on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import psycopg
import structlog

from api.front.afterwards import about_key
from api.front.intent import Intent, Taken
from api.front.known_keys import KnownKeys
from api.front.services import FrontServices
from api.front.workers import Worker, Workers
from shadow.catalogue.model import Side
from shadow.fanout.handoff import Started, record_started
from shadow.fanout.spooled_handoffs import Handed, Refused, Tagged
from shadow.intake import answers, run_tags
from shadow.intake.answers import Accepted, Fate
from shadow.intake.arrival import Receipt
from shadow.model.ids import derived_id
from shadow.observe.fail_points import reach
from shadow.store.database import Connection, Work
from shadow.store.rounds import Rounds

log = structlog.get_logger(__name__)

_SOON = timedelta(seconds=5)
"""When workers take over an intent that got no answer: the SDK itself tries again first."""
_PAUSE = 0.02
"""Seconds between two rounds of producers' calls; the first of a quiet time is written at once."""

_AGAIN_SECONDS = (0.2, 1.0, 5.0)
"""Pauses before an answer to a producer is tried to be written down once more."""

_Told = tuple[Intent, Taken]


class Settlements:
    """Writes down what became of intents."""

    def __init__(self, services: FrontServices, workers: Workers, keys: KnownKeys) -> None:
        self._services = services
        self._straight = services.straight
        self._workers = workers
        self._keys = keys
        self._of_producers = Rounds(partial(self._write, Work.ACCEPT), pause=_PAUSE)
        self._of_workers = Rounds(partial(self._write, Work.CAUSES))

    def later(self, platform: str, intents: Sequence[Intent], taken: Sequence[Taken | None]) -> None:
        """`settle`, once the producer has been answered. Whoever names one of the runs meanwhile waits for it.

        Where too much waits already, nothing is written: the workers will find out.
        """
        if not intents:
            return
        if self._straight is not None and _is_spooled(intents):
            if not self._services.afterwards.begin(partial(self._spool_handed, platform, intents, taken)):
                log.error("front.answer_not_spooled", intents=len(intents), error="TooMuchWaits")
            return
        names = [told.run for told in taken if told is not None and told.run is not None]
        names += [about_key(intent.arrival.dedupe) for intent in intents if intent.arrival.dedupe is not None]
        size = sum(len(intent.call.body) + len(intent.arrival.data) for intent in intents)
        work = partial(self._settle_answered, platform, intents, taken)
        if not self._services.afterwards.begin(work, names, size):
            log.error("front.answer_not_recorded", intents=len(intents), error="TooMuchWaits")

    async def _settle_answered(self, platform: str, intents: Sequence[Intent], taken: Sequence[Taken | None]) -> None:
        """Tried again where the database is away for a moment, since nobody waits. All of it may be repeated."""
        reach("trigger.answered")
        for pause in _AGAIN_SECONDS:
            try:
                await self._settled(platform, intents, taken)
                return
            except psycopg.OperationalError as error:
                log.warning("front.answer_not_recorded_yet", intents=len(intents), error=type(error).__name__)
                await asyncio.sleep(pause)
        await self.settle(platform, intents, taken)

    async def settle(self, platform: str, intents: Sequence[Intent], taken: Sequence[Taken | None]) -> None:
        """Write down what the platform took; what it is silent about (None) is left to the workers.

        The producer has its run whatever happens here: a failure is logged, and the workers find out by sending the
        intent again under its key.
        """
        if self._straight is not None and _is_spooled(intents):
            await self._spool_handed(platform, intents, taken)
            return
        try:
            await self._settled(platform, intents, taken)
        except Exception:
            log.exception("front.answer_not_recorded", intents=len(intents))

    async def _spool_handed(self, platform: str, intents: Sequence[Intent], taken: Sequence[Taken | None]) -> None:
        """Of calls whose intents are spooled: what says so plainly. The workers find out the rest, under the key."""
        assert self._straight is not None
        for intent, told in zip(intents, taken, strict=True):
            if told is not None and told.run is not None and (intent.key.ours or not told.cached):
                mark = Handed(intent.receipt.event_id, Side.LEGACY, intent.task.id, platform, told.run)
                await self._straight.handed(mark)

    async def _settled(self, platform: str, intents: Sequence[Intent], taken: Sequence[Taken | None]) -> None:
        await self.without_answer([intent for intent, told in zip(intents, taken, strict=True) if told is None])
        named = [(intent, told) for intent, told in zip(intents, taken, strict=True) if told is not None]
        anew = await self._record(platform, named)
        if anew:
            await self._record(platform, await self._accepted_anew(anew))

    async def note(self, intents: Sequence[Intent]) -> None:
        """Keep calls that are not forwarded as effects of the run that made them, and their tags. The others are, once
        they are taken.

        Raises:
            psycopg.Error: the database is away.
        """
        if self._straight is not None and _is_spooled(intents) and all(intent.worker is None for intent in intents):
            for intent in intents:
                if intent.call.tags:
                    await self._straight.tagged(Tagged(intent.receipt.event_id, tuple(intent.call.tags)))
            return
        tagged = [(intent.receipt.event_id, intent.call.tags) for intent in intents if intent.call.tags]
        if tagged:
            async with self._services.database.connection(Work.ACCEPT) as connection:
                await run_tags.keep(connection, tagged)
        of: dict[Worker, list[Receipt]] = {}
        for intent in intents:
            if intent.worker is not None:
                of.setdefault(intent.worker, []).append(intent.receipt)
        for worker, receipts in of.items():
            await self._workers.note(worker, receipts)

    async def release(self, issued: Sequence[Intent]) -> None:
        """Let what was issued go, since the rest of its call has been taken or is the workers' now.

        It goes by itself when the door's time is over: a failure is logged.
        """
        if self._straight is not None and _is_spooled(issued):
            self._straight.events([intent.arrival for intent in issued], [intent.receipt for intent in issued])
        try:
            async with self._services.database.connection(Work.ACCEPT) as connection:
                await answers.release(connection, [intent.receipt.event_id for intent in issued])
            await self.note(issued)
        except psycopg.Error as error:
            log.error("front.not_released", intents=len(issued), error=type(error).__name__)

    async def refused(self, intents: Sequence[Intent]) -> bool:
        """Remove intents that the platform refused; those that an earlier call brought are not this call's.

        Returns:
            False when they could not be removed: the workers will send them.
        """
        try:
            await self.dropped(intents)
        except psycopg.Error as error:
            log.error("front.refusal_not_recorded", intents=len(intents), error=type(error).__name__)
            return False
        return True

    async def dropped(self, intents: Sequence[Intent]) -> None:
        """`refused`, or psycopg.Error. What was issued, and another call was answered with meanwhile, stays."""
        if self._straight is not None and _is_spooled(intents):
            await self._straight.refused(
                [Refused(intent.receipt.event_id, intent.arrival.dedupe) for intent in intents]
            )
            return
        fresh = [(intent.receipt.event_id, intent.arrival.dedupe) for intent in intents if not intent.receipt.duplicate]
        if fresh:
            runs = [
                derived_id(intent.receipt.event_id, intent.task.id, Side.CANDIDATE)
                for intent in intents
                if intent.is_issued
            ]
            async with self._services.database.connection(Work.ACCEPT) as connection:
                told = await answers.told_of(connection, [event for event, _dedupe in fresh], runs) if runs else set()
                await answers.drop(connection, [one for one in fresh if one[0] not in told])

    async def without_answer(self, intents: Sequence[Intent]) -> None:
        """Leave intents to the workers, soon; spooled ones they come to when the door's time is over."""
        if intents and not _is_spooled(intents):
            async with self._services.database.connection(Work.ACCEPT) as connection:
                await answers.hasten(connection, [intent.receipt.event_id for intent in intents], _SOON)

    async def _record(self, platform: str, taken: Sequence[_Told]) -> list[_Told]:
        """Returns those that are new events."""
        if not taken:
            return []
        rounds = self._of_producers if any(intent.worker is None for intent, _told in taken) else self._of_workers
        return await rounds.ask((platform, tuple(taken)))

    async def _write(self, work: Work, asked: Sequence[tuple[str, Sequence[_Told]]]) -> list[list[_Told]]:
        """What several calls have started, in as few transactions as there are platforms."""
        found: list[list[_Told]] = [[] for _ in asked]
        for platform, places in _apart(asked):
            together = [item for place in places for item in asked[place][1]]
            anew = {intent.receipt.event_id for intent, _told in await self._written(platform, together, work)}
            for place in places:
                found[place] = [item for item in asked[place][1] if item[0].receipt.event_id in anew]
        return found

    async def _written(self, platform: str, taken: Sequence[_Told], work: Work) -> list[_Told]:
        accepted = [
            Accepted(
                intent.receipt.event_id,
                intent.receipt.duplicate,
                intent.task.id,
                told.run,
                told.cached,
                intent.key.ours,
            )
            for intent, told in taken
        ]
        async with self._services.database.connection(work) as connection:
            if work is Work.ACCEPT:  # of calls that were answered
                await answers.without_waiting(connection)
            found = await answers.fates(connection, platform, accepted)
            by_fate = {fate: [item for item, its in zip(taken, found, strict=True) if its is fate] for fate in Fate}
            await self._started(connection, platform, by_fate[Fate.STARTED])
            await self._keys.link(connection, by_fate[Fate.LINKED])
        reach("trigger.settled")
        await self.refused([intent for intent, _told in by_fate[Fate.LINKED]])
        return by_fate[Fate.ANEW]

    async def _started(self, connection: Connection, platform: str, taken: Sequence[_Told]) -> None:
        if not taken:
            return
        started = [
            Started(None, intent.receipt.event_id, Side.LEGACY, intent.task.id, platform, told.run)
            for intent, told in taken
        ]
        said = {
            intent.receipt.event_id: intent.worker.told.run
            for intent, _told in taken
            if intent.worker is not None and intent.worker.told.run is not None
        }
        await record_started(connection, self._services.catalogue, started, said)
        unnamed = [
            (intent.receipt.event_id, intent.task.id, key)
            for intent, told in taken
            if told.run is None
            for key in intent.shown_keys
        ]
        await answers.alias_by_key(connection, platform, unnamed)

    async def _accepted_anew(self, taken: Sequence[_Told]) -> list[_Told]:
        """The same calls as events of their own; their keys stand for these from now on."""
        async with self._services.database.connection(Work.ACCEPT) as connection:
            for intent, _told in taken:
                if intent.arrival.dedupe is not None:
                    await answers.forget_key(connection, intent.receipt.event_id, intent.arrival.dedupe)
        receipts = await self._services.intake.accept([intent.arrival for intent, _told in taken])
        return [
            (replace(intent, receipt=receipt), told) for (intent, told), receipt in zip(taken, receipts, strict=True)
        ]


def _is_spooled(intents: Sequence[Intent]) -> bool:
    """Whether a call's intents are on the local disk alone: all of them are, or none."""
    return any(intent.receipt.spooled is not None for intent in intents)


def _apart(asked: Sequence[tuple[str, Sequence[_Told]]]) -> list[tuple[str, list[int]]]:
    """The places of what may be written together, and its platform, in the order of writing.

    Of two calls for one event, or that were answered with one run, the later is judged by what the earlier has left.
    """
    last: dict[object, int] = {}
    waves: list[dict[str, list[int]]] = []
    for place, (platform, taken) in enumerate(asked):
        marks: set[object] = {intent.receipt.event_id for intent, _told in taken}
        marks |= {(platform, told.run) for _intent, told in taken if told.run is not None}
        wave = max((last[mark] + 1 for mark in marks if mark in last), default=0)
        last.update(dict.fromkeys(marks, wave))
        if wave == len(waves):
            waves.append({})
        waves[wave].setdefault(platform, []).append(place)
    return [(platform, places) for wave in waves for platform, places in sorted(wave.items())]

"""While the database is away, the side with authority still gets what it is sent: the door hands it over itself.

It does so under the ids and keys under which the workers would. What became of it is spooled, so that they need not;
where that fails, or too much is under way already, they do, later, and the platform knows it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import psycopg
import structlog

from api.front.afterwards import Afterwards
from shadow.catalogue.model import Side
from shadow.cutover.decision import Decision
from shadow.fanout.spooled_handoffs import Handed, Refused, SpooledHandoffs, Tagged
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Receipt, Stage
from shadow.intake.spooling import authority_of, is_doors
from shadow.model.ids import Seed, new_id, time_of
from shadow.platforms.adapter import Adapter, Delivered, Delivery
from shadow.platforms.event import EventRow
from shadow.spool.spool import NotSpooled

log = structlog.get_logger(__name__)


class Straight:
    """Hands spooled events over, behind the back of whoever brought them."""

    def __init__(
        self,
        handoffs: SpooledHandoffs,
        adapters: Mapping[str, Adapter],
        afterwards: Afterwards,
        steady: Callable[[str, timedelta], bool] | None = None,
    ) -> None:
        """
        Args:
            steady: whether a route has stood as it does for so long.
        """
        self._handoffs = handoffs
        self._adapters = adapters
        self._afterwards = afterwards
        self._steady = steady

    def may_go(self, arrival: Arrival) -> bool:
        """Whether an event can't have been the other side's before, under the key that it comes with.

        A key may stand for a run of the time before the route was moved, and only the database knows.
        """
        if arrival.dedupe is None or arrival.decision is None or self._steady is None:
            return True
        return self._steady(arrival.decision.route, arrival.dedupe.lifetime)

    def passed_on(self, event_id: UUID) -> bool:
        """Whether a spooled webhook was taken by its app, as far as this machine knows."""
        return self._handoffs.passed_on(event_id)

    def begin(self, arrival: Arrival, receipt: Receipt, work: Callable[[], Awaitable[object]]) -> None:
        """Do that work for a spooled event, if it may go now."""

        async def done() -> None:
            await work()

        if self.may_go(arrival) and not self._afterwards.begin(done, size=len(arrival.data)):
            log.warning("front.left_to_the_workers", event_id=str(receipt.event_id))

    def events(self, arrivals: Sequence[Arrival], receipts: Sequence[Receipt]) -> None:
        """Hand those of the events to the candidate that are spooled and that it has authority over."""
        for arrival, receipt in zip(arrivals, receipts, strict=True):
            if receipt.spooled is None or receipt.duplicate:
                continue
            if arrival.door is Door.TRIGGER and arrival.scheduled_at is not None:
                continue  # an issued run's start is the workers' to wait for
            for dispatch in arrival.dispatches:
                if dispatch.stage is Stage.DELIVER and is_doors(arrival, dispatch):
                    self.begin(arrival, receipt, partial(self._deliver, arrival, receipt, dispatch))

    async def _deliver(self, arrival: Arrival, receipt: Receipt, dispatch: PlannedDispatch) -> None:
        adapter = self._adapters.get(dispatch.platform)
        if adapter is None or receipt.spooled is None:
            return
        delivery = Delivery(
            dispatch_id=new_id(),
            event=_row(arrival, receipt),
            data=arrival.data,
            request=arrival.request,
            headers=arrival.headers,
            seed=Seed.parse(receipt.spooled.seed),
            position=receipt.spooled.position or 0,
        )
        (result,) = await adapter.deliver([delivery])
        if isinstance(result, Delivered):
            await self.handed(
                Handed(
                    receipt.event_id,
                    dispatch.side,
                    dispatch.task,
                    dispatch.platform,
                    result.platform_run_id,
                    result.upstream_id,
                )
            )
        else:
            log.warning("front.not_handed", platform=dispatch.platform, result=type(result).__name__)

    async def refused(self, marks: Sequence[Refused]) -> None:
        """Keep that the platform refused the calls that these events stand for; failing that, the workers find out."""
        try:
            for mark in marks:
                await self._handoffs.refused(mark)
        except NotSpooled as error:
            log.error("front.refusal_not_spooled", error=str(error))

    async def tagged(self, mark: Tagged) -> None:
        """Keep the tags of an event's run.

        Raises:
            psycopg.OperationalError: they could not be kept.
        """
        try:
            await self._handoffs.tagged(mark)
        except NotSpooled as error:
            raise psycopg.OperationalError("the database is away, and tags could not be spooled") from error

    async def handed(self, mark: Handed) -> None:
        """Keep that a platform took an event; failing that, the workers find out."""
        try:
            await self._handoffs.handed(mark)
        except NotSpooled as error:
            log.error("front.handed_not_spooled", event_id=str(mark.event_id), error=str(error))


def _row(arrival: Arrival, receipt: Receipt) -> EventRow:
    """The event as it will be stored."""
    decision: Decision | None = arrival.decision
    descent = arrival.descent
    authority = authority_of(arrival)
    sides: Sequence[Side] | None = descent.sides if descent else None
    return EventRow(
        id=receipt.event_id,
        source=arrival.source,
        door=arrival.door.value,
        origin=arrival.origin.value,
        name=arrival.name,
        tenant=arrival.tenant,
        external_id=arrival.external_id,
        delivery_id=arrival.delivery_id or receipt.upstream_id,
        upstream_id=receipt.upstream_id,
        occurred_at=arrival.occurred_at,
        scheduled_at=arrival.scheduled_at,
        accepted_at=time_of(receipt.event_id),
        route=decision.route if decision else None,
        phase=decision.phase.value if decision else None,
        authority=authority.value if authority else None,
        purpose=descent.purpose if descent else "live",
        parent_run=descent.parent_run if descent else None,
        sides=None if sides is None else [side.value for side in sides],
        task=descent.task if descent else None,
        ramp_key=arrival.ramp_key,
        decided=decision.decided if decision else None,
    )

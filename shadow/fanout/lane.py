"""All that one side sends to one platform: claim, hold back, deliver, pass the results on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.breaker import Breaker, Circuit
from shadow.fanout.fate import fate_of, fate_of_cancellation, is_unhealthy, kind_of
from shadow.fanout.opening import tasks_of
from shadow.fanout.queue import Claimed, Dead, Dropped, Expired, Fate, Later, Queue
from shadow.fanout.tenant_rate import TenantRates
from shadow.fanout.wake import pause
from shadow.fanout.write_back import WriteBack
from shadow.intake.arrival import Stage
from shadow.intake.run_options import run_options
from shadow.model.backoff import Backoff
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.platforms.adapter import Adapter, Cancellation, CancelResult, Delivered, Failed, Result, Throttled

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""A notice may be lost: the queue is looked at this often anyway."""
_MOST_CLAIMED = 200
GATHER_SECONDS = 0.05
"""After a claim that brought something the next one waits that long: under load it then brings many, which costs
little more than bringing one."""
_LONGEST_WAIT = timedelta(days=365)
_MOST_RESERVED = 50_000


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a lane stands, for metrics and readiness."""

    platform: str
    circuit: Circuit
    in_flight: int
    """Requests on their way."""
    held_seconds: float
    """Until the platform may be asked again; 0 when now."""


class Lane:
    """Delivers one side's dispatches to one platform.

    Args:
        timeout: of one request to that platform.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        queue: Queue,
        adapter: Adapter,
        catalogue: ResolvedCatalogue,
        results: WriteBack,
        woken: asyncio.Event,
        *,
        timeout: timedelta,
        backoff: Backoff | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._adapter = adapter
        self._catalogue = catalogue
        self._results = results
        self._woken = woken
        self._side = catalogue.platforms[adapter.name].side.value
        self._lease_time = timeout * 2 + timedelta(seconds=10)
        self._backoff = backoff or Backoff()
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._chance = chance
        self._rates = TenantRates()
        self._reserved: dict[UUID, float] = {}
        self._paused_until = 0.0
        self._slots = asyncio.Semaphore(adapter.concurrency)
        self._groups: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def state(self) -> LaneState:
        now = self._clock()
        in_flight = min(len(self._groups), self._adapter.concurrency)
        return LaneState(self._adapter.name, self._breaker.circuit(now), in_flight, self._held(now))

    async def run(self) -> None:
        """Work until stopped, then until what is in flight has ended."""
        metrics.delivering(self._side, self._adapter.name)
        metrics.breaker(self._side, self._adapter.name, self.state.circuit.value)
        while True:
            self._woken.clear()
            if self._stopping:
                break
            held = self._held(self._clock())
            limit = self._limit()
            if held > 0 or limit <= 0:
                await pause(self._woken, min(held or POLL_SECONDS, POLL_SECONDS))
                continue
            try:
                claimed = await self._queue.claim(self._adapter.name, limit, self._lease_time)
                if claimed:
                    reach("fanout.claimed")
                self._begin(claimed)
            except psycopg.Error as error:
                log.warning("fanout.claim_failed", platform=self._adapter.name, error=type(error).__name__)
                await pause(self._woken, POLL_SECONDS)
                continue
            except Exception:
                # Whatever it is, the lane must live: what was claimed comes back when its lease ends.
                log.exception("fanout.claim_failed", platform=self._adapter.name)
                await pause(self._woken, POLL_SECONDS)
                continue
            if len(claimed) < limit:
                await self._rest(claimed)
        await asyncio.gather(*self._groups, return_exceptions=True)

    async def _rest(self, claimed: Sequence[Claimed]) -> None:
        """Wait for something to do."""
        again = asyncio.get_running_loop().time() + GATHER_SECONDS
        await pause(self._woken, POLL_SECONDS)
        early = again - asyncio.get_running_loop().time()
        if claimed and early > 0 and not self._stopping:
            await asyncio.sleep(early)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._woken.set()

    def _held(self, now: float) -> float:
        """Seconds for which nothing is sent: the platform asked for time, or the breaker is open."""
        return max(self._breaker.wait(now), self._paused_until - now, 0.0)

    def _limit(self) -> int:
        """How many dispatches to claim now."""
        free = self._adapter.concurrency - len(self._groups)
        if self._breaker.circuit(self._clock()) is not Circuit.CLOSED:
            return 1 if not self._groups else 0
        return min(_MOST_CLAIMED, max(free, 0) * self._adapter.batch_size)

    def _begin(self, claimed: Sequence[Claimed]) -> None:
        """Set out the deliveries; what can't or mustn't go now goes straight to its fate."""
        now = self._clock()
        fates: list[tuple[Claimed, Fate]] = []
        ready: dict[UUID, Claimed] = {}
        for item in claimed:
            if (fate := self._held_back(item, now)) is not None:
                fates.append((item, fate))
            elif item.stage is Stage.CANCEL:
                self._spawn(self._cancel(item))
            else:
                ready[item.id] = item
        if fates:
            self._results.add(fates)
        for group in self._adapter.groups([item.delivery for item in ready.values()]):
            self._spawn(self._deliver([ready[delivery.dispatch_id] for delivery in group], now))

    def _held_back(self, item: Claimed, now: float) -> Fate | None:
        """The fate of a dispatch that is not handed over now; None for one that is."""
        if item.task is not None and item.delivery.task is None:
            return Dead(f"the catalogue has no task {item.task!r}")
        if item.stage is Stage.CANCEL:
            if item.task is None:
                return Dead("a cancellation names no task")
            return Dropped(changed=True) if item.run_ended else None
        if item.event.is_issued and self._side == Side.CANDIDATE:
            fate = _of_its_time(item, datetime.now(UTC))
            if fate is not None:
                return fate
        rate = self._rate(item)
        if rate is None or item.event.tenant is None:
            return None
        at = self._reserved.pop(item.id, None)
        if at is None:
            at = self._rates.reserve((item.task or item.event.name, item.event.tenant), rate, now)
        if at <= now:
            return None
        if len(self._reserved) >= _MOST_RESERVED:
            self._reserved = {known: moment for known, moment in self._reserved.items() if moment > now}
        self._reserved[item.id] = at
        return Later(timedelta(seconds=at - now), counted=False)

    def _rate(self, item: Claimed) -> float | None:
        """Deliveries a second that the tenant may have: of all tasks that this one starts, the lowest."""
        if item.stage is not Stage.DELIVER:
            return None
        task = item.delivery.task
        tasks = [task] if task is not None else tasks_of(self._catalogue, item.event)
        return min((task.tenant_rate for task in tasks if task.tenant_rate is not None), default=None)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._groups.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        saturated = len(self._groups) >= self._adapter.concurrency
        self._groups.discard(task)
        if saturated or self._breaker.circuit(self._clock()) is not Circuit.CLOSED:
            self._woken.set()

    async def _deliver(self, group: Sequence[Claimed], claimed_at: float) -> None:
        async with self._slots:
            now = self._clock()
            if now > claimed_at + self._lease_time.total_seconds() / 2 or self._paused_until > now:
                # The lease might end under way, or the platform asked for time meanwhile.
                self._results.add([(item, Later(timedelta(0), counted=False)) for item in group])
                return
            self._breaker.begin(now)
            try:
                results = await self._adapter.deliver([item.delivery for item in group])
                reach("fanout.delivered")
                metrics.delivery_took(self._side, self._adapter.name, self._clock() - now)
            except Exception as error:
                log.exception("fanout.delivery_failed", platform=self._adapter.name)
                results = [Failed(f"{type(error).__name__} in the adapter")] * len(group)
            self._learn(results)
        for result in results:
            metrics.delivered(self._side, self._adapter.name, kind_of(result))
        self._results.add(
            [
                (item, fate_of(result, item.attempt, self._backoff, self._chance()))
                for item, result in zip(group, results, strict=True)
            ]
        )

    async def _cancel(self, item: Claimed) -> None:
        task = item.delivery.task
        assert task is not None, "checked when it was claimed"
        async with self._slots:
            self._breaker.begin(self._clock())
            try:
                result: CancelResult = await self._adapter.cancel(Cancellation(item.event, task, item.platform_run_id))
            except Exception as error:
                log.exception("fanout.cancellation_failed", platform=self._adapter.name)
                result = Failed(f"{type(error).__name__} in the adapter")
            self._learn([result])
        fate = fate_of_cancellation(result, item.attempt, self._backoff, self._chance())
        self._results.add([(item, fate)])

    def _learn(self, results: Sequence[Result | CancelResult]) -> None:
        """What the results say of the platform: its health, and when it wants to be asked again."""
        now = self._clock()
        before = self._breaker.circuit(now)
        said = [is_unhealthy(result) for result in results]
        if False in said:
            self._breaker.succeeded()
        elif True in said:
            self._breaker.failed(now)
        else:
            self._breaker.release()
        after = self._breaker.circuit(now)
        metrics.breaker(self._side, self._adapter.name, after.value)
        if after is not before:
            log.warning("fanout.circuit", platform=self._adapter.name, circuit=after.value)
        waits = [wait for result in results if (wait := _asked(result)) is not None]
        if waits:
            self._paused_until = max(self._paused_until, now + max(waits).total_seconds())


def _of_its_time(item: Claimed, now: datetime) -> Fate | None:
    """The fate of an issued run's hand-over that comes too early or too late; None of one that comes in time.

    What has been tried before may be there already, and is no more to be called back.
    """
    if item.stage is not Stage.DELIVER or item.attempt > 1:
        return None
    starts_at = item.event.starts_at
    if starts_at > now:
        return Later(min(starts_at - now, _LONGEST_WAIT), counted=False)
    request = item.delivery.request
    if request is None or b'"ttl"' not in request:
        return None
    expires_at = run_options(request).expires_at(starts_at)
    return Expired() if expires_at is not None and expires_at <= now else None


def _asked(result: Result | CancelResult) -> timedelta | None:
    """For how long the platform wants no more requests."""
    match result:
        case Throttled() | Failed():
            return result.retry_after  # a 503 may ask for time as well as a 429
        case Delivered():
            return result.rest
        case _:
            return None

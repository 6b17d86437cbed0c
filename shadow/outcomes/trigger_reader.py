"""How runs ended on Trigger.dev: found in the run list where many are awaited, read one by one for their output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.model.alias import key_alias
from shadow.model.json_text import write_json
from shadow.model.moments import moment
from shadow.observe import metrics
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.reader import MOST, AskedToWait, Awaited, Named, Permits
from shadow.outcomes.statuses import TRIGGER_DEV
from shadow.outcomes.trigger_children import TriggerChildren
from shadow.outcomes.unread import Listed, portioned
from shadow.platforms import packets
from shadow.platforms.client import Answer, TooLarge
from shadow.platforms.packet_store import NoStore
from shadow.platforms.throttle import quota, retry_after
from shadow.platforms.trigger_api import Json, Refused, TriggerApi

log = structlog.get_logger(__name__)

_FEW = 3
"""So many runs are read directly: the list would cost a request and save none."""
_AT_ONCE = 8
"""Requests in flight."""
_PAGES = 10
"""Pages of the list that are read of one stretch of time; as many as there are runs to find, where that is more: only
then would reading them one by one cost less."""
_STRETCH = timedelta(minutes=10)
"""Awaited runs that lie further apart are looked for separately."""
_REACH = timedelta(hours=1)
"""How long after its event's acceptance a run may have been created; one that came later is read directly."""
_SLACK = timedelta(minutes=1)
"""How far the platform's clock may differ from ours."""
_DIRECT_EVERY = 4
"""Every so many polls a run is read directly: the list lags, and without replication it is empty."""
_SECONDS, _CROWDED_SECONDS = 5.0, 1.0
"""For so long a look reads runs; the second while more are due than one look takes."""
_PATIENCE = timedelta(seconds=10)
_PACKET_POLLS = 6
"""So many polls a finished run waits for its offloaded output; then it counts without one."""
_LISTED_TERMINAL = ("COMPLETED", "CANCELED", "FAILED", "CRASHED", "SYSTEM_FAILURE", "EXPIRED", "TIMED_OUT")


class TriggerReader:
    """Asks one Trigger.dev environment."""

    def __init__(
        self, platform: str, api: TriggerApi, catalogue: ResolvedCatalogue, children: TriggerChildren | None = None
    ) -> None:
        """
        Args:
            children: finds what a run has started, whenever one is read.
        """
        self._platform = platform
        self._api = api
        self._catalogue = catalogue
        self._tasks = catalogue.tasks
        self._side = catalogue.platforms[platform].side.value
        self._children = children

    async def read(
        self, awaited: Sequence[Awaited], permits: Permits, named: Named
    ) -> AsyncIterator[Sequence[RunOutcome]]:
        """See `Reader.read`."""
        crowded = len(awaited) >= MOST
        within = _CROWDED_SECONDS if crowded else _SECONDS
        nameless = {run.id: run for run in awaited if run.platform_run_id is None}
        known = {run.platform_run_id: run for run in awaited if run.platform_run_id is not None}
        direct = {
            name: run
            for name, run in sorted(known.items(), key=lambda item: item[1].starts_at)
            if len(known) <= _FEW or self._was_found_ended(name)
        }
        turns = [run for run in known.values() if _is_turn(run) and run.platform_run_id not in direct]
        # Of these the list may tell as well: it has to have its requests first.
        turns = sorted(turns, key=lambda run: run.starts_at)[: permits.room(within) // 2]
        direct |= {str(run.platform_run_id): run for run in turns}
        async for portion in self._read_each(list(direct.items()), permits):
            yield portion
        sought = {name: run for name, run in known.items() if name not in direct}
        ended: list[Listed] = []
        failed: Exception | None = None
        try:
            for stretch in _stretches([*sought.values(), *nameless.values()]):
                await self._find_ended(stretch, sought, nameless, permits, named, ended)
        except Exception as error:
            # Raised below: what the list has told until then counts all the same.
            failed = error
        is_throttled = isinstance(failed, AskedToWait)
        now = datetime.now(UTC)
        decided = portioned(ended, 0 if is_throttled else permits.room(within), now, crowded=crowded)
        metrics.outputs(self._side, self._platform, waiting=decided.waiting, unread=len(decided.told))
        if decided.told:
            # The list says nothing of outputs: what they returned is unknown, which is not the same as nothing.
            yield [
                _outcome(self._platform, run.name, run.shown, Status.COMPLETED, None, run.awaited)
                for run in decided.told
            ]
        if not is_throttled:
            async for portion in self._read_each([(run.name, run.awaited) for run in decided.read], permits):
                yield portion
        if failed is not None:
            raise failed

    async def _find_ended(
        self,
        stretch: Sequence[Awaited],
        sought: Mapping[str, Awaited],
        nameless: dict[UUID, Awaited],
        permits: Permits,
        named: Named,
        ended: list[Listed],
    ) -> None:
        """Add to `ended`, page by page, those awaited in that stretch of time that the list shows as ended."""
        tasks = sorted({self._tasks[run.task].legacy.task for run in stretch if run.task in self._tasks})
        if not tasks:
            return
        since = min(run.accepted_at for run in stretch) - _SLACK
        until = max(run.accepted_at for run in stretch) + _REACH
        after: str | None = None
        found: set[UUID] = set()
        for _page in range(max(_PAGES, len(stretch))):
            await permits.take()
            try:
                page = await self._api.list(
                    tasks=tasks, since=since, until=until, statuses=_LISTED_TERMINAL, after=after
                )
            except Refused as error:
                raise _wait(error.answer) or error from None
            permits.learn(quota(page.answer.fields))
            shown = {str(run["id"]): run for run in page.runs if run.get("id")}
            of_page = [(name, sought[name]) for name in shown if name in sought]
            if nameless:
                of_page += await self._by_key(page.runs, nameless, named)
            ended += [listed for name, run in of_page if (listed := self._listed(name, run, shown[name])) is not None]
            found.update(run.id for _name, run in of_page)
            after = page.after
            if after is None or all(run.id in found for run in stretch):
                break

    def _listed(self, name: str, awaited: Awaited, shown: Json) -> Listed | None:
        """A run as the list shows it; None where its task is in the catalogue no more."""
        task = self._tasks.get(awaited.task)
        if task is None:
            return None
        status = TRIGGER_DEV.get(str(shown.get("status")))
        return Listed(name, awaited, shown, status, _ended_at(shown), task.rules.output, task.deadline)

    async def _by_key(
        self, runs: Sequence[Json], nameless: dict[UUID, Awaited], named: Named
    ) -> list[tuple[str, Awaited]]:
        """Runs of a producer's batch, whose answer named none: they are known by their keys."""
        keys: dict[str, str] = {}
        for run in runs:  # newest first: of two with one key the newer followed when the older had failed
            task = self._catalogue.task_of_legacy(self._platform, str(run.get("taskIdentifier")))
            if task is not None and run.get("idempotencyKey") and run.get("id"):
                keys[key_alias(task.id, str(run["idempotencyKey"]))] = str(run["id"])
        owners = await named(keys.keys()) if keys else {}
        return [(keys[alias], nameless.pop(owner)) for alias, owner in owners.items() if owner in nameless]

    async def _read_each(
        self, runs: Sequence[tuple[str, Awaited]], permits: Permits
    ) -> AsyncIterator[Sequence[RunOutcome]]:
        for start in range(0, len(runs), _AT_ONCE):
            portion = runs[start : start + _AT_ONCE]
            read = await asyncio.gather(
                *(self._retrieved(run_id, permits) for run_id, _awaited in portion), return_exceptions=True
            )
            told = {run_id: run for (run_id, _), run in zip(portion, read, strict=True) if isinstance(run, Mapping)}
            incomplete: set[str] = set()
            failed: Exception | None = None
            if self._children is not None:
                try:
                    incomplete = await self._children.of(told, permits)
                except Exception as error:
                    # Raised below: those without children have ended all the same.
                    failed = error
                    told = {run_id: run for run_id, run in told.items() if not self._children.named(run)}
            answers = [
                *await asyncio.gather(
                    *(
                        self._outcome(run_id, told[run_id], awaited, complete=run_id not in incomplete)
                        for run_id, awaited in portion
                        if run_id in told
                    ),
                    return_exceptions=True,
                ),
                *(answer for answer in read if isinstance(answer, BaseException)),
                *((failed,) if failed is not None else ()),
            ]
            yield [answer for answer in answers if isinstance(answer, RunOutcome)]
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    def _was_found_ended(self, name: str) -> bool:
        return self._children is not None and self._children.has_ended(name)

    async def _retrieved(self, run_id: str, permits: Permits) -> Json | None:
        """The run's record; None while it is not to be seen yet."""
        if self._children is not None and (run := self._children.ended(run_id)) is not None:
            return run
        await permits.take()
        try:
            run, answer = await self._api.retrieve(run_id)
        except Refused as error:
            if error.answer.status == 404:
                return None  # the replica lags (reference 3.1); or it is gone, and the deadline tells
            raise _wait(error.answer) or error from None
        permits.learn(quota(answer.fields))
        return run

    async def _outcome(self, run_id: str, run: Json, awaited: Awaited, *, complete: bool) -> RunOutcome | None:
        """How a run ended; None while it is under way.

        Args:
            complete: whether all its children are known.
        """
        status = TRIGGER_DEV.get(str(run.get("status")))
        if status is None or (not complete and awaited.polls < _PACKET_POLLS):
            return None
        output = None
        if status is Status.COMPLETED:
            try:
                output = await self._output(run)
            except (Refused, httpx.HTTPError, TimeoutError, TooLarge, ValueError) as error:
                # Of others the text may be a stranger's.
                why = str(error) if isinstance(error, NoStore) else None
                log.warning("outcomes.output_unread", platform=self._platform, error=type(error).__name__, why=why)
                if awaited.polls < _PACKET_POLLS:
                    return None
        return _outcome(self._platform, run_id, run, status, output, awaited)

    async def _output(self, run: Json) -> bytes:
        """What the run returned, as JSON: `null` for nothing.

        Raises:
            Refused, httpx.HTTPError, TimeoutError, TooLarge, ValueError: it lies elsewhere and can't be read.
        """
        if "output" in run:
            return write_json(run["output"])
        url = run.get("outputPresignedUrl")
        if not isinstance(url, str):
            return b"null"
        # Only inline values are decoded by the platform.
        return write_json(await packets.at(self._api, url))


def _is_turn(run: Awaited) -> bool:
    return run.polls % _DIRECT_EVERY == _DIRECT_EVERY - 1


def _stretches(runs: Sequence[Awaited]) -> list[list[Awaited]]:
    """Split by time, so that no list has to reach from one long ago to one of now."""
    ordered = sorted(runs, key=lambda run: run.accepted_at)
    if not ordered:
        return []
    stretches = [[ordered[0]]]
    for before, run in pairwise(ordered):
        if run.accepted_at - before.accepted_at > _STRETCH:
            stretches.append([])
        stretches[-1].append(run)
    return stretches


def _wait(answer: Answer) -> AskedToWait | None:
    if answer.status != 429:
        return None
    return AskedToWait(retry_after(answer.fields, datetime.now(UTC)) or _PATIENCE)


def _outcome(
    platform: str, run_id: str, run: Json, status: Status, output: bytes | None, awaited: Awaited
) -> RunOutcome:
    error = run.get("error")
    error = error if isinstance(error, dict) else {}
    return RunOutcome(
        platform=platform,
        platform_run_id=run_id,
        status=status,
        learned_by=LearnedBy.POLL,
        asked_for=awaited.id,
        task=awaited.task,
        event_id=awaited.event_id,
        event_name=awaited.event_name,
        output=output,
        error_name=_text(error.get("name")),
        error_message=_text(error.get("message")),
        attempts=run["attemptCount"] if isinstance(run.get("attemptCount"), int) else None,
        version=_text(run.get("version")),
        cost_cents=_cents(run),
        started_at=moment(run.get("startedAt")),
        finished_at=_ended_at(run),
    )


def _ended_at(run: Json) -> datetime | None:
    # A run cancelled while it was delayed never shows finishedAt.
    return moment(run.get("finishedAt") or run.get("expiredAt") or run.get("updatedAt"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _cents(run: Json) -> float | None:
    parts = [run.get("costInCents"), run.get("baseCostInCents")]
    numbers = [part for part in parts if isinstance(part, int | float)]
    return float(sum(numbers)) if numbers else None

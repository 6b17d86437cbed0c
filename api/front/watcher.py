"""The watcher: an Inngest app of Shadow's own, whose one function hears of every run that has finished."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import inngest
import inngest.fast_api
import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.bounded import Bounded
from api.front.watcher_calls import UNKNOWN_SENDER, Finished, Signed, WatcherCalls
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform
from shadow.model.json_text import write_json
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.outcomes.inngest_outcome import outcome_of
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.statuses import INNGEST
from shadow.outcomes.straight import Begun, Identify, take_in
from shadow.store.database import Database, Work
from shadow.store.pace import Pace
from shadow.store.rounds import Rounds
from shadow.ticks.candidate_runs import take_ticks

log = structlog.get_logger(__name__)

PATH = "/shadow/inngest"
"""Where the app is served on the front listener; a second Inngest platform has `/shadow/inngest/NAME`."""
APP_ID = "shadow"
_TRIGGER = "inngest/function.finished"
_LONGEST_WAIT_SECONDS = 60
_PACE_SECONDS = 0.02
"""Between two rounds of outcomes. The platform's run of the watcher lasts as long, and no run of anybody's."""
_RETRIES = 20
"""The most that the platform allows: an outcome that could not be written is told again for hours."""


def watchers(
    app: FastAPI, catalogue: ResolvedCatalogue, database: Database, identify: Identify | None = None
) -> dict[str, ASGIApp]:
    """Serve a watcher for each Inngest platform, in an application that is mounted at `/shadow`.

    Args:
        app: is given what the SDK serves: registration, and every call that is anything but plain.
        identify: asks the platform which run of ours has that name.

    Returns:
        path -> what takes the calls (POST) there.
    """
    calls: dict[str, ASGIApp] = {}
    named = [
        (name, platform) for name, platform in catalogue.platforms.items() if isinstance(platform, InngestPlatform)
    ]
    for index, (name, platform) in enumerate(named):
        path = PATH if index == 0 else f"{PATH}/{name}"
        client = _client(platform)
        watch = Watch(name, platform, catalogue, database, identify)
        served = path.removeprefix("/shadow")
        front = platform.front_url.rstrip("/") if platform.front_url else None
        inngest.fast_api.serve(
            app,
            client,
            [watch.function(client)],
            serve_path=served,
            serve_origin=front,
            public_path=path if front is None else urlsplit(front).path + path,
            # Registering is done with our key and, unless it is declared, with the address that the request names: a
            # stranger could have every run of the environment told to himself.
            enable_unauthed_sync=front is not None,
        )
        signed = Signed.of(client.signing_key, client.signing_key_fallback) if client.is_production else None
        most = catalogue.limits.body_bytes
        calls[served] = WatcherCalls(watch.take, signed, Bounded(app, most), most)
    return calls


def _client(platform: InngestPlatform) -> inngest.Inngest:
    key = platform.signing_key.get_secret_value() if platform.signing_key else None
    return inngest.Inngest(
        app_id=APP_ID,
        api_base_url=platform.api_url,
        event_api_base_url=platform.event_url,
        event_key=platform.event_key.get_secret_value(),
        is_production=key is not None and not platform.dev,
        signing_key=key,
        logger=logging.getLogger(__name__),
    )


class Watch:
    """The function. The platform calls it once a run, cron runs included, but not for its own runs."""

    def __init__(
        self,
        name: str,
        platform: InngestPlatform,
        catalogue: ResolvedCatalogue,
        database: Database,
        identify: Identify | None,
    ) -> None:
        self._name = name
        self._side = platform.side
        self._catalogue = catalogue
        self._database = database
        self._identify = identify
        self._outcomes = Rounds(self._record)
        self._pace = Pace(_PACE_SECONDS)

    def function(self, client: inngest.Inngest) -> inngest.Function[None]:
        """The same, as the SDK serves it."""

        @client.create_function(fn_id="watch", retries=_RETRIES, trigger=inngest.TriggerEvent(event=_TRIGGER))
        async def watch(ctx: inngest.Context) -> None:
            event = Finished(ctx.event.id, ctx.event.data, ctx.event.ts)
            if (wait := await self.take(event, ctx.attempt)) is not None:
                raise inngest.RetryAfterError(UNKNOWN_SENDER, wait, quiet=True)

        return watch

    async def take(self, finished: Finished, attempt: int) -> timedelta | None:
        """Write down how that run ended. Where it is not known yet who started it, it is to be told again: after so
        long."""
        outcome = told(self._name, finished.data, finished.ts)
        if outcome is None:
            log.warning("watcher.unreadable", platform=self._name, finished=finished.id)
            return None
        if await self._outcomes.ask((outcome, attempt)):
            return None
        # A run that candidate code started by itself is nobody's until it is known who sent its event.
        return timedelta(seconds=min(2**attempt, _LONGEST_WAIT_SECONDS))

    async def _record(self, told: Sequence[tuple[RunOutcome, int]]) -> list[bool]:
        """Write the outcomes down; False for those to be told again."""
        await self._pace.turn()
        begun = [Begun.of(outcome) for outcome, _attempt in told]
        known = [run for run in begun if run is not None]
        await take_ticks(self._database, self._catalogue, known)
        pending = await take_in(self._database, self._catalogue, known, self._identify)
        again = [
            run is not None and attempt < pending.get(run, 0)
            for run, (_outcome, attempt) in zip(begun, told, strict=True)
        ]
        now = [outcome for (outcome, _attempt), later in zip(told, again, strict=True) if not later]
        async with self._database.connection(Work.OUTCOMES) as conn:
            kept = await record_outcomes(conn, self._catalogue, now)
        reach("outcomes.recorded")
        metrics.learned(self._side.value, LearnedBy.WATCHER.value, kept)
        return [not later for later in again]


def told(platform: str, data: Mapping[str, Any], ts: int) -> RunOutcome | None:
    """The outcome that an `inngest/function.finished` event tells of (reference 3.1); None when it tells none.

    Args:
        ts: milliseconds since 1970 at which the run ended.
    """
    run_id, function = data.get("run_id"), data.get("function_id")
    own = data.get("_inngest")
    error = data.get("error")
    status = INNGEST.get(str(own.get("status"))) if isinstance(own, Mapping) else None
    if status is None:  # a server that does not say: an error tells a failure
        status = Status.FAILED if error else Status.COMPLETED
    if not isinstance(run_id, str) or not isinstance(function, str):
        return None
    trigger = data.get("event")
    trigger = trigger if isinstance(trigger, Mapping) else {}
    event_id, event_name = trigger.get("id"), trigger.get("name")
    return outcome_of(
        platform=platform,
        run_id=run_id,
        status=status,
        result=data.get("result") if status is Status.COMPLETED else error or data.get("result"),
        learned_by=LearnedBy.WATCHER,
        function=function,
        event_id=event_id if isinstance(event_id, str) else None,
        event_name=event_name if isinstance(event_name, str) else None,
        finished_at=_instant(ts),
        not_before=_instant(trigger.get("ts")),
        trigger=write_json(sent) if isinstance(sent := trigger.get("data"), dict) else None,
    )


def _instant(milliseconds: Any) -> datetime | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool) or milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None

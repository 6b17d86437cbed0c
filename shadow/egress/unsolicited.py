"""Legacy runs that were not started through Shadow: what Trigger.dev says of one, and the authority that it gets.

Started from a dashboard, by legacy's own cron, or by another task inside Trigger.dev. Such a run is real only while
legacy has authority for all of its task's route and no run above it is known to have none. What is decided is
written with the run, so that it stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side, TriggerPlatform
from shadow.cutover.decision import Authority
from shadow.egress.outsiders import Replay, authority_of_outsider
from shadow.egress.runs import PATIENCE_SECONDS, Decides, Told
from shadow.intake.run_changes import name_run
from shadow.intake.storable import storable_or_none
from shadow.model.ids import new_id
from shadow.model.moments import moment
from shadow.model.tags import is_contained
from shadow.platforms.client import TooLarge
from shadow.platforms.trigger_api import Refused, TriggerApi
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_OWNER = b"SELECT run_id FROM run_aliases WHERE platform = %s AND alias = %s"
_AUTHORITIES = b"""
SELECT known.alias, run.id, run.authority FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = ANY(%s::text[])
"""
_NAME = b"""
INSERT INTO run_aliases (platform, alias, run_id) VALUES (%s, %s, %s)
ON CONFLICT (platform, alias) DO NOTHING RETURNING run_id
"""
_REPLAYS = b"""
SELECT original, expected_at > now() - %(patience)s::interval FROM expected_replays
WHERE platform = %(platform)s AND task = %(task)s
  AND expected_at BETWEEN %(made)s - %(patience)s::interval AND %(made)s + %(slack)s::interval
ORDER BY expected_at DESC LIMIT 1
"""
_OPEN = b"""
INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state, parent_run, decided)
VALUES (%s, %s, 'legacy', %s, %s, %s, 'sent', %s, true)
"""


_REPLAY_PATIENCE = timedelta(seconds=60)
"""How long a door may take to replay a run: longer than it waits for the platform (api/front/run_changes.py)."""
_SLACK = timedelta(minutes=1)
"""How far the platform's clock may differ from ours."""

Discover = Callable[[str], Awaitable[UUID | None]]
"""The run of ours that the platform calls so, if it is the child of one."""


class TriggerRuns:
    """Asks every Trigger.dev environment of the legacy side."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        routing: Decides,
        http: httpx.AsyncClient,
        discover: Discover | None = None,
    ) -> None:
        """
        Args:
            discover: finds a run that another run of ours or a clock started, before it counts as unsolicited.
        """
        self._discover = discover
        self._catalogue = catalogue
        self._database = database
        self._routing = routing
        self._apis = {
            name: TriggerApi(platform, http)
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, TriggerPlatform) and platform.side is Side.LEGACY
        }

    async def unsolicited(self, told: Told) -> UUID | None:
        """See `AsksPlatform.unsolicited`."""
        if told.run is None:
            return None
        child = await self._discover(told.run) if self._discover is not None else None
        if child is not None:
            return child
        for name, api in self._apis.items():
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    run, _answer = await api.retrieve(told.run)
            except Refused as error:
                log.info("egress.run_not_told", platform=name, status=error.answer.status)
                continue
            except (httpx.HTTPError, TimeoutError, TooLarge) as error:
                log.warning("egress.platform_unreachable", platform=name, error=type(error).__name__)
                continue
            task = self._catalogue.task_of_legacy(name, str(run.get("taskIdentifier")))
            if task is None:
                return None
            async with self._database.connection(Work.EGRESS) as conn:
                return await self._kept(conn, name, told.run, task, run)
        return None

    async def _kept(
        self, conn: Connection, platform: str, name: str, task: ResolvedTask, run: Mapping[str, Any]
    ) -> UUID | None:
        if (owner := await self._by_key(conn, platform, name, task, run)) is not None:
            return owner
        if task.cron is not None and run.get("schedule"):
            # Its tick decides, by its nominal time and not by today's phase: whoever knows ticks could not say now.
            return None
        parent, authority = await self._authority(conn, platform, task, run)
        if authority is None:
            return None
        identifier = new_id()
        cursor = await conn.execute(_NAME, (platform, name, identifier))
        if await cursor.fetchone() is not None:
            await conn.execute(_OPEN, (identifier, task.id, platform, name, authority, parent))
            log.info("egress.unsolicited_run", task=task.id, run=name, authority=authority)
            return identifier
        cursor = await conn.execute(_OWNER, (platform, name))
        row = await cursor.fetchone()
        return row[0] if row is not None else None

    async def _by_key(
        self, conn: Connection, platform: str, name: str, task: ResolvedTask, run: Mapping[str, Any]
    ) -> UUID | None:
        """The run of ours that the platform was asked for under that key, and that has no other name by now: a key
        may be used again once it has expired."""
        key = storable_or_none(str(run.get("idempotencyKey") or ""))
        created_at = moment(run.get("createdAt"))
        if key is None or created_at is None:
            return None
        return await name_run(conn, platform, name, task.id, key, created_at)

    async def _authority(
        self, conn: Connection, platform: str, task: ResolvedTask, run: Mapping[str, Any]
    ) -> tuple[UUID | None, Authority | None]:
        """The nearest run above it that is known, and its own authority; None while that can't be said."""
        related = run.get("relatedRuns")
        related = related if isinstance(related, Mapping) else {}
        above = {
            relation: str(found["id"])
            for relation in ("parent", "root")
            if isinstance(found := related.get(relation), Mapping) and found.get("id")
        }
        parent: UUID | None = None
        authorities: set[Authority] = set()
        if above:
            cursor = await conn.execute(_AUTHORITIES, (platform, list(above.values())))
            known = {alias: (run_id, authority) for alias, run_id, authority in await cursor.fetchall()}
            parent = next((known[name][0] for name in above.values() if name in known), None)  # the nearest
            authorities = {authority for _run, authority in known.values()}
        original, replay = await self._replay(conn, platform, task, run)
        whole = self._routing.decision(task.route).whole(Side.LEGACY)
        contained = is_contained(run.get("tags"))
        authority = authority_of_outsider(above=authorities, whole=whole, replay=replay, contained=contained)
        return parent or original, authority

    async def _replay(
        self, conn: Connection, platform: str, task: ResolvedTask, run: Mapping[str, Any]
    ) -> tuple[UUID | None, Replay]:
        """Whether a run without authority of that task was replayed when this one was made, and which."""
        cursor = await conn.execute(
            _REPLAYS,
            {
                "platform": platform,
                "task": task.id,
                "made": moment(run.get("createdAt")) or datetime.now(UTC),
                "patience": _REPLAY_PATIENCE,
                "slack": _SLACK,
            },
        )
        row = await cursor.fetchone()
        if row is None:
            return None, Replay.NO
        original, is_under_way = row
        return original, Replay.UNDER_WAY if is_under_way else Replay.UNTOLD

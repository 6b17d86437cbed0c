"""The part of an issued batch that is legacy's: announced to Trigger.dev once it is known, then its items."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

import orjson
import psycopg
import structlog
from starlette.types import Scope

from api.front.exchange import pairs
from api.front.intents import Intents, read_json
from api.front.trigger_source import CallingSource
from shadow.causes import batches
from shadow.causes.batches import Batch
from shadow.platforms.client import Answer
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_OURS = frozenset({"idempotencyKey", "idempotencyKeyOptions"})
"""A batch's own key stays with the issued batch; the items have keys of their own, so that none runs twice."""
_CREDENTIALS = frozenset({"authorization", "x-trigger-branch"})


class Part:
    """Sends it."""

    def __init__(
        self,
        source: CallingSource,
        intents: Intents,
        database: Database,
        batch: Batch,
        tasks: Collection[str],
        size: int,
    ) -> None:
        """
        Args:
            tasks: of its items, as legacy names them.
            size: how many items it has.
        """
        self._source = source
        self._intents = intents
        self._database = database
        self._batch = batch
        self._tasks = tasks
        self._size = size
        self.upstream = batch.upstream
        """What Trigger.dev calls it, once it does."""

    async def ask(self, scope: Scope, items: bytes) -> Answer:
        """Send the items, after the announcement; the platform's answer to whichever it did not take.

        Raises:
            httpx.TransportError, TimeoutError, TooLarge: there was no answer.
        """
        if self.upstream is None:
            answer = await self._announce(scope)
            made = read_json(answer.body)
            name = made.get("id") if isinstance(made, dict) else None
            if not 200 <= answer.status < 300 or not isinstance(name, str):
                return answer
            self.upstream = name
            await self._remember(name)
        path = f"/api/v3/batches/{quote(self.upstream, safe='')}/items"
        return await self._intents.forward(self._source.platform, scope, pairs(scope), items, path)

    async def _announce(self, scope: Scope) -> Answer:
        """As the run announced it, of as many items as there are now (its trace is that of the first phase, reference
        8.1)."""
        announced = self._batch.announced or {}
        body = {name: value for name, value in announced.get("body", {}).items() if name not in _OURS}
        body["runCount"] = self._size
        if "taskIdentifiers" in body:
            body["taskIdentifiers"] = sorted(self._tasks)
        headers = [(name, value) for name, value in pairs(scope) if name in _CREDENTIALS]
        headers += [(name, value) for name, value in announced.get("headers", ()) if name != "content-type"]
        headers.append(("content-type", "application/json"))
        return await self._intents.forward(self._source.platform, scope, headers, orjson.dumps(body), "/api/v3/batches")

    async def _remember(self, name: str) -> None:
        try:
            async with self._database.connection(Work.CAUSES) as connection:
                await batches.name_upstream(connection, self._source.platform_name, self._batch.name, name)
        except psycopg.Error as error:  # it is announced again then; its items have keys
            log.error("front.batch_not_recorded", batch=self._batch.name, error=type(error).__name__)

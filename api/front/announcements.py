"""The first phase of a v3 batch (SDK 4.3.1 on): `POST /api/v3/batches` says how many items will come, and who asks.

One whose items are all legacy's is passed on. Which run asks for it is kept, if one does, as the items do not say, and
its key: after a switch it stands for that batch still. Where
some of its items may be the candidate's, Trigger.dev would wait for ever for as many as were announced; such a batch is
issued by Shadow, and Trigger.dev hears of it when it is known which items are its own. One whose run waits for the
results is refused: the run would wait in Trigger.dev, for a batch that it must know by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import trigger_shape
from api.front.ever_issued import EverIssued
from api.front.exchange import BodyTooLarge, fields, pairs, pass_back, read_body, respond
from api.front.intent import NotServed, TriggerTold
from api.front.intents import Intents, read_json
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.catalogue.model import Origin
from shadow.causes import batches
from shadow.causes.batches import Batch
from shadow.intake.trigger_calls import AnnouncedBatch, announced_batch, kept_headers
from shadow.platforms.client import TooLarge
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_MOST_BYTES = 128 * 1024
"""The platform's own limit (reference 2.3)."""


def is_of_a_run(source: CallingSource, headers: Mapping[str, str]) -> bool:
    """Whether a run makes the call: it has a worker's key, or says that it is inside a task."""
    return source.origin is not Origin.PRODUCER or headers.get("x-trigger-worker") == "true"


class AnnouncementDoor:
    """Takes announcements."""

    def __init__(
        self,
        services: FrontServices,
        sources: CallingSources,
        intents: Intents,
        ever_issued: EverIssued,
        pass_through: ASGIApp,
    ) -> None:
        self._ever_issued = ever_issued
        self._services = services
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through

    async def announced(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        """`POST /api/v3/batches`."""
        headers = fields(scope)
        source = self._sources.holder(headers)
        if source is None:
            await self._pass_through(scope, receive, send)
            return
        if await self._sources.authenticate(headers, send) is None:
            return
        try:
            if "content-length" not in headers:
                raise BodyTooLarge
            body = await read_body(scope, receive, _MOST_BYTES)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        batch = announced_batch(body)
        try:
            may_be = batch is not None and (is_of_a_run(source, headers) or await self._may_issue(source))
            if may_be and batch is not None and await self._is_issued(source, scope, send, batch):
                return
        except NotServed as error:
            await trigger_shape.not_served(send, str(error))
            return
        except psycopg.Error as error:
            log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        await self._forward(source, scope, send, body, batch)

    async def _may_issue(self, source: CallingSource) -> bool:
        """Whether an item of a producer's batch may be the candidate's: now, or by its key since before a move back."""
        if self._intents.may_issue(source):
            return True
        try:
            return await self._ever_issued.look()
        except psycopg.Error as error:
            log.error("front.issued_unread", error=type(error).__name__)
            return False

    async def _is_issued(self, source: CallingSource, scope: Scope, send: Send, batch: AnnouncedBatch) -> bool:
        """Answer for a batch some of whose items may be the candidate's; False where none can be.

        Raises:
            NotServed: its run would wait for what Trigger.dev never gets.
            psycopg.Error: the database is away.
        """
        told = TriggerTold.of(fields(scope))
        known = await self._known(source, batch)
        if known is not None and not known.issued:
            return False  # its own, whoever has authority by now
        ours = await self._intents.issued_tasks(source, batch.parent, told, batch.tasks)
        if known is None and not ours and (is_of_a_run(source, fields(scope)) or batch.is_awaited):
            return False
        if batch.is_awaited:
            if batch.tasks is not None:
                raise NotServed.awaited(ours[0])
            return False  # nobody knows yet; its items are refused if one of them is the candidate's
        announced = {"body": batch.document, "headers": kept_headers(pairs(scope))}
        async with self._services.database.connection(Work.CAUSES) as connection:
            issued = await batches.issue(
                connection, source.platform_name, batch.parent or told.run.run, batch.run_count, announced, batch.key
            )
        if not issued.issued:
            return False  # Trigger.dev was told of it at this moment
        again = issued.sealed_at is not None
        body = {"id": issued.name, "runCount": issued.run_count, "isCached": again}
        if batch.key is not None:
            body["idempotencyKey"] = batch.key
        log.info("front.batch_issued", batch=issued.name, items=issued.run_count)
        scopes = (f"read:batch:{issued.name}", f"write:batch:{issued.name}")
        await trigger_shape.taken(send, source.platform, 200 if again else 202, body, *scopes)
        return True

    async def _known(self, source: CallingSource, batch: AnnouncedBatch) -> Batch | None:
        """What its key stands for already."""
        if batch.key is None:
            return None
        async with self._services.database.connection(Work.CAUSES) as connection:
            return await batches.of_key(connection, source.platform_name, batch.key)

    async def _forward(
        self, source: CallingSource, scope: Scope, send: Send, body: bytes, batch: AnnouncedBatch | None
    ) -> None:
        try:
            answer = await self._intents.forward(source.platform, scope, pairs(scope), body)
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            log.warning("front.passthrough_failed", platform=source.platform_name, error=type(error).__name__)
            await trigger_shape.unreachable(send, type(error).__name__)
            return
        made = read_json(answer.body)
        name = made.get("id") if isinstance(made, dict) and 200 <= answer.status < 300 else None
        if batch is not None and (batch.parent is not None or batch.key is not None) and isinstance(name, str):
            try:
                async with self._services.database.connection(Work.CAUSES) as connection:
                    await batches.remember(
                        connection,
                        source.platform_name,
                        name,
                        batch.parent,
                        batch.is_awaited,
                        batch.run_count,
                        batch.key,
                    )
            except psycopg.Error as error:  # the run may say itself who it is, with the items
                log.error("front.batch_not_recorded", batch=name, error=type(error).__name__)
        await respond(send, answer.status, answer.body, pass_back(answer.headers))

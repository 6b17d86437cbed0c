"""The gateway: one call from its arrival to its answer, closed by default.

Each stage either says what the next one needs or refuses. An exception that nobody foresaw refuses too. The one way
out is `Upstream.send`, which takes a permit that rests on the run's authority alone.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from uuid import UUID

import httpx
import structlog

from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.outside import Credential, Target
from shadow.effects.call import Unparsable
from shadow.effects.correlation import CallTraits, Traces
from shadow.egress.address import BadAddress, address
from shadow.egress.callers import Callers
from shadow.egress.calls import Answered, Call, CallLog, Item, write
from shadow.egress.contained import ContainedLegacy
from shadow.egress.containing import RETRY_SECONDS, Containing, retry_seconds
from shadow.egress.disposition import Disposition, ReadsPolicy
from shadow.egress.forwarding import Forwarding
from shadow.egress.incidents import Incident, IncidentKind, Incidents
from shadow.egress.incoming import ClientLeft, Incoming, ReadBody, Reading, Understood
from shadow.egress.journal import Journal
from shadow.egress.keys import EgressKeys, Holder, offered
from shadow.egress.old_spool import take_over
from shadow.egress.operation import Operations
from shadow.egress.quota import Quota
from shadow.egress.replies import Refusal, Reply, problem
from shadow.egress.runs import Decides, Identify, KnownRun, Runs, Told, Unknown, WrongSide
from shadow.egress.spooled import KINDS
from shadow.egress.twin import Twins
from shadow.egress.unsolicited import Discover, TriggerRuns
from shadow.egress.upstream import Outgoing, Upstream, permit
from shadow.egress.versions import Versions
from shadow.model.ids import new_id
from shadow.observe import metrics
from shadow.platforms.resolving import Forbidden
from shadow.spool.encoding import decode
from shadow.spool.spool import NotSpooled, Spool
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """A target, ready for use."""

    settings: Target
    operations: Operations
    upstream: Upstream
    quota: Quota
    reading: Reading


class Gateway:
    """Made once a process; `start` before the first call, `stop` after the last."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        routing: Decides,
        http: httpx.AsyncClient,
        spool: Spool,
        *,
        discover: Discover | None = None,
        identify: Identify | None = None,
        traces: Traces | None = None,
    ) -> None:
        """
        Args:
            identify: has the candidate's platform say which run of ours it calls so.
            traces: tells of which runs a trace is.
            http: to ask platforms with; each target has a client of its own.
            spool: for what can't be written to the database; it is the caller's to start and to empty.
            discover: finds a run that another run of ours started on its platform.

        Raises:
            ValueError: a target's operations can't be compiled.
        """
        self._catalogue = catalogue
        self._database = database
        self.keys = EgressKeys(database)
        self.rates = Rates.of(catalogue.limits.requests_per_second)
        self.runs = Runs(
            catalogue,
            database,
            routing,
            platform=TriggerRuns(catalogue, database, routing, http, discover),
            traces=traces,
            identify=identify,
        )
        self.contained_legacy = ContainedLegacy(database)
        self.incidents = Incidents(catalogue, database)
        self._calls = CallLog(database)
        self._spool = spool
        self.journal = Journal(database, self._calls, spool)
        for kind, of in KINDS.items():
            spool.writers[kind] = partial(self._write_spooled, of)
        self.versions = Versions(database)
        self.callers = Callers(self.runs, self.contained_legacy, self.journal, self.incidents)
        self._twins = Twins(database)
        self.containing = Containing(database, self._twins, self.journal)
        self._forwarding = Forwarding(self.journal)
        self._targets = {
            name: _Target(
                target,
                Operations.of(name, target),
                Upstream(name, target),
                Quota.of(target, time.monotonic()),
                _reading(target),
            )
            for name, target in catalogue.targets.items()
            if not target.is_mail
        }

    async def start(self) -> None:
        try:
            await take_over(self._spool.folder, self._database.vault, self._spool)
        except NotSpooled as error:
            log.error("egress.old_spool_stays", error=str(error))
        await self.keys.start()
        await self.contained_legacy.start()
        await self._calls.start()
        await self._twins.start()
        await self.incidents.start()
        await self.versions.start()

    def drain(self) -> None:
        """Calls that are held for their twins get at once what they would get at the end of their wait."""
        self._twins.let_go()

    async def stop(self) -> None:
        await self.versions.stop()
        await self.incidents.stop()
        await self._twins.stop()
        await self._forwarding.stop()
        await self.journal.stop()
        await self._calls.stop()
        await self.contained_legacy.stop()
        await self.keys.stop()
        for target in self._targets.values():
            await target.upstream.close()

    async def answer(self, incoming: Incoming) -> Reply:
        """Answer one call.

        Raises:
            ClientLeft: the worker went away.
        """
        begun = time.perf_counter()
        try:
            reply = await self._answer(incoming)
        except ClientLeft:
            raise
        except Refusal as refusal:
            reply = refusal.reply()
        except NotSpooled as error:
            log.error("egress.not_written", target=incoming.target, error=str(error))
            detail = "neither the database nor the disk takes what is to be written down; the call was not let through"
            reply = problem(503, detail, retry_after=RETRY_SECONDS)
        except Exception:
            log.exception("egress.failed", target=incoming.target)
            metrics.egress_failed()
            reply = problem(500, "the gateway failed; the call was not let through")
        metrics.egress_took(time.perf_counter() - begun)
        return reply

    async def _answer(self, incoming: Incoming) -> Reply:
        fields = incoming.fields
        target = self._targets.get(incoming.target)
        holder, key = self._holder(incoming, fields, target)
        if target is None:
            raise Refusal(404, f"no target {incoming.target[:100]!r} is declared")
        call, body = await self._understood(incoming, fields, target, holder, key)

        @cache
        def carries() -> CallTraits:
            return CallTraits.of(fields, dict(call.operation.params), call.query, call.evidence.document["body"])

        if (task := self.runs.names.task(call.told.task)) is not None:
            # Also of a run that nobody knows: its worker is there.
            self.versions.note(task.id, call.side, call.told.version, None)
        try:
            run = await self._run(call, carries)
            self.versions.note(run.task, call.side, call.told.version, run.id)
        except Unknown as error:
            # What started it may not be written down yet, or its platform does not say now which it is.
            not_yet = self.journal.is_behind
            if (not_yet or error.is_new) and call.accepts_wait:
                again = retry_seconds(call.told.attempt)
                log.info("egress.unknown_run_waits", target=call.target, side=call.side.value, error=str(error))
                raise Refusal(425, str(error), retry_after=again, gateway="wait") from None
            refusal = Refusal(503, str(error), retry_after=RETRY_SECONDS) if not_yet else Refusal(403, str(error))
            await self._refused(call, None, refusal, traits=carries(), suspects=error.suspects)
            raise refusal from None
        except Refusal as refusal:
            await self._refused(call, None, refusal)
            raise
        try:
            return await self._decided(incoming, target, call, run, body)
        except Refusal as refusal:
            if refusal.gateway != "wait":
                await self._refused(call, run, refusal)
            raise

    def _holder(self, incoming: Incoming, fields: dict[str, str], target: _Target | None) -> tuple[Holder, str]:
        """Whose key the call carries, and the key."""
        credential = target.settings.credential if target is not None else None
        try:
            query = Reading(0).query(incoming.query)
        except Unparsable as error:
            raise Refusal(400, str(error)) from None
        for text in offered(fields, query, credential, incoming.key_in_path):
            if (holder := self.keys.holder(text)) is not None:
                if self.rates is not None and (wait := self.rates.wait(holder.key, time.monotonic())) > 0:
                    detail = "this key makes more calls than `limits.requests_per_second`"
                    raise Refusal(429, detail, retry_after=wait, gateway="wait")
                return holder, text
        raise Refusal(401, "expected an egress key: `x-shadow-key`, the target's credential, or `~KEY` in the path")

    async def _understood(
        self, incoming: Incoming, fields: dict[str, str], target: _Target, holder: Holder, key: str
    ) -> tuple[Understood, ReadBody]:
        """What the call is, and its body as far as it had to be read for that."""
        try:
            where = address(incoming.raw_path)
            query = target.reading.query(incoming.query)
        except (BadAddress, Unparsable) as error:
            raise Refusal(400, str(error)) from None
        operation = target.operations.match(incoming.method, where, fields)
        if operation is None:
            raise Refusal(403, f"{incoming.target} declares no operation for {incoming.method} {where.path[:200]}")
        body = await ReadBody.of(incoming.body, target.settings.recorded_bytes)
        seen, unparsable = target.reading.evidence(incoming, where, operation, query, body, fields)
        at = datetime.now(UTC)
        call = Understood(
            id=new_id(),
            sequence=time.time_ns() // 1000,
            at=at,
            side=holder.side,
            target=incoming.target,
            operation=operation,
            outgoing=Outgoing(incoming.method, where, incoming.query, incoming.headers, key),
            told=Told.of(fields),
            fields=fields,
            content_type=fields.get("content-type", ""),
            query=query,
            evidence=seen,
            identity=operation.identity(seen.document),
            idempotency_key=operation.idempotency_key(fields, seen.document),
            complete=body.ended,
            unparsable=unparsable,
        )
        await self._check_credential(target, call)
        return call, body

    async def _run(self, call: Understood, carries: Callable[[], CallTraits]) -> KnownRun:
        """The run that makes the call.

        Raises:
            Unknown: nobody knows.
            Refusal: it is of the other side.
        """
        try:
            return await self.callers.run(
                call.side, call.told, carries, target=call.target, operation=call.operation.template
            )
        except WrongSide as error:
            raise Refusal(403, str(error)) from None

    async def _decided(
        self, incoming: Incoming, target: _Target, call: Understood, run: KnownRun, body: ReadBody
    ) -> Reply:
        timeout = target.settings.timeout.total_seconds()
        if run.authority == "real":
            wait = target.quota.real(time.monotonic(), timeout)
            return await self._forward(incoming, target, call, run, body, wait, "replay")
        await body.drain()
        if not call.complete:
            call = call.amended(body.seen)
        if call.unparsable is not None:
            raise Refusal(400, call.unparsable)
        reads = self._reads(run)
        decided = await self.containing.decide(run, call, reads, timeout)
        if decided.disposition is not Disposition.FORWARD:
            metrics.egress_call(call.target, call.side.value, call.operation.effect.value, decided.disposition.value)
            return await self.containing.answer(run, call, decided)
        if body.recorder.size > target.settings.recorded_bytes:
            raise Refusal(413, "a read without authority is forwarded only with a body that is kept")
        wait = target.quota.shadow_read(time.monotonic())
        if wait > 0:
            raise Refusal(429, "the quota for reads without authority is spent", retry_after=wait)
        return await self._forward(incoming, target, call, run, body, 0.0, reads)

    async def _forward(
        self,
        incoming: Incoming,
        target: _Target,
        call: Understood,
        run: KnownRun,
        body: ReadBody,
        wait: float,
        reads: ReadsPolicy,
    ) -> Reply:
        allowed = permit(Disposition.FORWARD, run.authority, call.operation.effect, reads)
        task = self._catalogue.tasks.get(run.task)
        waited_for = run.twin is not None and task is not None and task.sequence == "together"
        record = replace(call.record(run, Disposition.FORWARD), wakes=waited_for and run.authority == "real")
        metrics.egress_call(call.target, call.side.value, call.operation.effect.value, Disposition.FORWARD.value)
        try:
            return await self._forwarding.forward(
                target.upstream,
                allowed,
                call,
                record,
                body,
                recorded_bytes=target.settings.recorded_bytes,
                announces_body=incoming.announces_body,
                wait=wait,
            )
        except Forbidden as error:
            raise Refusal(403, f"{call.target}: {error}") from None

    def _reads(self, run: KnownRun) -> ReadsPolicy:
        task = self._catalogue.tasks.get(run.task)
        return task.reads if task is not None else "replay"

    async def _refused(
        self,
        call: Understood,
        run: KnownRun | None,
        refusal: Refusal,
        *,
        traits: CallTraits | None = None,
        suspects: tuple[UUID, ...] = (),
    ) -> None:
        """Write down a refusal; it stands whether that succeeds or not."""
        metrics.egress_call(call.target, call.side.value, call.operation.effect.value, Disposition.REFUSE.value)
        record = call.record(run, Disposition.REFUSE)
        if traits is not None and record.nobodys:
            record = replace(record, traits=traits.stored(), suspects=suspects)
        try:
            await self.containing.written(record, refusal.status, None, None)
        except Exception:
            log.exception("egress.refusal_unwritten", target=call.target)

    async def _check_credential(self, target: _Target, call: Understood) -> None:
        """An incident when a worker holds the target's real credential."""
        credential = target.settings.credential
        if credential is None:
            return
        real = credential.secret.get_secret_value().encode()
        if any(hmac.compare_digest(text.encode(errors="replace"), real) for text in _in_its_place(call, credential)):
            await self.incidents.note_if_possible(
                Incident(
                    IncidentKind.WRONG_CREDENTIAL,
                    f"a worker of {call.side.value} sent the real credential of {call.target}",
                    side=call.side,
                    target=call.target,
                    operation=call.operation.template,
                )
            )

    async def _write_spooled(self, kind: type[Call] | type[Answered], bodies: Sequence[bytes]) -> None:
        items: list[Item] = [decode(kind, body) for body in bodies]
        async with self._database.connection(Work.EGRESS) as conn:
            await write(conn, items)
        ids = [item.id for item in items]
        await self.incidents.look(among=ids)
        await self.incidents.look_for_stale_decisions(ids)


def _in_its_place(call: Understood, credential: Credential) -> list[str]:
    """What a call carries where its target's credential goes."""
    if credential.header is not None:
        return [call.fields.get(credential.header.lower(), "")]
    value = Reading(0).query(call.outgoing.query).get(credential.query or "", "")
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _reading(target: Target) -> Reading:
    credential = target.credential
    own = {name.lower() for name in target.headers}
    if credential is not None and credential.header is not None:
        own.add(credential.header.lower())
    return Reading(target.recorded_bytes, credential.query if credential else None, frozenset(own))

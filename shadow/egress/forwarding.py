"""A call with authority, or a read that is allowed without: out to the target, and its answer back while it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import structlog

from shadow.effects.call import BodyRecorder
from shadow.egress.answers import encoded_headers
from shadow.egress.calls import Answered, Call
from shadow.egress.incoming import ReadBody, Understood
from shadow.egress.journal import Journal
from shadow.egress.replies import BrokeOff, Reply, problem
from shadow.egress.upstream import Permit, Response, Unreachable, Upstream, answer_headers
from shadow.observe.fail_points import reach

log = structlog.get_logger(__name__)

_WHOLE = 64 * 1024
"""Bytes up to which an announced answer is read whole: its last byte has to wait for the commit anyway."""
_NO_BODY = frozenset({204, 304})


class Forwarding:
    """Sends calls on and writes down what came of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._background: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Let what is still being written down be so."""
        await asyncio.gather(*self._background, return_exceptions=True)

    async def forward(
        self,
        upstream: Upstream,
        allowed: Permit,
        call: Understood,
        record: Call,
        body: ReadBody,
        *,
        recorded_bytes: int,
        announces_body: bool,
        wait: float,
    ) -> Reply:
        """Send the call and pass the answer back.

        A write is written down before it leaves. The answer is before its last byte is passed on.

        Args:
            wait: seconds until the target's quota has room.

        Raises:
            Forbidden, NotPermitted: it must not leave, and has not.
            psycopg.Error, OSError: it could not be written down, and has not left.
        """
        await upstream.check()
        if wait > 0:
            await asyncio.sleep(wait)
        passing = _Passing(self, call, record, body, recorded_bytes)
        if record.writes:
            passing.written = True
            try:
                await self._journal.write(record)
            except asyncio.CancelledError:
                passing.withdrawn()
                raise
            reach("egress.intended")
        content: AsyncIterator[bytes] | bytes | None = None
        if announces_body:
            content = body.content if body.ended else body.stream()
        try:
            response = await upstream.send(allowed, call.outgoing, content)
        except Unreachable as error:
            status = 504 if error.timed_out else 502
            log.warning("egress.unreachable", target=call.target, timed_out=error.timed_out)
            reply = problem(status, f"{call.target}: {error}", gateway="unreachable")
            assert isinstance(reply.body, bytes)
            kept = tuple(header for header in reply.headers if header[0] == b"content-type")
            await passing.answered(status, kept, reply.body)
            return reply
        except BaseException:
            passing.abandoned(None, ())
            raise
        return await passing.reply(response)

    async def write(self, item: Call | Answered) -> None:
        """Write down what has happened."""
        await self._journal.write_done(item)

    def behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what nobody waits for any more."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class _Passing:
    """One answer on its way back."""

    def __init__(
        self, forwarding: Forwarding, call: Understood, record: Call, body: ReadBody, recorded_bytes: int
    ) -> None:
        self._forwarding = forwarding
        self._call = call
        self._record = record
        self._body = body
        self._recorded_bytes = recorded_bytes
        self._begun = time.monotonic()
        self.written = False
        """Whether the call has been written down already."""

    async def reply(self, response: Response) -> Reply:
        """The answer for the worker."""
        headers = answer_headers(response)
        announced = response.length()
        bodiless = self._call.outgoing.method == "HEAD" or response.status in _NO_BODY or announced == 0
        if not bodiless and (announced is None or announced > _WHOLE):
            return Reply(response.status, headers, self._stream(response, headers, announced))
        chunks: list[bytes] = []
        try:
            async for chunk in response.pieces():
                chunks.append(chunk)
        except httpx.TransportError as error:
            log.warning("egress.broke_off", target=self._call.target, error=type(error).__name__)
            await self.answered(response.status, headers, None)
            return Reply(response.status, headers, _broken(b"".join(chunks)))
        except BaseException:
            self.abandoned(response.status, headers)
            raise
        finally:
            response.close()
        body = b"".join(chunks)
        await self.answered(response.status, headers, body if len(body) <= self._recorded_bytes else None)
        return Reply(response.status, headers, body)

    async def _stream(
        self, response: Response, headers: tuple[tuple[bytes, bytes], ...], announced: int | None
    ) -> AsyncIterator[bytes]:
        recorder = BodyRecorder(self._recorded_bytes)
        last = b""
        done = False
        try:
            try:
                async for chunk in response.pieces():
                    recorder.feed(chunk)
                    if announced is not None and recorder.size >= announced:
                        last += chunk  # with it the worker has all: it waits for the commit
                    else:
                        yield chunk
            except httpx.TransportError as error:
                done = True
                log.warning("egress.broke_off", target=self._call.target, error=type(error).__name__)
                await self.answered(response.status, headers, None)
                raise BrokeOff from None
            done = True
            await self.answered(response.status, headers, recorder.seen().content)
            if last:
                yield last
        finally:
            if not done:
                self.abandoned(response.status, headers)
            response.close()

    async def answered(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None) -> None:
        """Write the answer down. Should that fail, the worker gets its answer all the same: the deed is done."""
        reach("egress.forwarded")
        item = self._item(status, headers, body)
        try:
            await self._forwarding.write(item)
            reach("egress.answered")
        except asyncio.CancelledError:
            # The worker left while this was written down, which may or may not be so now: once more does no harm.
            self._forwarding.behind(self._forwarding.write(item))
            raise
        except Exception:
            log.exception("egress.answer_unwritten", target=self._call.target, call=str(self._call.id))

    def abandoned(self, status: int | None, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """The worker went away: what is known is written down behind its back."""
        if status is not None:
            self._forwarding.behind(self.answered(status, headers, None))
        elif not self.written:
            self._forwarding.behind(self._forwarding.write(self._record))

    def withdrawn(self) -> None:
        """The worker went away before its call had left, and it does not leave any more. Its intent may be written down
        all the same: then it says that nothing was done."""
        reply = problem(503, "the worker went away before its call had left: nothing was done")
        assert isinstance(reply.body, bytes)
        kept = tuple(header for header in reply.headers if header[0] == b"content-type")
        self._forwarding.behind(self._unsent(reply.status, kept, reply.body))

    async def _unsent(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
        try:
            await self._forwarding.write(self._record)
            await self._forwarding.write(self._item(status, headers, body))
        except Exception:
            log.exception("egress.answer_unwritten", target=self._call.target, call=str(self._call.id))

    def _item(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None) -> Call | Answered:
        call = self._call
        amended = not call.complete
        if amended:
            call = call.amended(self._body.seen)
        now = datetime.now(UTC)
        kept = None if body is None else encoded_headers(headers)
        if self.written:
            return Answered(
                id=call.id,
                side=call.side,
                run_id=self._record.run_id,
                platform_run_id=self._record.platform_run_id,
                status=status,
                answered_at=now,
                answer=body,
                answer_headers=kept,
                digest=call.evidence.digest if amended else None,
                document=call.evidence.encoded() if amended else None,
                wakes=self._record.wakes,
                tenant=self._record.tenant,
                of_tenant=self._record.of_tenant,
                pair=self._record.pair,
            )
        return replace(
            self._record,
            status=status,
            answered_at=now,
            answer=body,
            answer_headers=kept,
            digest=call.evidence.digest,
            document=call.evidence.encoded(),
        )


async def _broken(begun: bytes) -> AsyncIterator[bytes]:
    if begun:
        yield begun
    raise BrokeOff

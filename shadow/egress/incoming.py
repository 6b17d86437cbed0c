"""A call as it comes in, and as it is understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from comparators.kinds.headers import telling
from shadow.catalogue.model import Side
from shadow.effects.call import (
    BodyRecorder,
    Evidence,
    SeenBody,
    Unparsable,
    evidence,
    parsed_body,
    parsed_query,
    told,
)
from shadow.effects.evidence import Nobody
from shadow.egress.address import Address
from shadow.egress.calls import Call
from shadow.egress.disposition import Disposition
from shadow.egress.operation import MatchedOperation
from shadow.egress.runs import KnownRun, Told
from shadow.egress.upstream import Outgoing
from shadow.intake.storable import key_of, storable


class ClientLeft(Exception):
    """The worker went away before its request was complete."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request to the gateway, of whatever framework brought it."""

    target: str
    method: str
    raw_path: bytes
    """Below the target, without the key."""
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    key_in_path: str | None
    body: AsyncIterator[bytes]
    """Raises `ClientLeft` when the worker goes away."""
    announces_body: bool

    @property
    def fields(self) -> dict[str, str]:
        """The headers by lower-case name; of a repeated one the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.headers}


@dataclass(slots=True)
class ReadBody:
    """A request's body, as far as it has been read."""

    recorder: BodyRecorder
    chunks: list[bytes]
    ended: bool
    rest: AsyncIterator[bytes]

    @classmethod
    async def of(cls, body: AsyncIterator[bytes], most: int) -> ReadBody:
        """Read until the end, or until there is more than is kept."""
        read = cls(BodyRecorder(most), [], True, body)
        async for chunk in body:
            read.recorder.feed(chunk)
            read.chunks.append(chunk)
            if read.recorder.size > most:
                read.ended = False
                break
        return read

    async def drain(self) -> None:
        """Read the rest for its digest alone."""
        if not self.ended:
            self.chunks.clear()
            async for chunk in self.rest:
                self.recorder.feed(chunk)
            self.ended = True

    async def stream(self) -> AsyncIterator[bytes]:
        """All of it, from its beginning."""
        for chunk in self.chunks:
            yield chunk
        self.chunks.clear()
        if not self.ended:
            async for chunk in self.rest:
                self.recorder.feed(chunk)
                yield chunk
            self.ended = True

    @property
    def seen(self) -> SeenBody:
        return self.recorder.seen()

    @property
    def content(self) -> bytes:
        return b"".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Understood:
    """A call with all that is known of it before it is decided on."""

    id: UUID
    sequence: int
    at: datetime
    side: Side
    target: str
    operation: MatchedOperation
    outgoing: Outgoing
    told: Told
    fields: Mapping[str, str]
    content_type: str
    query: Mapping[str, object]
    evidence: Evidence
    identity: str | None
    idempotency_key: str | None
    complete: bool
    """Whether the evidence has the whole body in it, or its digest."""
    unparsable: str | None = None
    """Why the body isn't what its type says."""

    @property
    def accepts_wait(self) -> bool:
        """Whether the worker's client package turns a wait into the platform's own retry."""
        return "wait" in self.fields.get("x-shadow-accepts", "")

    def record(self, run: KnownRun | None, disposition: Disposition) -> Call:
        """The row of this call, without an answer yet."""
        return Call(
            id=self.id,
            side=self.side,
            run_id=run.id if run is not None else None,
            platform_run_id=self.told.run or (run.platform_run_id if run is not None else None),
            task=run.task if run is not None else self.told.task,
            sequence=self.sequence,
            attempt=self.told.attempt,
            kind=self.operation.kind,
            target=self.target,
            operation=self.operation.template,
            identity=_storable(self.identity),
            idempotency_key=_storable(self.idempotency_key),
            occurred_at=self.at,
            attributed_by=run.attributed_by if run is not None else None,
            disposition=disposition,
            writes=self.operation.writes,
            digest=self.evidence.digest if self.complete else None,
            document=self.evidence.encoded(),
            tenant=None if run is None or isinstance(run.tenant, Nobody) else run.tenant,
            of_tenant=run is not None and not isinstance(run.tenant, Nobody),
            pair=None if run is None else run.pair_id,
        )

    def amended(self, body: SeenBody) -> Understood:
        """The same call once its body has passed, of which only the digest is kept."""
        return replace(
            self,
            evidence=evidence(
                self.outgoing.method,
                self.outgoing.address.path,
                self.operation.params,
                self.query,
                told(body),
                self.content_type,
                self.evidence.document.get("headers"),
            ),
            complete=True,
        )


def _storable(text: str | None) -> str | None:
    return text if text is None or storable(text) else key_of(text.replace("\x00", "\ufffd"))


@dataclass(frozen=True, slots=True)
class Reading:
    """What is needed to understand a call of one target."""

    recorded_bytes: int
    credential_parameter: str | None = None
    own_headers: frozenset[str] = frozenset()
    """The headers that the gateway sets itself: the credential, and what the catalogue says of this target."""

    def query(self, raw: bytes) -> dict[str, object]:
        """The parameters, without the credential; raises `Unparsable`."""
        return parsed_query(raw, without=self.credential_parameter)

    def evidence(
        self,
        incoming: Incoming,
        address: Address,
        operation: MatchedOperation,
        query: Mapping[str, object],
        body: ReadBody,
        fields: Mapping[str, str],
    ) -> tuple[Evidence, str | None]:
        """The evidence, and why the body is not shown in it where it isn't what its type says."""
        problem = None
        if not body.ended:
            content: object = {"bytes": None, "sha256": None}
        else:
            try:
                content = parsed_body(
                    body.seen,
                    fields.get("content-type", ""),
                    fields.get("content-encoding", ""),
                    most=max(self.recorded_bytes, 1),
                )
            except Unparsable as error:
                problem = str(error)
                content = told(body.seen)
        said = fields.get("content-type", "")
        meant = telling(fields, self.own_headers)
        document = evidence(incoming.method, address.path, operation.params, dict(query), content, said, meant)
        return document, problem

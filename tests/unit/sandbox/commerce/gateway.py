"""A gateway for rehearsals: Shadow's own reading and matching of calls, without its database.

Legacy's calls go on to the targets and are remembered. The candidate's are answered from what its twin's got.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comparators import Effect
from sandbox.commerce.catalogue import catalogue
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.stage import EgressKeys
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.outside import Target
from shadow.effects.call import BodyRecorder, Evidence, evidence, parsed_body, parsed_query
from shadow.egress.address import address
from shadow.egress.matching import Made, counterpart
from shadow.egress.operation import MatchedOperation, Operations
from shadow.model.ids import new_id

EGRESS = EgressKeys("shk_of_legacy", "shk_of_candidate")


def catalogue_of(dataset: Dataset, keys: Keys) -> ResolvedCatalogue:
    """The example's catalogue, for no address in particular."""
    nowhere = "http://127.0.0.1:9"
    text = catalogue(
        dataset,
        trigger_url=nowhere,
        inngest_url=nowhere,
        targets_url=nowhere,
        databases=DatabaseUrls("postgresql://legacy@db/shop", "postgresql://candidate@db/shop"),
        keys=keys,
    )
    return parse(text, "commerce.yaml", {})


@dataclass(frozen=True)
class Passed:
    """A call that came by, with its answer."""

    id: UUID
    run: str
    attempt: int
    operation: MatchedOperation
    effect: Effect
    digest: bytes
    answer: tuple[int, Mapping[str, str], bytes]

    @property
    def group(self) -> tuple[str, str, str | None]:
        """What makes calls correspond."""
        return (self.effect.target, self.effect.operation, self.effect.identity)


@dataclass
class Gateway:
    """Takes calls as Shadow's gateway does."""

    targets: Mapping[str, Target]
    http: httpx.AsyncClient
    """Reaches the targets."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """The candidate's event -> legacy's run."""
    recorded: Mapping[str, list[Passed]] = field(default_factory=dict)
    """What legacy's runs did in an earlier rehearsal."""
    calls: dict[str, list[Passed]] = field(default_factory=dict)
    """Run -> its calls, in order."""

    def __post_init__(self) -> None:
        self._operations = {name: Operations.of(name, target) for name, target in self.targets.items()}

    async def answer(self, request: Request) -> Response:
        """`* /egress/{target}/{path}`."""
        name = request.path_params["target"]
        raw = request.scope["raw_path"].decode().removeprefix(f"/egress/{name}").encode()
        content = await request.body()
        operation = self._operations[name].match(request.method, address(raw), request.headers)
        if operation is None:
            return JSONResponse({"title": "not declared"}, 403)
        recorder = BodyRecorder(len(content))
        recorder.feed(content)
        body = parsed_body(recorder.seen(), request.headers.get("content-type", ""), most=len(content) + 1)
        seen = evidence(
            request.method, address(raw).path, operation.params, parsed_query(request.url.query.encode()), body
        )
        run, attempt = request.headers["x-shadow-run"], int(request.headers["x-shadow-attempt"])
        identity = operation.identity(seen.document)
        if request.headers["x-shadow-key"] == EGRESS.legacy:
            answer = await self._forwarded(name, request, content)
        else:
            assert request.headers["x-shadow-key"] == EGRESS.candidate
            answer = self._answered(request, (name, operation.template, identity), run, attempt, operation, seen)
        effect = Effect(
            kind=operation.kind,
            target=name,
            operation=operation.template,
            identity=identity,
            data={**seen.document, "status": answer[0]},
            attempt=attempt,
            idempotency_key=operation.idempotency_key(request.headers, seen.document),
            reads=not operation.writes,
        )
        passed = Passed(new_id(), run, attempt, operation, effect, seen.digest, answer)
        self.calls.setdefault(run, []).append(passed)
        return Response(answer[2], answer[0], dict(answer[1]))

    async def _forwarded(self, name: str, request: Request, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        headers = {
            key: value
            for key, value in request.headers.items()
            if not key.startswith("x-shadow-") and key not in ("host", "content-length", "connection")
        }
        query = dict(request.query_params)
        credential = self.targets[name].credential
        assert credential is not None
        if credential.header is not None:
            headers[credential.header] = credential.secret.get_secret_value()
        else:
            query[str(credential.query)] = credential.secret.get_secret_value()
        path = str(request.scope["raw_path"].decode()).removeprefix("/egress")
        told = await self.http.request(request.method, path, params=query, content=content, headers=headers)
        kept = {key: value for key, value in told.headers.items() if key not in ("content-length", "date", "server")}
        return told.status_code, kept, told.content

    def _answered(
        self,
        request: Request,
        group: tuple[str, str, str | None],
        run: str,
        attempt: int,
        operation: MatchedOperation,
        seen: Evidence,
    ) -> tuple[int, Mapping[str, str], bytes]:
        twin = self.twins.get(request.headers["x-shadow-event"], "")
        theirs = [call for call in (*self.recorded.get(twin, ()), *self.calls.get(twin, ())) if call.group == group]
        ours = [call for call in self.calls.get(run, ()) if call.group == group and call.attempt == attempt]
        found = counterpart([_made(call) for call in theirs], [_made(call) for call in ours], seen.digest)
        match = found.occurrence or found.first
        if match is not None:
            return _by_id(theirs, match.id).answer
        if operation.stub is None:
            return 403, {"content-type": "application/problem+json"}, b'{"title": "refused"}'
        return operation.stub.status, dict(operation.stub.headers), operation.stub.answer(seen.document)


def _by_id(calls: Iterable[Passed], identifier: UUID) -> Passed:
    return next(call for call in calls if call.id == identifier)


def _made(call: Passed) -> Made:
    return Made(call.id, call.attempt, call.digest, call.answer[0])

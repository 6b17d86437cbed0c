"""A target: the part that all of them share, which is receiving a call, answering it and writing it down."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.targets.books import Books, Call
from sandbox.targets.conduct import Conduct


@dataclass(frozen=True)
class Answer:
    """What a target answers. A `body` of None is an empty one."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False


UNAVAILABLE = Answer(503, {"error": "temporarily unavailable"})

Handler = Callable[[Request, Any], Answer]


def born_id(prefix: str) -> str:
    """An id as the target makes them up: `prefix_` and 24 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(12)}"


class Target:
    """One outside system. Subclasses say in `routes` what they answer, and where their credential stands."""

    name: str
    header: str | None = None
    """The header with the credential."""
    parameter: str | None = None
    """Or the query parameter."""

    def __init__(self, books: Books, conduct: Conduct, secret: str) -> None:
        """`secret`: the value that the header or parameter must have; any other caller is refused."""
        self.books = books
        self.conduct = conduct
        self._secret = secret

    def refusal(self) -> Answer:
        """What a caller without the credential gets."""
        return Answer(401, {"error": "unauthorized"})

    def _knows(self, request: Request) -> bool:
        given = request.headers.get(self.header, "") if self.header else request.query_params.get(self.parameter or "")
        return secrets.compare_digest((given or "").encode(), self._secret.encode())

    def routes(self) -> list[Route]:
        """The paths that this target serves, below its prefix."""
        raise NotImplementedError

    def route(self, method: str, path: str, handler: Handler) -> Route:
        """A route whose every call is answered with the target's conduct and written into the books."""
        return Route(path, self._endpoint(handler), methods=[method])

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def receive(request: Request) -> Response:
            content = await request.body()
            authorized = self._knows(request)
            if self.conduct.latency > 0:
                await asyncio.sleep(self.conduct.latency)
            try:
                body = orjson.loads(content) if content else None
            except orjson.JSONDecodeError:
                answer, body = Answer(400, {"error": "body is not JSON"}), None
            else:
                if not authorized:
                    answer = self.refusal()
                else:
                    answer = UNAVAILABLE if self.name in self.conduct.down else handler(request, body)
            shown = [(name, value) for name, value in request.query_params.multi_items() if name != self.parameter]
            query = f"?{urlencode(shown)}" if shown else ""
            self.books.enter(
                Call(
                    target=self.name,
                    method=request.method,
                    path=request.url.path.removeprefix(request.scope.get("root_path", "")) + query,
                    body=body,
                    status=answer.status,
                    authorized=authorized,
                    idempotency_key=request.headers.get("idempotency-key"),
                    replayed=answer.replayed,
                )
            )
            payload = b"" if answer.body is None else orjson.dumps(answer.body)
            return Response(payload, answer.status, answer.headers, media_type="application/json")

        return receive

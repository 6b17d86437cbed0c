"""A front that takes reports, kept as they came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.integration.fanout.serving import served


@dataclass
class Front:
    """What Shadow was asked: (method and path, headers, body) in order."""

    url: str = ""
    calls: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    raw: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """The same with the query and the body's bytes."""
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Path to status and headers."""
    once: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """The same for the first time that it is asked for."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = f"{scope['method']} {scope['path']}"
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        self.raw.append((asked + query, headers, body))
        self.calls.append((asked, headers, orjson.loads(body) if body[:1] in (b"{", b"[") else None))
        status, answered = self.once.pop(scope["path"], self.answers.get(scope["path"], (200, {})))
        raw = [
            (name.encode(), value.encode()) for name, value in {**answered, "content-type": "application/json"}.items()
        ]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b'{"ok":true,"ids":[],"status":200,"key":"6b6b"}'})

    def effects(self) -> list[dict[str, Any]]:
        """What was reported, in order."""
        return [effect for path, _, body in self.calls if path.endswith("/effects") for effect in body["effects"]]


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made

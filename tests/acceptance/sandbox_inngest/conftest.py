"""A pretend Inngest and an app of the official Python SDK, each on a free port of the loopback."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import inngest
import pytest
import uvicorn
from fastapi import FastAPI

from sandbox.inngest import PretendInngest

with warnings.catch_warnings():
    # Release 0.5.19 of the SDK defines a model in a style which pydantic 2.14 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest.fast_api

SIGNING_KEY = "0123456789abcdef"


class Listening(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port; yields its base address."""
    server = Listening(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    task = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.listening.wait(), 10)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Stage:
    """A pretend server, the SDK's client that is pointed at it, and how to serve functions to it."""

    server: PretendInngest
    client: inngest.Inngest
    serve: Callable[[list[inngest.Function[Any]]], Awaitable[None]]


@asynccontextmanager
async def staged(*, keyed: bool = False, **options: Any) -> AsyncIterator[Stage]:
    """Start everything; `keyed` has both sides sign and check, as in production."""
    if keyed:
        options.update(signing_key=SIGNING_KEY, event_keys=frozenset({"event-key"}))
    server = PretendInngest(**{"retry_delay": 0.01, **options})
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(serving(server.app))
        client = inngest.Inngest(
            app_id="commerce",
            api_base_url=base,
            event_api_base_url=base,
            event_key="event-key",
            is_production=keyed,
            signing_key=SIGNING_KEY if keyed else None,
        )

        async def serve(functions: list[inngest.Function[Any]]) -> None:
            app = FastAPI()
            inngest.fast_api.serve(app, client, functions)
            url = await stack.enter_async_context(serving(app))
            await server.sync(f"{url}/api/inngest")

        yield Stage(server, client, serve)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made

"""A loop for whatever tests of commands have to do beside them: the commands run loops of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shadow.store.database import Database
from tests.integration.judge.world import World


def within(url: str, work: Callable[[World], Awaitable[None]]) -> None:
    """Do something in that database."""

    async def run() -> None:
        database = Database(url)
        try:
            await work(World(database))
        finally:
            await database.close()

    asyncio.run(run())

"""What passes bytes on from one connection to another: all that stands between two others on TCP is made of it."""

from __future__ import annotations

import asyncio
import contextlib

CHUNK = 1 << 16


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends; an end on the one side is an end on the other."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if sink.can_write_eof():
            sink.write_eof()

"""What has become of an event's sealed originals. Reports tell of them and never open them."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadow.sealing.sealed import key_of
from shadow.store import codec
from shadow.store.tables import bodies, sealing_keys

OriginalsState = Literal["kept", "deleted", "forgotten"]

_HEADER = 1 + 16
"""Bytes of a sealed body that say by which key it is sealed."""


async def originals_of(connection: AsyncConnection, event: UUID) -> OriginalsState:
    """Whether the event could still be delivered or replayed."""
    header = await connection.scalar(
        select(func.substr(bodies.c.content, 1, _HEADER)).where(bodies.c.id == event, bodies.c.part == "data")
    )
    if header is None:
        return "deleted"
    if not codec.is_sealed(header):
        return "kept"
    gone = await connection.scalar(
        select((sealing_keys.c.wrapped.is_(None)) | (sealing_keys.c.forgotten_at <= func.now())).where(
            sealing_keys.c.id == key_of(header)
        )
    )
    return "forgotten" if gone else "kept"

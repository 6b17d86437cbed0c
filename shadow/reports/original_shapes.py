"""Originals as they are shown to whoever may open them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from shadow.reports.originals import OriginalsState
from shadow.reports.shapes import Shape
from shadow.sealing.opening import Opened


class OriginalPart(Shape):
    """A body as it came."""

    part: str = Field(description="data, request or headers.")
    encoding: Literal["utf-8", "base64"] = Field(description="How `content` is written: text as it is, else base64.")
    content: str


class Originals(Shape):
    """What an event came with, and the record of its being read."""

    read: UUID = Field(description="The audit's row.")
    read_at: datetime
    event: UUID
    tenant: str | None
    state: OriginalsState = Field(description="`deleted` or `forgotten`: there is nothing to be opened any more.")
    parts: list[OriginalPart]


def originals_shape(opened: Opened) -> Originals:
    """The shape of opened originals."""
    state: OriginalsState = "kept" if opened.parts else "forgotten" if opened.forgotten else "deleted"
    return Originals(
        read=opened.read,
        read_at=opened.read_at,
        event=opened.event,
        tenant=opened.tenant,
        state=state,
        parts=[_part(name, content) for name, content in opened.parts.items()],
    )


def _part(name: str, content: bytes) -> OriginalPart:
    try:
        return OriginalPart(part=name, encoding="utf-8", content=content.decode())
    except UnicodeDecodeError:
        return OriginalPart(part=name, encoding="base64", content=base64.b64encode(content).decode())

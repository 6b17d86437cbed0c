"""What notices look like, for the API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from shadow.catalogue.notice_settings import NoticeKind
from shadow.reports.shapes import Shape

DeliveryState = Literal["waiting", "sent", "given_up"]


class NoticeDelivery(Shape):
    """How one channel was told of a notice."""

    id: UUID = Field(description="The same however often it is sent; a webhook has it as `webhook-id`.")
    channel: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None = Field(description="When it is tried next, or tried again should this attempt be lost.")
    sent_at: datetime | None
    error: str | None = Field(description="Why the last attempt failed.")


class NoticeView(Shape):
    """Something that people want to hear of."""

    id: UUID
    kind: NoticeKind
    task: str | None
    route: str | None
    title: str
    facts: dict[str, Any]
    made_at: datetime
    deliveries: list[NoticeDelivery] = Field(description="To the channels that want to hear of it.")


class Notices(Shape):
    items: list[NoticeView]

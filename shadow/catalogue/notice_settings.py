"""Who is told of what: `notifications` in the catalogue."""

from __future__ import annotations

from typing import Literal

from shadow.catalogue.values import Secret, Strict

NoticeKind = Literal["gate_opened", "gate_closed", "gate_regressed", "moved", "moved_back", "leak"]
TOLD: tuple[NoticeKind, ...] = ("gate_opened", "gate_regressed", "moved_back", "leak")


class NoticeChannel(Strict):
    """Where messages go."""

    kind: Literal["webhook", "slack"]
    """`webhook`: the notice as JSON, signed (Standard Webhooks) where there is a secret; `slack`: as Slack shows it."""
    url: Secret
    secret: Secret | None = None
    """`webhook`: `whsec_...`, with which messages are signed."""
    on: tuple[NoticeKind, ...] = TOLD
    tasks: tuple[str, ...] = ()
    """Of these tasks only; all by default."""
    private: bool = False
    """Whether the URL may lie in a private network."""


class Notifications(Strict):
    """Channels by name."""

    channels: dict[str, NoticeChannel] = {}
    links: str | None = None
    """The control port's address as people reach it: messages link to its pages."""

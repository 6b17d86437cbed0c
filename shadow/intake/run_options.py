"""What a call to Trigger.dev asks of its run besides its payload, as far as reading the run shows it. Pure.

Reference 1.3 and 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shadow.intake.trigger_calls import delayed_until, tags_of

JSON = Any


@dataclass(frozen=True, slots=True)
class RunOptions:
    """As the caller chose them."""

    tags: tuple[str, ...] = ()
    ttl: str | None = None
    metadata: JSON = None
    is_test: bool = False

    def expires_at(self, starts_at: datetime) -> datetime | None:
        """When the run is not started any more, if it has not been by then; None: whenever.

        Args:
            starts_at: when it may start at the earliest.
        """
        return None if self.ttl is None else delayed_until(self.ttl, starts_at)


def run_options(request: bytes | None) -> RunOptions:
    """Those of a call's body; what can't be read is as if it were not there."""
    try:
        document = orjson.loads(request) if request else None
    except orjson.JSONDecodeError:
        return RunOptions()
    given = document.get("options") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        return RunOptions()
    return RunOptions(
        tags=tags_of(given.get("tags")),
        ttl=_ttl(given.get("ttl")),
        metadata=_metadata(given.get("metadata")),
        is_test=given.get("test") is True,
    )


def _ttl(given: JSON) -> str | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return f"{given}s" if given > 0 else None
    return given if isinstance(given, str) and given else None


def _metadata(given: JSON) -> JSON:
    """The SDK may send it as JSON text."""
    if not isinstance(given, str):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        return None

"""Failure switches: the ways in which the real service is known to hurt its clients.

All are off by default and may be set while the platform runs: `pretend.traps.slow_ms = 500`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LossManner = Literal["500", "close"]


@dataclass
class Traps:
    """What goes wrong.

    `limit_per_window`: at most that many API requests per `limit_window` seconds, then 429 (None: the normal
    bucket).
    `lose_responses`: so many of the next creating requests (trigger, batches) are carried out but their
    answer is lost, as a 500 (`lose_as="500"`) or by a closed connection (`lose_as="close"`). Counts down.
    `replica_lag_ms`: a new run or batch reads as 404 with `x-should-retry: true` for that long.
    `list_lag_ms`: the run list shows everything as it was that long ago.
    `slow_ms`: every answer comes that much later.
    `expired_keys`: secret keys that answer 401 although they are known.
    `batch_key_forgotten`: a second batch with the same key is refused with 422 instead of answered from the
    cache.
    """

    limit_per_window: int | None = None
    limit_window: float = 10.0
    lose_responses: int = 0
    lose_as: LossManner = "500"
    replica_lag_ms: float = 0.0
    list_lag_ms: float = 0.0
    slow_ms: float = 0.0
    expired_keys: set[str] = field(default_factory=set)
    batch_key_forgotten: bool = False

    def take_loss(self) -> LossManner | None:
        """Whether, and how, the answer to the creating request at hand is lost."""
        if self.lose_responses <= 0:
            return None
        self.lose_responses -= 1
        return self.lose_as

"""Attribution: how the revenue of a conversion is shared among the touchpoints that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sandbox.commerce.database import Row

MODELS = ("first_touch", "last_touch", "linear", "time_decay", "position_based")
_HALF_LIFE_DAYS = 7.0


def weights(model: str, touchpoints: Sequence[Row], converted_at: str) -> list[float]:
    """The weight of each touchpoint, oldest first; they need not add up to 1. Raises ValueError for the model."""
    count = len(touchpoints)
    if model == "first_touch":
        return [float(place == 0) for place in range(count)]
    if model == "last_touch":
        return [float(place == count - 1) for place in range(count)]
    if model == "linear":
        return [1.0] * count
    if model == "time_decay":
        moment = datetime.fromisoformat(converted_at)
        ages = [(moment - datetime.fromisoformat(t["occurred_at"])).total_seconds() / 86400 for t in touchpoints]
        return [0.5 ** (age / _HALF_LIFE_DAYS) for age in ages]
    if model == "position_based":
        if count <= 2:
            return [1.0] * count
        return [0.4, *([0.2 / (count - 2)] * (count - 2)), 0.4]
    raise ValueError(f"expected one of {', '.join(MODELS)}, found {model!r}")

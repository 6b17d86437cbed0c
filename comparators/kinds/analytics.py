"""Google Analytics' Measurement Protocol: moments in microseconds may be written as text, as its JSON allows."""

from __future__ import annotations

from comparators.canonical import JSON

_MOMENT = "timestamp_micros"


def hits(body: JSON) -> JSON:
    """The body of a call in its normal notation; what tells of no events stays."""
    if not isinstance(body, dict):
        return body
    events = body.get("events")
    if not isinstance(events, list) or not events or not {"client_id", "app_instance_id", "user_id"} & body.keys():
        return body
    return {**_moment(body), "events": [_moment(item) if isinstance(item, dict) else item for item in events]}


def _moment(value: dict[str, JSON]) -> dict[str, JSON]:
    told = value.get(_MOMENT)
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= 18:
        return {**value, _MOMENT: int(told)}
    return value

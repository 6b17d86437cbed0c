"""Meta's Conversions API: who a conversion was of, told by hashes that may be listed or stand alone."""

from __future__ import annotations

import re

from comparators.canonical import JSON, canonical
from comparators.protected import word_set

_MATCHED = word_set("em ph ge db ln fn ct st zp country external_id")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def conversions(body: JSON) -> JSON:
    """The body of a call in its normal notation; what holds no conversions stays."""
    if not isinstance(body, dict):
        return body
    data = body.get("data")
    if not isinstance(data, list) or not data or not all(_is_conversion(item) for item in data):
        return body
    return {**body, "data": [_conversion(item) for item in data]}


def _is_conversion(item: JSON) -> bool:
    return isinstance(item, dict) and "event_name" in item and isinstance(item.get("user_data"), dict)


def _conversion(item: JSON) -> JSON:
    assert isinstance(item, dict)
    user = item["user_data"]
    assert isinstance(user, dict)
    return {**item, "user_data": {name: _matched(held) if name in _MATCHED else held for name, held in user.items()}}


def _matched(value: JSON) -> JSON:
    """A list of values by which a person is matched, in no order."""
    listed = value if isinstance(value, list) else [value]
    return sorted((_hash(item) for item in listed), key=canonical)


def _hash(value: JSON) -> JSON:
    return value.lower() if isinstance(value, str) and _SHA256.fullmatch(value) else value

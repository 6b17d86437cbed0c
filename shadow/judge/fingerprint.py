"""The fingerprint of a task's rules: equal when they judge alike, whatever they say of themselves.

Two pairs with one fingerprint were judged with the same rules. Left out are reasons and authors, since rewording them
changes no verdict, and whatever has its default, so that an option that a later version knows changes nothing for those
who do not use it. The order of rules stays in, since the first that fits may decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from comparators import JSON, Rules, fingerprint

VERSION = "r1"
_SAID = frozenset({"reason", "author", "expires_at", "note"})
"""What rules say of themselves."""


def fingerprint_of(rules: Rules) -> str:
    """The fingerprint of these rules, such as `r1-5b8c...`."""
    return f"{VERSION}-{fingerprint(_described(rules))[:16]}"


def _described(value: object) -> JSON:
    if value is None or isinstance(value, bool | int | float) or type(value) is str:
        return value
    if isinstance(value, Enum):
        return _described(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in fields(value) if _judges(field, value)}
        return {"": type(value).__name__, **{name: _described(member) for name, member in members.items()}}
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_described(item) for item in value), key=repr)
    if isinstance(value, Mapping):
        return {str(name): _described(member) for name, member in value.items()}
    if isinstance(value, Decimal | str):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    raise TypeError(
        f"expected what rules are made of, found {type(value).__name__}: its fingerprint would not be stable"
    )


def _judges(field: Field[object], owner: object) -> bool:
    """Whether a member of a rule says anything about how it judges."""
    if field.name in _SAID or not field.compare:
        return False
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is MISSING or getattr(owner, field.name) != default

"""Values of the service's own types as JSON, and back: what is spooled outlives the process that made it."""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import orjson

Value = TypeVar("Value")


def encode(value: Any) -> bytes:
    """A dataclass or named tuple as JSON. Its fields may be such again, tuples, and the types that `decode` knows."""
    return orjson.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return [value.days, value.seconds, value.microseconds]
    if isinstance(value, UUID):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _plain(part) for name, part in zip(value._fields, value, strict=True)}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    raise TypeError(f"{type(value).__name__} can't be spooled")


def decode(kind: type[Value], text: bytes) -> Value:
    """The value of that type that was encoded.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    return decode_plain(kind, orjson.loads(text))


def decode_plain(kind: type[Value], plain: Any) -> Value:
    """`decode`, of JSON that has been read."""
    value: Value = _typed(kind, plain)
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _typed(next(option for option in typing.get_args(hint) if option is not types.NoneType), value)
    if origin is tuple:
        parts = typing.get_args(hint)
        if parts[-1] is Ellipsis:
            return tuple(_typed(parts[0], part) for part in value)
        return tuple(_typed(one, part) for one, part in zip(parts, value, strict=True))
    if hint is bytes:
        return base64.b64decode(value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is timedelta:
        days, seconds, microseconds = value
        return timedelta(days, seconds, microseconds)
    if hint is UUID:
        return UUID(value)
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return hint(value)
        if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
            hints = _hints(typing.cast(Any, hint))
            return hint(**{name: _typed(hints[name], part) for name, part in value.items()})
    return value

"""The casts an expression may ask for: strict, so that a value that does not fit is an error and no guess."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

_INTEGER = re.compile(r"^[+-]?[0-9]{1,30}$")
_NUMBER = re.compile(r"^[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1
"""What whole numbers are stored as JSON: those of 64 bits, signed or not."""
_MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds (as seconds they would lie beyond the year 5000)."""


class CastFailed(ValueError):
    """A value that does not fit. Names its kind only: it may be personal."""

    def __init__(self, expected: str, value: object) -> None:
        self.expected = expected
        self.found = kind_of(value)
        super().__init__(f"found {self.found}, expected {expected}")


def kind_of(value: object) -> str:
    """What sort of JSON value that is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case "":
            return "empty text"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def to_string(value: object) -> str:
    """Text as it is; numbers and booleans as JSON writes them.

    Raises:
        CastFailed: for null, lists and mappings.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            raise CastFailed("text, a number or a boolean", value)


def to_integer(value: object) -> int:
    """A whole number.

    Raises:
        CastFailed: for all but whole numbers of 64 bits and their decimal text.
    """
    if isinstance(value, bool):
        raise CastFailed("a whole number", value)
    if isinstance(value, int):
        return _of_64_bits(value, value)
    if isinstance(value, float) and value.is_integer():
        return _of_64_bits(int(value), value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return _of_64_bits(int(value), value)
    raise CastFailed("a whole number", value)


def to_number(value: object) -> int | float:
    """A finite number.

    Raises:
        CastFailed: for all but finite numbers and their decimal text; a whole number has at most 64 bits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_64_bits(value, value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return _of_64_bits(int(value), value)
    if isinstance(value, str) and _NUMBER.fullmatch(value) and math.isfinite(number := float(value)):
        return number
    raise CastFailed("a number", value)


def _of_64_bits(number: int, value: object) -> int:
    """The number that `value` says, if it can be stored."""
    if not _SMALLEST <= number <= _LARGEST:
        raise CastFailed("a whole number of 64 bits", value)
    return number


def to_boolean(value: object) -> bool:
    """A truth value.

    Raises:
        CastFailed: for all but booleans, 0, 1 and the text of these.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if known is not None:
            return known
    raise CastFailed("true or false", value)


def to_datetime(value: object) -> datetime:
    """RFC 3339 text with its offset, or an epoch number in seconds or milliseconds (also as text); UTC.

    Raises:
        CastFailed: for anything else. A time without offset is refused: nobody knows which instant it means.
    """
    expected = "a time (RFC 3339 with an offset, or epoch seconds or milliseconds)"
    try:
        if not isinstance(value, str) or _NUMBER.fullmatch(value):
            number = to_number(value)
            seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
            return datetime.fromtimestamp(seconds, UTC)
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise CastFailed(expected, value)


def to_time(value: object) -> str:
    """As `to_datetime`, written as RFC 3339 in UTC with milliseconds or, where needed, microseconds.

    Raises:
        CastFailed: as `to_datetime`.
    """
    moment = to_datetime(value)
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


CASTS: Mapping[str, Callable[[object], Any]] = {
    "string": to_string,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "time": to_time,
}
"""By the name that the catalogue gives them."""

"""What values in a catalogue are made of: durations, secrets, expressions, sides."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST = 10 * 365 * 86400.0
_DURATION_EXPECTED = "a duration such as 500ms, 30s, 10m, 2h or 7d"


def _duration(value: object) -> object:
    """Read `1500ms`, `30s`, `10m`, `2h`, `7d`; a bare number is seconds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if isinstance(value, int | float):
        seconds = float(value)
    elif (match := _DURATION.match(value)) is not None:
        seconds = float(match.group(1)) * _UNIT[match.group(2)]
    else:
        raise ValueError(_DURATION_EXPECTED)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(_DURATION_EXPECTED)
    return timedelta(seconds=seconds)


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str | float)]
"""A length of time: `500ms`, `30s`, `10m`, `2h`, `7d`, or a number of seconds; at most ten years."""

Secret = Annotated[SecretStr, Field(min_length=1)]
"""Never shown, in no error either. An empty one would let anybody in, so it is refused."""


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt key must never be silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Side(StrEnum):
    """`legacy` is what runs today, `candidate` is what shall replace it."""

    LEGACY = "legacy"
    CANDIDATE = "candidate"


class Origin(StrEnum):
    """Who holds a key: a producer, or a worker of one side (whose events are children of a run)."""

    PRODUCER = "producer"
    LEGACY = "legacy"
    CANDIDATE = "candidate"


EXPRESSION_MARK = "x-expression"
"""Marks expressions in the JSON Schema that pydantic makes; see `schema.py`."""

Expression = Annotated[Any, WithJsonSchema({EXPRESSION_MARK: True})]
"""How a value is obtained; see `expressions.py`:

- `"$.a.b"`: JSONPath (RFC 9535) into the document, the first match
- `"header:x-name"`: a request header (webhooks only)
- `{"path": "$.id", "as": "string"}`: with a cast (string, integer, number, boolean, time)
- `{"path": "$.id", "optional": true}`: nothing found leaves the key out instead of being an error
- `{"lookup": "TABLE", "key": EXPRESSION, "else": LITERAL?}`: a row of the source's `tables` (webhooks only)
- `{"value": LITERAL}` and any other literal: itself
- a mapping without those keys, or a list: built recursively
- `{"build": {...}}`: built recursively even though its keys are named `path`, `lookup`, `value` or `build`
"""


class RateBudget(Strict):
    """What Shadow may spend at a platform, so that it never exhausts the producers' own quota."""

    requests_per_minute: float = Field(1200, gt=0)
    burst: int = Field(100, gt=0)

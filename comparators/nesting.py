"""How deeply JSON may be nested: no deeper than it can be walked without exhausting the stack, and written again.

What comes from outside is read here, or the walks behind it (normal form, redaction, alignment, JSONPath) could be made
to fail by somebody who sends brackets. They were seen to take 320 levels of the worst kind.
"""

from __future__ import annotations

import orjson

from comparators.canonical import JSON

DEEPEST = 128
"""Levels of a document from outside."""
WRITABLE = 254
"""Levels that orjson writes: what wraps a document has the ones between."""
DEEPEST_EMBEDDED = 64
"""Levels of a document within a text that stands in another one."""


class TooDeep(orjson.JSONDecodeError):
    """Valid JSON, nested deeper than it may be."""

    def __init__(self, most: int) -> None:
        super().__init__(f"nested deeper than {most} levels", "", 0)


def read(content: bytes | str, most: int = DEEPEST) -> JSON:
    """The JSON value that `content` says.

    What cannot be deep costs a count of its brackets, and less than a microsecond; what may be is written once.

    Args:
        most: levels that it may have, at most `WRITABLE`.

    Raises:
        TooDeep: it has more.
        orjson.JSONDecodeError: it is no JSON.
    """
    value: JSON = orjson.loads(content)
    if len(content) > 2 * most:
        brackets = (
            content.count(b"[") + content.count(b"{")
            if isinstance(content, bytes)
            else content.count("[") + content.count("{")
        )
        if brackets > most and is_deeper(value, most):
            raise TooDeep(most)
    return value


def is_deeper(value: JSON, most: int) -> bool:
    """Whether a value that was read from JSON has more than so many levels, of `WRITABLE` at most."""
    for _ in range(WRITABLE - most):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False

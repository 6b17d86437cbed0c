"""Symbols: what a script says of values that each run makes for itself, or may write in its own way.

A symbol is text inside of a script's texts. A script is written down once for both sides; what the symbols stand for
is decided for each side by itself (see `hand`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

BEGIN, END, SEPARATOR = "\ue000", "\ue001", "\ue002"
SYMBOL = re.compile(f"{BEGIN}(\\w+){SEPARATOR}([^{BEGIN}{END}]*){END}")

BORN = "born"
"""An id that is made in the run."""
STOLEN = "stolen"
"""As the form of an id: the one that legacy's run made."""
CLOCK = "clock"
"""A moment by the run's own clock."""
INSTANT = "instant"
"""A moment that stands in the data, in whatever notation."""
FRESH = "fresh"
"""A moment that stands in the data and is of the very seconds in which the event came."""
MARKUP = "markup"
"""A text that stands in HTML."""
EMBEDDED = "embedded"
"""JSON within a text, of which the notation is free."""
NEWLINE = "newline"
GAP = "gap"
"""Where HTML may have white space that nobody sees."""


def born(name: str, form: str = "uuid") -> str:
    """The id that goes by that name within the run; of a form of `ids.FORMS`."""
    return _symbol(BORN, name, form)


def clock(form: str = "iso", *, plus: float = 0.0) -> str:
    """The moment of what it stands in, and so many seconds; `iso`, `seconds` or `milliseconds`."""
    return _symbol(CLOCK, form, f"{plus:.3f}")


def instant(moment: datetime) -> str:
    """A moment of the data."""
    return _symbol(INSTANT, moment.isoformat())


def fresh(*, before: float = 0.0) -> str:
    """A moment of the data that lies so many seconds before the event came, which is as good as now."""
    return _symbol(FRESH, f"{before:.3f}")


def markup(text: str) -> str:
    """A text as it stands in HTML: what has to be escaped is, in one of several ways."""
    return _symbol(MARKUP, text)


def embedded(value: Any) -> str:
    """JSON within a text."""
    return _symbol(EMBEDDED, json.dumps(value))


GAP_SYMBOL = f"{BEGIN}{GAP}{SEPARATOR}{END}"
NEWLINE_SYMBOL = f"{BEGIN}{NEWLINE}{SEPARATOR}{END}"


def _symbol(kind: str, *arguments: str) -> str:
    return f"{BEGIN}{kind}{SEPARATOR}{SEPARATOR.join(arguments)}{END}"


def births(value: Any) -> Iterator[str]:
    """The names of the ids in a value, as often as they stand there."""
    for text in texts(value):
        for found in SYMBOL.finditer(text):
            if found[1] == BORN:
                yield found[2].split(SEPARATOR)[0]


def texts(value: Any) -> Iterator[str]:
    """All texts of a value, member names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a value with all texts changed, member names included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): mapped(member, change) for name, member in value.items()}
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return value

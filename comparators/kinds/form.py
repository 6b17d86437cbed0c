"""Forms (`application/x-www-form-urlencoded`): fields by name, nested as Stripe, PHP and Rails write it.

`transfer_data[destination]=acct_1` is the member `destination` of `transfer_data`; `expand[]=a&expand[]=b` and
`expand[0]=a&expand[1]=b` are an array. Every value stays the text that it is, but for JSON documents, as Slack takes
them in its fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl

from comparators import nesting
from comparators.canonical import JSON, plain
from comparators.kinds.url import collected

MOST_FIELDS = 10_000
_FIELD = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST = 32


def fields(text: str) -> dict[str, JSON]:
    """The fields of an encoded form.

    Raises:
        ValueError: it is none, or has too many fields.
    """
    return nested(collected(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)))


def nested(flat: dict[str, JSON]) -> dict[str, JSON]:
    """Fields with those of bracketed names taken apart; as they stand where their names contradict each other."""
    if not any(_FIELD.fullmatch(name) for name in flat):
        return {name: _read(value) for name, value in flat.items()}
    root: dict[str, JSON] = {}
    try:
        for steps, value in _steps(flat):
            _put(root, steps, value)
    except _Contradiction:
        return {name: _read(value) for name, value in flat.items()}
    return {name: _arrays(value) for name, value in root.items()}


class _Contradiction(Exception):
    """A name that is a value and holds others too."""


class _Rows(dict[str, JSON]):
    """What was written with empty brackets: by the order of its items."""


def _steps(flat: dict[str, JSON]) -> Iterator[tuple[list[str], JSON]]:
    for name, value in flat.items():
        match = _FIELD.fullmatch(name)
        steps = [name] if match is None else [match[1], *_PART.findall(match[2])]
        if len(steps) > _DEEPEST:
            raise _Contradiction
        if steps[-1] == "" and not isinstance(value, list):
            value = [value]
        yield steps, value


def _put(into: dict[str, JSON], steps: list[str], value: JSON) -> None:
    step, rest = steps[0], steps[1:]
    if rest == [""]:
        rest = []
    if not rest:
        if step in into:
            raise _Contradiction
        into[step] = [_read(item) for item in value] if isinstance(value, list) else _read(value)
        return
    below = into.setdefault(step, _Rows() if rest[0] == "" else {})
    if not isinstance(below, dict) or isinstance(below, _Rows) != (rest[0] == ""):
        raise _Contradiction
    if rest[0] == "":
        # `items[][price]=1&items[][price]=2`: the n-th of a name belongs to the n-th item.
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            row = below.setdefault(str(index), {})
            if not isinstance(row, dict):
                raise _Contradiction
            _put(row, rest[1:], item)
        return
    _put(below, rest, value)


def _arrays(value: JSON) -> JSON:
    """Members that are numbered from 0 are an array."""
    if not isinstance(value, dict):
        return value
    read = {name: _arrays(member) for name, member in value.items()}
    if read and _numbered(read):
        return [read[str(index)] for index in range(len(read))]
    return read


def _numbered(names: Iterable[str]) -> bool:
    listed = list(names)
    return {str(index) for index in range(len(listed))} == set(listed)


def _read(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return plain(nesting.read(value, nesting.DEEPEST_EMBEDDED))
        except ValueError:
            return value
    return value

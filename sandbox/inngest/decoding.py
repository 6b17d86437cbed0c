"""Reading a body of `POST /e/{key}` with the rules, and the error texts, of the real (Go) server.

Events are yielded one by one, so that those before a bad one are accepted although the request is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from sandbox.inngest.events import INTERNAL_PREFIX, METADATA_KEY

MAX_EVENT_BYTES = 3 * 1024 * 1024
MAX_EVENTS = 5000
EARLIEST_MS = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp() * 1000)
LATEST_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)
OVERFLOW_MS = (1 << 63) // 1_000_000
"""Milliseconds whose nanoseconds no longer fit 64 bits; the real server sees such times as before 1980."""

GO_TYPES = {
    "name": (str, "string"),
    "data": (dict, "map[string]interface {}"),
    "user": (dict, "map[string]interface {}"),
    "meta": (dict, "event.EventMeta"),
    "id": (str, "string"),
    "v": (str, "string"),
}
WHITESPACE = " \t\r\n"


def decode_events(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of a body, checked and with only the known fields.

    Raises ValueError with the real server's text at the first thing it would refuse. An empty body and an
    empty array yield nothing.
    """
    for item in _items(body):
        yield _checked(item)


def _items(body: bytes) -> Iterator[Any]:
    if len(body) <= MAX_EVENT_BYTES:
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            if isinstance(parsed, dict):
                yield parsed
                return
            if isinstance(parsed, list) and len(parsed) <= MAX_EVENTS:
                yield from parsed
                return
    yield from _streamed(body.decode("utf-8", errors="replace"))


def _streamed(text: str) -> Iterator[Any]:
    """Read like a token stream, which is how the real server finds good events before a bad one."""
    start = _skip_space(text, 0)
    if start == len(text):
        return
    if text[start] == "{":
        item, end = _one(text, start)
        rest = _skip_space(text, end)
        if rest < len(text):
            raise ValueError(f"invalid character {_quoted(text[rest])} after top-level value")
        _check_size(text[start:end])
        yield item
    elif text[start] == "[":
        yield from _streamed_array(text, start + 1)
    else:
        try:
            json.JSONDecoder().raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise ValueError(_go_text(text, error)) from error
        raise ValueError("Request body must contain an event object or an array of event objects")


def _streamed_array(text: str, position: int) -> Iterator[Any]:
    count = 0
    position = _skip_space(text, position)
    while position < len(text) and text[position] != "]":
        if count == MAX_EVENTS:
            raise ValueError(f"Cannot have more than {MAX_EVENTS} events in a batch")
        item, end = _one(text, position)
        _check_size(text[position:end])
        yield item
        count += 1
        position = _skip_space(text, end)
        if position < len(text) and text[position] == ",":
            position = _skip_space(text, position + 1)
        elif position < len(text) and text[position] != "]":
            raise ValueError(f"invalid character {_quoted(text[position])} after array element")


def _one(text: str, start: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(_go_text(text, error)) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"invalid character {_quoted(name[0])} looking for beginning of value")


def _check_size(item: str) -> None:
    size = len(item.encode())
    if size > MAX_EVENT_BYTES:
        raise ValueError(f"Event is over the max size: Max {MAX_EVENT_BYTES} bytes / Size {size} bytes")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in WHITESPACE:
        position += 1
    return position


def _quoted(character: str) -> str:
    return "'\\''" if character == "'" else f"'{character}'"


def _go_text(text: str, error: json.JSONDecodeError) -> str:
    position = _skip_space(text, error.pos)
    if position >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    found = _quoted(text[position])
    if error.msg.startswith("Expecting property name"):
        return f"invalid character {found} looking for beginning of object key string"
    if error.msg.startswith("Expecting ':'"):
        return f"invalid character {found} after object key"
    if error.msg.startswith("Expecting ','"):
        return f"invalid character {found} after {_container(text, position)}"
    if error.msg.startswith("Invalid control character"):
        return "invalid character in string literal"
    if error.msg.startswith("Invalid \\"):
        return "invalid character in string escape code"
    return f"invalid character {found} looking for beginning of value"


def _container(text: str, position: int) -> str:
    """Whether the text before a missing comma stands in an object or in an array."""
    open_brackets: list[str] = []
    in_string = False
    index = 0
    while index < position:
        character = text[index]
        if in_string:
            index += character == "\\"
            in_string = character != '"'
        elif character == '"':
            in_string = True
        elif character in "{[":
            open_brackets.append(character)
        elif character in "}]":
            open_brackets.pop()
        index += 1
    return "object key:value pair" if open_brackets[-1:] == ["{"] else "array element"


def _checked(item: Any) -> dict[str, Any]:
    if item is None:
        item = {}
    if not isinstance(item, dict):
        raise ValueError(f"json: cannot unmarshal {_go_kind(item)} into Go value of type event.raw")
    event: dict[str, Any] = {}
    wanted: type[object]
    for field, (wanted, go_type) in GO_TYPES.items():
        value = item.get(field)
        if value is None:
            continue
        if not isinstance(value, wanted):
            kind = _go_kind(value)
            raise ValueError(f"json: cannot unmarshal {kind} into Go struct field raw.{field} of type {go_type}")
        event[field] = value
    event["ts"] = _checked_time(item.get("ts"))
    name = event.get("name", "")
    if name.lower().startswith(INTERNAL_PREFIX):
        raise ValueError(f"event name is reserved for internal use: {name}")
    if isinstance(event.get("data"), dict) and METADATA_KEY in event["data"]:
        event["data"] = {key: value for key, value in event["data"].items() if key != METADATA_KEY}
    if not name:
        raise ValueError("event name is empty")
    if event["ts"]:
        if event["ts"] < EARLIEST_MS or event["ts"] > OVERFLOW_MS:
            raise ValueError("timestamp is before Jan 1, 1980")
        if event["ts"] > LATEST_MS:
            raise ValueError("timestamp is after Jan 1, 2100")
    return event


def _checked_time(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        kind = f"number {value}" if isinstance(value, float) else _go_kind(value)
        raise ValueError(f"json: cannot unmarshal {kind} into Go struct field raw.ts of type int64")
    return value


def _go_kind(value: Any) -> str:
    """What Go calls a JSON value of this kind."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"

"""superjson as the Trigger.dev SDK writes it, turned into plain JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.intake import superjson


def document(json: Any, values: Any = None, *, v: int | None = 1) -> str:
    meta = {"meta": {"values": values, **({"v": v} if v else {})}} if values is not None else {}
    return orjson.dumps({"json": json, **meta}).decode()


@pytest.mark.parametrize(
    ("json", "values", "plain"),
    [
        # no hints: the JSON itself
        ({"name": "alice"}, None, {"name": "alice"}),
        # a Date stays the text that JSON.stringify makes of it
        ({"at": "2026-01-02T03:04:05.678Z"}, {"at": ["Date"]}, {"at": "2026-01-02T03:04:05.678Z"}),
        # undefined is left out of objects
        ({"a": None, "b": 1}, {"a": ["undefined"]}, {"b": 1}),
        # and null in arrays, whose places count
        ([None, 1], {"0": ["undefined"]}, [None, 1]),
        # alone it is null
        (None, ["undefined"], None),
        # a number beyond 2^53 keeps its digits as text
        ({"n": "900719925474099312345"}, {"n": ["bigint"]}, {"n": "900719925474099312345"}),
        # what JSON has no number for is null; minus zero is zero
        (
            {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": "-0"},
            {name: ["number"] for name in "abcd"},
            {"a": None, "b": None, "c": None, "d": 0},
        ),
        # a Map with text keys reads as an object
        ({"m": [["a", 1], ["b", 2]]}, {"m": ["map"]}, {"m": {"a": 1, "b": 2}}),
        # with other keys as pairs
        ({"m": [[1, "a"]]}, {"m": ["map"]}, {"m": [[1, "a"]]}),
        # types within a Map: row, then key (0) or value (1)
        (
            {"m": [["a", None], ["b", 2]]},
            {"m": ["map", {"0.1": ["undefined"]}]},
            {"m": {"b": 2}},
        ),
        # a Set is its members
        (
            {"s": ["x", "2026-01-02T03:04:05.678Z"]},
            {"s": ["set", {"1": ["Date"]}]},
            {"s": ["x", "2026-01-02T03:04:05.678Z"]},
        ),
        # patterns and addresses are text
        (
            {"r": "/a+/gi", "u": "https://example.com/"},
            {"r": ["regexp"], "u": ["URL"]},
            {"r": "/a+/gi", "u": "https://example.com/"},
        ),
        # of an Error what it says, not its stack
        (
            {"e": {"name": "TypeError", "message": "no", "stack": "at x"}},
            {"e": ["Error"]},
            {"e": {"name": "TypeError", "message": "no"}},
        ),
        # class instances are their fields
        ({"p": {"x": 1}}, {"p": [["class", "Point"]]}, {"p": {"x": 1}}),
        # paths that share a beginning come as a tree without a type
        (
            {"a": {"b": "2026-01-02T03:04:05.678Z", "c": None}},
            {"a.b": ["Date"], "a.c": ["undefined"]},
            {"a": {"b": "2026-01-02T03:04:05.678Z"}},
        ),
        # a dot in a key is escaped
        ({"a.b": None, "c": 1}, {"a\\.b": ["undefined"]}, {"c": 1}),
        # and so is a backslash
        ({"a\\b": None, "c": 1}, {"a\\\\b": ["undefined"]}, {"c": 1}),
    ],
)
def test_each_javascript_type_becomes_the_json_that_carries_its_meaning(json: Any, values: Any, plain: Any) -> None:
    assert superjson.decode(document(json, values)) == plain


def test_before_version_1_a_backslash_was_no_escape() -> None:
    assert superjson.decode(document({"a\\\\b": None}, {"a\\\\b": ["undefined"]}, v=None)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",  # no object
        '{"meta": {}}',  # no json
        '{"json": {"a": 1}, "meta": {"values": {"b.c": ["Date"]}}}',  # a hint that leads nowhere
        '{"json": [1], "meta": {"values": {"x": ["Date"]}}}',  # a name where there is a list
    ],
)
def test_what_is_no_superjson_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        superjson.decode(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_plain_json_comes_through_unchanged(value: Any) -> None:
    assert superjson.decode(document(value)) == value


@pytest.mark.parametrize(
    ("value", "kind", "plain"),
    [
        ('{"json":{"a":1}}', "application/super+json", {"a": 1}),  # what the SDK sends
        ("hello", "text/plain", "hello"),  # a string, raw
        ({"a": 1}, "application/json", {"a": 1}),  # a REST client
        ('{"a":1}', "application/json", {"a": 1}),  # JSON as text is a document to the platform
        ("hello", "application/json", "hello"),  # and text, when it is none
        (None, "application/json", None),  # no payload
        ({"a": 1}, "application/super+json", None),  # lost at the platform as well
        ({"a": 1}, "text/plain", None),
    ],
)
def test_a_payload_is_read_as_its_type_says(value: Any, kind: str, plain: Any) -> None:
    assert superjson.payload(value, kind) == plain


def test_the_place_of_an_offloaded_payload_is_not_the_payload() -> None:
    with pytest.raises(ValueError, match="where it is stored"):
        superjson.payload("trigger/hello/1-x/payload.json", "application/store")


@pytest.mark.parametrize(
    "values",
    [{"a": "Ada"}, {"a": []}, {"a": 7}, {"a": [["x"], 1]}, {"a": ["map"]}, [], "Date", {"a": [1, "b"]}],
)
def test_hints_that_are_none_are_no_superjson(values: Any) -> None:
    document = orjson.dumps({"json": {"a": "b"}, "meta": {"values": values}})
    with pytest.raises(ValueError, match=r"superjson|not enough values"):
        superjson.decode(document)

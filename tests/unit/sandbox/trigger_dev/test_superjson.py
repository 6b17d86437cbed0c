"""superjson documents, as the JavaScript library writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.trigger_dev.superjson import decode, plain

_DATE = "2026-01-02T03:04:05.678Z"
_INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("json", "values", "expected"),
    [
        ({"a": 1}, None, {"a": 1}),
        # A root value has its type alone.
        (_DATE, ["Date"], _INSTANT),
        ("12345678901234567890", ["bigint"], 12345678901234567890),
        ({"at": _DATE}, {"at": ["Date"]}, {"at": _INSTANT}),
        ({"a": {"b": [_DATE, 1]}}, {"a.b.0": ["Date"]}, {"a": {"b": [_INSTANT, 1]}}),
        # A path may lead through a key that has a dot.
        ({"a.b": {"c": _DATE}}, {"a\\.b.c": ["Date"]}, {"a.b": {"c": _INSTANT}}),
        # undefined is no member of an object, and null in an array.
        ({"a": None, "b": 1}, {"a": ["undefined"]}, {"b": 1}),
        ([None, 1], {"0": ["undefined"]}, [None, 1]),
        (None, ["undefined"], None),
        ({"m": [["a", 1], ["b", 2]]}, {"m": ["map"]}, {"m": {"a": 1, "b": 2}}),
        # Children are restored inside their holder.
        ({"m": [["a", _DATE]]}, {"m": ["map", {"0.1": ["Date"]}]}, {"m": {"a": _INSTANT}}),
        ([["a", "1"]], ["map", {"0.1": ["bigint"]}], {"a": 1}),
        # A Map with objects as keys stays a list of pairs.
        ([[{"k": 1}, 2]], ["map"], [[{"k": 1}, 2]]),
        ({"s": [1, 2]}, {"s": ["set"]}, {"s": [1, 2]}),
        ({"i": "Infinity", "n": "-Infinity"}, {"i": ["number"], "n": ["number"]}, {"i": math.inf, "n": -math.inf}),
        # An invalid Date.
        ({"at": None}, {"at": ["Date"]}, {"at": None}),
        ({"u": "https://a.test/"}, {"u": ["URL"]}, {"u": "https://a.test/"}),
        ({"r": "/a/g"}, {"r": ["regexp"]}, {"r": "/a/g"}),
        ({"t": [1, 2]}, {"t": [["typed-array", "Uint8Array"]]}, {"t": [1, 2]}),
    ],
)
def test_a_document_is_decoded(json: Any, values: Any, expected: Any) -> None:
    document = {"json": json} if values is None else {"json": json, "meta": {"values": values}}
    assert decode(orjson.dumps(document).decode()) == expected


def test_nan_and_minus_zero_come_back() -> None:
    text = '{"json":["NaN","-0"],"meta":{"values":{"0":["number"],"1":["number"]}}}'
    nan, minus_zero = decode(text)
    assert math.isnan(nan)
    assert math.copysign(1, minus_zero) == -1


@pytest.mark.parametrize("text", ["[1]", "3", "{}", "{"])
def test_what_is_no_document_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)
    with pytest.raises(ValueError):
        plain(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_JSON)
def test_without_hints_a_value_is_itself(value: Any) -> None:
    text = orjson.dumps({"json": value}).decode()
    assert decode(text) == plain(text) == value


@given(_JSON, st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_hint_reaches_any_depth_and_leaves_the_rest(value: Any, keys: list[str]) -> None:
    nested: Any = _DATE
    expected: Any = _INSTANT
    for key in reversed(keys):
        nested = {key: nested, f"{key}-beside": value}
        expected = {key: expected, f"{key}-beside": value}
    path = ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)
    text = orjson.dumps({"json": nested, "meta": {"values": {path: ["Date"]}}}).decode()
    assert decode(text) == expected

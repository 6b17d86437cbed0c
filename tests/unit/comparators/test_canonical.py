"""The canonical form of JSON values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators import JSON, canonical, fingerprint
from comparators.canonical import same

json_values: st.SearchStrategy[JSON] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def python_equal(one: JSON, other: JSON) -> bool:
    """Equality of JSON values, written down naively."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(python_equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(python_equal, one, other))
    return one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # key order, at every depth
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        # a number is its value
        (1, 1.0),
        (0, -0.0),
        (10**21, 1e21),
        ({"x": [45.0, None]}, {"x": [45, None]}),
    ],
)
def test_spellings_of_one_value_are_equal(one: JSON, other: JSON) -> None:
    assert canonical(one) == canonical(other)
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        ("1", 1),
        (None, {}),
        ([], {}),
        ({"a": None}, {}),
        # order of items
        ([1, 2], [2, 1]),
        # a repeated item
        ([1], [1, 1]),
        ("é", "e\u0301"),
        (0.1 + 0.2, 0.3),
        (2**70, 2**70 + 1),
    ],
)
def test_different_values_are_different(one: JSON, other: JSON) -> None:
    assert canonical(one) != canonical(other)
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("value", [math.nan, math.inf, [None, -math.inf], {"a": math.nan}, [2**70, math.nan]])
def test_nan_and_infinities_are_refused(value: JSON) -> None:
    with pytest.raises(ValueError, match="NaN"):
        canonical(value)


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, object(), [{"a": {1}}]])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="expected a"):
        canonical(value)  # type: ignore[arg-type]  # that is the point


@settings(max_examples=200, deadline=None)
@given(json_values, json_values)
def test_canonical_forms_are_equal_exactly_when_the_values_are(one: JSON, other: JSON) -> None:
    assert (canonical(one) == canonical(other)) == python_equal(one, other)
    assert same(one, other) == python_equal(one, other)
    assert same(one, one)


def test_nan_is_not_the_same_as_null() -> None:
    with pytest.raises(ValueError, match="NaN"):
        same([math.nan], [None])


def test_values_that_orjson_cannot_write_have_a_canonical_form_too() -> None:
    # A lone surrogate, as a cut-off JavaScript string holds it; nesting past orjson's limit.
    assert canonical("\ud800") == canonical("\ud800") != canonical("\ud801")
    deep: JSON = 1
    for _ in range(300):
        deep = [deep]
    assert canonical(deep) == b"[" * 300 + b"1" + b"]" * 300

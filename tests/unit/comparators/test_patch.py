"""Patches turn legacy's value into the candidate's, whatever both are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators import JSON, canonical
from comparators.align import align, restored
from comparators.patch import Operation, patch, patched

names = st.sampled_from(["a", "b", "a/b", "m~n", "", "0", "-"])
scalars: st.SearchStrategy[JSON] = (
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.5, "", "0", "x", "é"])
)
values: st.SearchStrategy[JSON] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


def made(legacy: JSON, candidate: JSON, *, unordered: bool = False) -> list[Operation]:
    return patch(*align(legacy, candidate, canonical, {(): None} if unordered else {}))


@settings(max_examples=300, deadline=None)
@given(values, values)
def test_applied_to_legacys_value_a_patch_yields_the_candidates(legacy: JSON, candidate: JSON) -> None:
    assert canonical(patched(legacy, made(legacy, candidate))) == canonical(candidate)


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_so_it_does_where_order_does_not_matter(legacy: list[JSON], candidate: list[JSON]) -> None:
    mine, theirs = align(legacy, candidate, canonical, {(): None})
    assert canonical(patched(restored(mine), patch(mine, theirs))) == canonical(restored(theirs))


@given(values)
def test_there_is_nothing_to_patch_in_what_is_equal(value: JSON) -> None:
    assert made(value, value) == []


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [{"op": "replace", "path": "/b", "value": 3}]),
        ({"a": 1, "b": 2}, {"a": 1}, [{"op": "remove", "path": "/b"}]),
        ({"a": 1}, {"a": 1, "x/y~z": []}, [{"op": "add", "path": "/x~1y~0z", "value": []}]),
        # an item more is one operation, and so is one less
        ([1, 2, 3], [1, 9, 2, 3], [{"op": "add", "path": "/1", "value": 9}]),
        ([1, 2, 3], [1, 3], [{"op": "remove", "path": "/1"}]),
        # what Python takes for the same
        (
            [1, True],
            [True, 1],
            [{"op": "replace", "path": "/0", "value": True}, {"op": "replace", "path": "/1", "value": 1}],
        ),
        (1, "1", [{"op": "replace", "path": "", "value": "1"}]),
    ],
)
def test_a_patch_says_no_more_than_what_differs(legacy: JSON, candidate: JSON, expected: list[Operation]) -> None:
    assert made(legacy, candidate) == expected


def test_a_patch_for_another_value_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        patched({"a": 1}, [{"op": "remove", "path": "/b"}])

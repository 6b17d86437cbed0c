"""Evidence is kept in a form that PostgreSQL takes, and as it was wherever that is possible."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.judge.evidence_text import LARGEST, storable_json, storable_text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),  # a side that has no value has none in the database
        (0, "0"),
        ("a\x00b", '"a\ufffdb"'),  # NUL
        ("a\ud800b", '"a\ufffdb"'),  # half a surrogate pair
        ("\U0001f600", '"\U0001f600"'),  # a whole one is fine
        ({"k\x00": ["\x00"]}, '{"k\ufffd": ["\ufffd"]}'),
        (2**70, "1180591620717411303424"),
        ("\\u0000", '"\\\\u0000"'),  # the six characters, no NUL
    ],
)
def test_values_are_kept_as_near_as_possible(value: Any, kept: str | None) -> None:
    assert storable_json(value) == kept


def test_a_value_that_is_too_large_is_kept_by_its_beginning() -> None:
    kept = json.loads(storable_json("x" * LARGEST) or "")
    assert kept["$bytes"] == LARGEST + 2
    assert kept["$begins"].startswith('"xxx')


def test_a_value_that_is_nested_past_any_limit_is_named() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert storable_json(value) == '{"$unshown":"list"}'


@given(st.text())
def test_text_that_can_be_kept_is_kept_unchanged(text: str) -> None:
    assert storable_text(text) == text.replace("\x00", "\ufffd")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_kept_json_has_neither_nul_nor_lone_surrogates(value: Any) -> None:
    kept = storable_json(value)
    if kept is not None:
        kept.encode()
        assert "\\u0000" not in kept.replace("\\\\", "")

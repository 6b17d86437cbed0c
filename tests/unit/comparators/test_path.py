"""Paths in the one dialect."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators.path import compiled, find, normalised, parse


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ((), "$"),
        (("a", 0, "b"), "$['a'][0]['b']"),
        # the escapes of RFC 9535 section 2.7
        (("it's",), r"$['it\'s']"),
        (("a\\b",), r"$['a\\b']"),
        (("\n\t\b\f\r",), r"$['\n\t\b\f\r']"),
        (("\x00\x1f",), r"$['\u0000\u001f']"),
        (("ü😀]",), "$['ü😀]']"),
    ],
)
def test_parts_are_written_as_normalised_path(parts: tuple[str | int, ...], path: str) -> None:
    assert normalised(parts) == path
    assert parse(path) == parts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text() | st.integers(0, 10**6), max_size=5).map(tuple))
def test_a_normalised_path_is_read_back(parts: tuple[str | int, ...]) -> None:
    assert parse(normalised(parts)) == parts


@pytest.mark.parametrize("path", ["", "a", "$.a", "$[", "$['a'", "x['a']", "$['a']x", "$[-1]"])
def test_what_is_no_normalised_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected a normalised JSONPath"):
        parse(path)


@pytest.mark.parametrize("query", ["", "a.b", "$.a[", "$[?", "$.a | $.b"])
def test_an_invalid_query_is_refused_with_the_query_named(query: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        compiled(query)
    assert repr(query) in str(raised.value)


def test_a_query_finds_nodes_with_their_paths() -> None:
    assert find("$..id", {"id": 1, "x": [{"id": None}]}) == [(("id",), 1), (("x", 0, "id"), None)]
    # A text is a value, not a document to be read.
    assert find("$", '{"id": 1}') == [((), '{"id": 1}')]
    assert find("$.id", '{"id": 1}') == []

"""Expressions: what each form makes of a document, and the two lanes of JSONPath being one language."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath import JSONPathEnvironment

from shadow.catalogue import Document, ExpressionError, MappingFailed, expressions
from shadow.catalogue.paths import MISSING, is_simple, walk

DOCUMENT = Document(
    body={
        "id": 12,
        "name": "Ada",
        "empty": None,
        "price": 12.5,
        "yes": "true",
        "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}],
        "at": "2026-03-04T05:06:07+02:00",
    },
    headers={"x-shop": "a.shop"},
    tables={"tenants": {"a.shop": "tenant_a", "12": {"deep": [1]}, "null": None}},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # paths
        ("$", DOCUMENT.body),
        ("$.name", "Ada"),
        ("$.items[1].sku", "b"),
        ("$['items'][-1]['n']", 2),
        ("$.items[?@.n > 1].sku", "b"),
        ("$..sku", "a"),
        ("$.empty", None),
        # headers, whatever their case in the catalogue
        ("header:X-Shop", "a.shop"),
        # casts
        ({"path": "$.id", "as": "string"}, "12"),
        ({"path": "$.yes", "as": "boolean"}, True),
        ({"path": "$.price", "as": "number"}, 12.5),
        ({"path": "$.at", "as": "time"}, "2026-03-04T03:06:07.000Z"),
        ({"path": "header:x-shop", "as": "string"}, "a.shop"),
        # nothing found, and allowed to be so
        ({"path": "$.absent", "optional": True}, None),
        ({"path": "$.empty", "as": "string", "optional": True}, None),
        # lookups
        ({"lookup": "tenants", "key": "header:x-shop"}, "tenant_a"),
        ({"lookup": "tenants", "key": "$.id"}, {"deep": [1]}),
        ({"lookup": "tenants", "key": "$.name", "else": "nobody"}, "nobody"),
        ({"lookup": "tenants", "key": "$.name", "else": None}, None),
        ({"lookup": "tenants", "key": "null", "else": 1}, None),
        ({"lookup": "tenants", "key": {"path": "$.absent", "optional": True}, "else": 1}, 1),
        # literals
        ("text", "text"),
        (5, 5),
        (None, None),
        ({"value": "$.name"}, "$.name"),
        ({"value": {"path": 1}}, {"path": 1}),
        # what is built of expressions
        ({"a": "$.id", "b": ["$.name", {"c": 1}]}, {"a": 12, "b": ["Ada", {"c": 1}]}),
        # an optional path that finds nothing leaves its key out; null that was found stays; lists keep their places
        ({"a": {"path": "$.absent", "optional": True}, "b": {"path": "$.empty", "optional": True}}, {"b": None}),
        ([{"path": "$.absent", "optional": True}, 1], [None, 1]),
        # keys that are named like a form's
        ({"value": "$.price", "currency": "EUR"}, {"value": 12.5, "currency": "EUR"}),
        ({"build": {"path": "$.name", "url": 1}}, {"path": "Ada", "url": 1}),
        ({"build": {"value": "$.price"}}, {"value": 12.5}),
    ],
)
def test_each_form_makes_its_value(expression: Any, value: Any) -> None:
    assert expressions.compile(expression).evaluate(DOCUMENT) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("$.absent", "here: found nothing, expected a value at $.absent"),
        ("header:x-absent", "here: found nothing, expected a value at header:x-absent"),
        ({"a": ["$.absent"]}, "here.a[0]: found nothing, expected a value at $.absent"),
        ({"path": "$.empty", "as": "string"}, "here: found null, expected text, a number or a boolean at $.empty"),
        ({"path": "$.name", "as": "integer"}, "here: found text, expected a whole number at $.name"),
        ({"path": "$.items", "as": "string"}, "here: found a list, expected text, a number or a boolean at $.items"),
        ({"lookup": "tenants", "key": "$.name"}, "here: found 'Ada', expected a row of the table tenants"),
        ({"lookup": "tenants", "key": "$.items"}, "here: found a list, expected a row of the table tenants"),
    ],
)
def test_what_cannot_be_made_says_where_what_was_found_and_what_was_expected(expression: Any, message: str) -> None:
    compiled = expressions.compile(expression, where="here")
    with pytest.raises(MappingFailed) as caught:
        compiled.evaluate(DOCUMENT)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("expression", "path", "found"),
    [
        ("$.", (), "'$.' ("),
        ("$.a | $.b", (), "'$.a | $.b' ("),
        ("header:", (), "'header:'"),
        ({"a": [{"path": "id"}]}, ("a", 0, "path"), "text"),
        ({"path": "$.a", "az": "string"}, ("az",), "the key 'az' beside 'path'"),
        ({"path": "$.a", "as": "date"}, ("as",), "'date'"),
        ({"path": "$.a", "optional": "yes"}, ("optional",), "text"),
        ({"lookup": "shops", "key": 1}, ("lookup",), "'shops'"),
        ({"lookup": "tenants"}, (), "no key"),
        ({"lookup": "tenants", "key": "$.["}, ("key",), "'$.['"),
    ],
)
def test_what_can_never_be_made_is_refused_when_the_catalogue_is_loaded(expression: Any, path: Any, found: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile(expression, tables={"tenants"})
    assert caught.value.path == path
    assert caught.value.found.startswith(found)


def test_a_document_nested_too_deeply_for_a_search_fails_as_a_mapping_does() -> None:
    body: Any = {}
    for _ in range(300):
        body = {"a": body}
    with pytest.raises(MappingFailed, match="nested too deeply"):
        expressions.compile("$..b").evaluate(Document(body))


names = st.sampled_from(["a", "b", "0", "1", "é", "a b", "'", "-1"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
steps = st.lists(names | st.integers(-3, 3), max_size=4)


def as_path(parts: list[str | int]) -> str:
    quoted = (part if isinstance(part, int) else "'" + part.replace("'", "\\'") + "'" for part in parts)
    return "$" + "".join(f"[{part}]" for part in quoted)


@given(documents, steps)
def test_the_fast_lane_finds_what_the_library_finds(document: Any, parts: list[str | int]) -> None:
    path = as_path(parts)
    assert is_simple(path)
    # The library would parse a bare string as a JSON text of its own.
    expected = JSONPathEnvironment(strict=True).findall(path, [document] if isinstance(document, str) else document)
    if isinstance(document, str):
        expected = [document] if not parts else []
    found = walk(path)(document)
    assert ([] if found is MISSING else [found]) == expected


@given(documents, st.sampled_from(["$..a", "$.*", "$[*].a", "$['a','b']", "$[0:2]", "$[?@.a]", "$[?@ == 1]"]))
def test_other_paths_find_the_librarys_first_match(document: Any, path: str) -> None:
    assert not is_simple(path)
    expected = [] if isinstance(document, str) else JSONPathEnvironment(strict=True).findall(path, document)
    found = walk(path)(document)
    assert (found is MISSING) if not expected else found == expected[0]

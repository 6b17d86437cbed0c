"""What holds for every value: normalising is done once, notation never counts, and a change always does."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from comparators import Effect, Ledger, Verdict, canonical
from comparators.kinds import normal
from comparators.kinds.address import recipients
from comparators.kinds.form import fields
from comparators.kinds.markup import seen
from comparators.kinds.text import line, lines
from comparators.kinds.url import url
from comparators.shape import leaves
from tests.unit.comparators.ledgers import completed, judged

KINDS = ("http", "email", "event", "sql", "state", "other")
CONTENT_TYPES = (
    "",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=X",
    "application/graphql",
    "text/xml",
    "text/plain",
)
NAMES = st.sampled_from(
    [
        *("a", "b", "to", "from", "subject", "html", "text", "body", "query", "variables", "data", "events", "name"),
        *("value", "type", "blocks", "attachments", "content", "headers", "user_data", "em", "client_id", "id"),
        *("scheduledFor", "a[b]", "a[]", "a[0]", "0", "1", "personalizations", "method", "path", "email", "address"),
    ]
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        *("a@X.test", "A <a@x.test>, b", "{ a(b: 1) }", '{"a": 1.0}', "[1]", "<p>x</p>", "<a><b/></a>", "a=1&b[c]=2"),
        *("%7e", "2026-01-05 10:00:00+00", "=?utf-8?q?=C3=A9?=", "--X\r\n\r\nx\r\n--X--", "x\r\ny", "YQ=="),
        "https://X.test?b=1&a",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(KINDS), VALUES)
def test_normalising_twice_is_normalising_once(kind: str, value: Any) -> None:
    once = normal(kind, value)
    assert normal(kind, once) == once


@given(VALUES, VALUES, st.sampled_from(CONTENT_TYPES))
def test_a_call_is_normalised_once_whatever_its_body_is_said_to_be(body: Any, query: Any, content_type: str) -> None:
    once = normal(
        "http", {"method": "post", "path": "/%7e", "query": query, "body": body, "content_type": content_type}
    )
    assert normal("http", once) == once


@pytest.mark.parametrize("notation", [line, lines, url, recipients, lambda text: seen(text)["lines"]])  # type: ignore[index, call-overload]
@given(text=st.text(max_size=30) | TEXTS)
def test_a_text_is_brought_into_its_notation_once(notation: Callable[[Any], Any], text: str) -> None:
    once = notation(text)
    assert (once if isinstance(once, list) else notation(once)) == once


@given(VALUES, st.booleans(), st.integers(0, 3))
def test_json_says_the_same_however_it_is_spelled(value: Any, ascii_only: bool, indent: int) -> None:
    assume(isinstance(value, dict | list))
    spelled = json.dumps(_turned(value), ensure_ascii=ascii_only, indent=indent or None)
    one, other = (
        {"method": "POST", "path": "/", "content_type": "application/json", "body": body} for body in (value, spelled)
    )
    assert canonical(normal("http", one)) == canonical(normal("http", other))


@given(st.dictionaries(st.sampled_from(["a", "b[c]", "b[d]", "e[]"]), st.text(max_size=5), min_size=1), st.randoms())
def test_a_form_says_the_same_in_any_order_and_encoding(form: dict[str, str], random: Any) -> None:
    pairs = list(form.items())
    random.shuffle(pairs)
    spelled = [urlencode(pairs), "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)]
    assert fields(spelled[0]) == fields(spelled[1]) == fields(urlencode(form))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(alphabet="abcxyz12 ", max_size=9),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "amount", "to", "text", "c"]), inner, min_size=1, max_size=4)
    ),
    max_leaves=10,
)


@given(PLAIN, st.data())
def test_another_value_at_any_place_of_a_body_is_found(body: Any, data: st.DataObject) -> None:
    assume(isinstance(body, dict | list))
    places = [parts for parts, _ in leaves(body)]
    where = data.draw(st.sampled_from(places))
    damaged = deepcopy(body)
    holder = damaged
    for step in where[:-1]:
        holder = holder[step]
    holder[where[-1]] = data.draw(PLAIN.filter(lambda value: canonical(value) != canonical(holder[where[-1]])))
    judgement = judged(_ledger(body), _ledger(damaged))
    assert judgement.verdict is Verdict.mismatch


def _ledger(body: Any) -> Ledger:
    call = {"method": "POST", "path": "/v1/x", "content_type": "application/json", "body": body}
    return Ledger(completed(), (Effect("http", "api", "POST /v1/x", None, call),))


def _turned(value: Any) -> Any:
    """The same value with its members the other way round, and whole numbers as fractions."""
    if isinstance(value, dict):
        return {name: _turned(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [_turned(item) for item in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value

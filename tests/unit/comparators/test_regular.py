"""Expressions of authors: they mean what they mean in Python, and no text makes them slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators.canonical import JSON
from comparators.path import compiled, find
from comparators.regular import NotRegular, Regular, regular
from comparators.rules.pattern import PatternRule
from comparators.rules.rule import RuleError

SLOW = (
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(a|aa)+$",
    "(?:a?){500}a{500}b",
    "([a-z]+)*!",
    r"(\w+\s?)*!",
    "(.*)*(.*)*x",
    ".*.*.*.*.*x",
)
WITHIN = 1.0
"""Seconds, of which a slow machine has all: Python's engine takes years for most of these."""


@pytest.mark.parametrize("expression", SLOW)
def test_no_text_makes_an_expression_slow(expression: str) -> None:
    text = "a" * 50_000 + "\n"
    began = time.process_time()
    made = regular(expression)
    assert not made.takes(text)
    made.is_within(text)
    assert time.process_time() - began < WITHIN


@pytest.mark.parametrize("expression", SLOW)
def test_a_rule_of_such_a_pattern_is_as_quick(expression: str) -> None:
    rule = PatternRule("output", "$.note", "noise", regex=expression)
    began = time.process_time()
    assert rule.says("a" * 9_999 + "\n", "a" * 9_999 + "\n", None, None) is None  # type: ignore[arg-type]
    assert time.process_time() - began < WITHIN


@pytest.mark.parametrize("query", ["$[?match(@.it, '(a+)+b')]", "$[?search(@.it, '(a+)+b')]"])
def test_a_query_is_as_quick(query: str) -> None:
    began = time.process_time()
    assert find(query, [{"it": "a" * 9_999}, {"it": "aab"}]) == [((1,), {"it": "aab"})]
    assert time.process_time() - began < WITHIN


def test_an_expression_that_a_document_holds_is_as_quick() -> None:
    began = time.process_time()
    items: list[JSON] = [{"it": "a" * 9_999, "as": "(a+)+b"}, {"it": "ab", "as": "(a+)+b"}, {"it": "a", "as": "("}]
    assert find("$[?match(@.it, @.as)]", items) == [((1,), items[1])]
    assert find("$[?match(@.it, @.as)]", [{"it": "a", "as": "a?" * 1000}, {"it": "a" * 10_001, "as": "a*"}]) == []
    assert time.process_time() - began < WITHIN


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("(", "missing )"),
        ("a(?=b)", "(?="),
        ("(?<!a)b", "(?<"),
        (r"(a)\1", r"\1"),
        (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10", r"\1"),
        (r"(?P<a>b)(?P=a)", "(?P"),
        ("a++", "++"),
        ("(?>a)", "(?>"),
        ("a{1001}", "{1001}"),
        ("(?x) a", "(?x"),
        (r"\bfoo", r"\b: write"),
        (r"[\W]", r"\W within brackets: write"),
        ("[[:alpha:]]", "[ as the first"),
        ("[^a[:alpha:]]", "[: within brackets"),
        ("a\\", "escape"),
        ("[a&&b]", "&& within brackets"),
        (r"(?:\w{500}){1,2}", "too large"),
        ("\ud800", "surrogates"),
        ("(" * 5000, ""),
    ],
)
def test_what_would_be_slow_or_read_otherwise_is_refused_with_the_reason(expression: str, says: str) -> None:
    with pytest.raises(NotRegular) as raised:
        Regular(expression)
    assert says in str(raised.value)


def test_a_rule_that_is_refused_says_what_to_write_instead() -> None:
    with pytest.raises(RuleError) as raised:
        PatternRule("output", "$.note", "noise", regex="(?=a)a")
    assert raised.value.key == "regex"
    assert "'(?=a)a' (invalid perl operator: (?=)" in raised.value.found
    assert "without lookaround" in raised.value.expected


def test_a_query_whose_expression_never_matches_is_refused() -> None:
    with pytest.raises(ValueError, match="without lookaround"):
        compiled("$[?search(@, '(?=a)')]")


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        (r"v\d+\.\d+", "v1.10", True),
        (r"\d+", "٣", True),
        (r"\w+", "é_²a", True),
        (r"\W", "é", False),
        (r"[\w.-]+", "é.a-", True),
        (r"\s\S", "\u2028é", True),
        (r"[\s]+", "\x1c\x85 ", True),
        (r"[^\d]", "٣", False),
        (r"a{,2}", "aa", True),
        (r"a{,2}", "a{,2}", False),
        (r"[]a]+", "]a", True),
        (r"[\b]", "\x08", True),
        (r"\u00e9\x41\Z", "éA", True),
        (r"(?i)É", "é", True),
        (r".", "\ud800", False),
        (r"a", "a\n", False),
    ],
)
def test_an_expression_means_what_it_means_in_python(expression: str, text: str, expected: bool) -> None:
    assert Regular(expression).takes(text) is expected


ESCAPED = (
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\.",
    r"\-",
    r"\u00e9",
    r"\x41",
    r"\0",
    r"\012",
    r"\101",
    r"\10",
    r"\Z",
    r"\A",
    r"\\",
    r"\/",
)
ESCAPED_WITHIN = (
    r"\d",
    r"\D",
    r"\w",
    r"\s",
    r"\b",
    r"\]",
    r"\-",
    r"\\",
    r"\n",
    r"\u00e9-\u00ff",
    r"\1",
    r"\101",
    "a-z",
)
ATOMS = st.sampled_from([*"ab1 _.é²٣\n-:,{}^", *ESCAPED])
MEMBERS = st.sampled_from([*"ab1_.é²-^[:=&|~,{}", *ESCAPED_WITHIN])
BRACKETS = st.builds("[{}{}]".format, st.sampled_from(["", "^", "]", "^]"]), st.lists(MEMBERS, min_size=1).map("".join))
REPEATED = st.sampled_from(["", "", "*", "+", "?", "*?", "??", "{2}", "{1,2}", "{,2}", "{,}", "{1,}", "{a}", "{", "*+"])
EXPRESSIONS = st.builds(
    str.__add__,
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?a)", "(?im)"]),
    st.recursive(
        ATOMS | BRACKETS,
        lambda inner: st.one_of(
            st.builds(str.__add__, inner, REPEATED),
            st.builds(str.__add__, inner, inner),
            st.builds("(?:{}|{})".format, inner, inner),
            st.builds("(?P<n>{})".format, inner),
            st.builds("(?{}:{})".format, st.sampled_from(["i", "s", "-i"]), inner),
        ),
        max_leaves=6,
    ),
)
TEXTS = st.text(alphabet="abABzZ1_ .éÉ²٣\n\r\t\x1c\x85\u2028-:,{}[]^$|\\&~\x08\x01", max_size=6)


@given(EXPRESSIONS, st.lists(TEXTS, min_size=1, max_size=6))
def test_whatever_is_taken_means_what_it_means_in_python(expression: str, texts: list[str]) -> None:
    try:
        made = Regular(expression)
    except NotRegular:
        return
    pythons = re.compile(expression)
    for text in texts:
        assert made.takes(text) == (pythons.fullmatch(text) is not None)
        assert made.is_within(text) == (pythons.search(text) is not None)

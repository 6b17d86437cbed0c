"""What each type of rule takes for the same, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from comparators import JSON, RuleError, ValueRule
from comparators.rules import (
    EmbeddedJsonRule,
    ExactRule,
    IgnoreRule,
    KeyedListRule,
    MoneyRule,
    NumberRule,
    OpaqueIdRule,
    PatternRule,
    PresenceRule,
    SetRule,
    TextRule,
    TimestampRule,
    UrlRule,
)
from tests.unit.comparators.ledgers import CANDIDATE_START, DAY, LEGACY_START, iso
from tests.unit.comparators.rules.places import same

NOTE: tuple[Any, Any] = ("effect", "$.note")
UUID_A, UUID_B = "0190d5f2-7c1a-7d3e-9b5f-000000000001", "0190d5f6-aaaa-7bbb-8ccc-000000000009"


def at(**fields: Any) -> dict[str, Any]:
    return {"scope": "effect", "path": "$.note", "reason": "r", **fields}


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("a", "a", True),
        (1, 1.0, True),
        # without the rule this is an id that corresponds, a moment of the run's clock, and float noise
        (UUID_A, UUID_B, False),
        (iso(LEGACY_START + 1), iso(CANDIDATE_START + 1), False),
        (0.1 + 0.2, 0.3, False),
        ({"a": UUID_A}, {"a": UUID_B}, False),
    ],
)
def test_exact_makes_nothing_of_ids_moments_and_noise(legacy: JSON, candidate: JSON, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, ExactRule(**at())) is expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "rule", "expected"),
    [
        (10, 10.4, NumberRule(**at(absolute=0.5)), True),
        (10, 10.6, NumberRule(**at(absolute=0.5)), False),
        (100, 109, NumberRule(**at(relative=0.1)), True),
        (100, 120, NumberRule(**at(relative=0.1)), False),
        (10, "10", NumberRule(**at(absolute=0.5)), False),
        (True, 1, NumberRule(**at(absolute=5)), False),
    ],
)
def test_number_has_a_tolerance(legacy: JSON, candidate: JSON, rule: ValueRule, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, rule) is expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "fields", "expected"),
    [
        ("12.5", "12.50", {}, True),
        ("12.50", "12.51", {}, False),
        (12.5, 12.500_000_9, {}, True),
        (12.5, 12.500_01, {}, False),
        # an amount in cents, and one that became a text: both are other amounts to whoever reads them
        (12.5, 1250, {}, False),
        (12.5, "12.50", {}, False),
        (1250, 1250.000_01, {"unit": "minor"}, True),
        (1250, 1250.01, {"unit": "minor"}, False),
        # what noise is depends on the currency's unit
        (1250.0, 1250.000_05, {"currency": "$.currency"}, True),
        (1250.0, 1250.001, {"currency": "$.currency"}, False),
        (1250.0, 1250.000_05, {"currency": "@.currency"}, True),
        (1250.0, 1250.000_05, {"currency": "$.none"}, False),
        ("12.50 EUR", "12.5 EUR", {}, False),
    ],
)
def test_money_is_an_amount_whatever_its_notation(
    legacy: JSON, candidate: JSON, fields: dict[str, Any], expected: bool
) -> None:
    rule = MoneyRule("effect", "$.total", **fields)
    yen: dict[str, JSON] = {"currency": "JPY"}
    assert same({**yen, "total": legacy}, {**yen, "total": candidate}, rule) is expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "fields", "expected"),
    [
        # the run's own clock, in every notation
        (iso(LEGACY_START + DAY), iso(CANDIDATE_START + DAY + 1), {}, True),
        (iso(LEGACY_START + DAY), iso(CANDIDATE_START + 2 * DAY), {}, False),
        (LEGACY_START + 1, CANDIDATE_START + 2, {}, True),
        (int(LEGACY_START) * 1000, int(CANDIDATE_START) * 1000, {}, True),
        ("Mon, 02 Mar 2026 10:00:01 GMT", "Mon, 02 Mar 2026 10:04:32 GMT", {}, True),
        (int(LEGACY_START), int(CANDIDATE_START) * 1000, {}, False),
        (iso(LEGACY_START + 1), iso(CANDIDATE_START + 8), {"tolerance": 10}, True),
        (iso(LEGACY_START + 1), iso(CANDIDATE_START + 20), {"tolerance": 10}, False),
        # a moment from data
        ("2026-03-06T09:00:00Z", "2026-03-06T09:00:00Z", {"relative": False}, True),
        ("2026-03-06T09:00:00Z", "2026-03-06T10:00:00+01:00", {"relative": False}, True),
        ("2026-03-06T09:00:00Z", "2026-03-06T09:00:30Z", {"relative": False, "tolerance": 60}, True),
        (iso(LEGACY_START), iso(CANDIDATE_START), {"relative": False}, False),
        # without a zone
        ("2026-03-06T10:00:00", "2026-03-06T09:00:00Z", {"timezone": "Europe/Berlin", "relative": False}, True),
        ("2026-03-06T10:00:00", "2026-03-06T09:00:00Z", {"relative": False}, False),
        # days count from the day on which the run ran
        ("2026-03-09", "2026-03-09", {}, True),
        ("2026-03-09", "2026-03-10", {}, False),
        ("2026-03-09", "2026-03-10", {"relative": False}, False),
        ("2026-02-30", "2026-03-02", {}, False),
    ],
)
def test_timestamp_follows_the_runs_clock_or_comes_from_data(
    legacy: JSON, candidate: JSON, fields: dict[str, Any], expected: bool
) -> None:
    assert same({"note": legacy}, {"note": candidate}, TimestampRule(*NOTE, **fields)) is expected


def test_a_day_follows_the_day_of_the_run_in_its_time_zone() -> None:
    # Where it is 14 hours later than in UTC, both runs are of the 3rd of March.
    zone = "Pacific/Kiritimati"
    assert same({"note": "2026-03-03"}, {"note": "2026-03-03"}, TimestampRule(*NOTE, timezone=zone))
    assert not same({"note": "2026-03-03"}, {"note": "2026-03-02"}, TimestampRule(*NOTE, timezone=zone))
    # A run over midnight took its day from either side of it.
    late = "Etc/GMT-14"
    assert not same({"note": "2026-03-03"}, {"note": "2026-03-04"}, TimestampRule(*NOTE, timezone=late))


def test_a_moment_that_the_event_knew_is_no_moment_of_the_runs_clock() -> None:
    legacy, candidate = iso(LEGACY_START + DAY), iso(CANDIDATE_START + DAY)
    assert same({"note": legacy}, {"note": candidate}, TimestampRule(*NOTE))
    assert not same({"note": legacy}, {"note": candidate}, TimestampRule(*NOTE), known={"due": legacy})


def test_an_opaque_id_maps_one_to_one_and_is_used_consistently() -> None:
    rule = OpaqueIdRule("effect", "$.ids[*]")
    assert not same({"ids": ["A-1"]}, {"ids": ["B-7"]})
    assert same({"ids": ["A-1", "A-2", "A-1"]}, {"ids": ["B-7", "B-8", "B-7"]}, rule)
    assert not same({"ids": ["A-1", "A-2"]}, {"ids": ["B-7", "B-7"]}, rule)
    assert not same({"ids": ["A-1", "A-1"]}, {"ids": ["B-7", "B-8"]}, rule)
    assert same({"ids": [4711, 4712]}, {"ids": [12, 13]}, rule)
    # what looks generated is one already; a value that the event knew never is
    assert same({"ids": [UUID_A]}, {"ids": [UUID_B]}, rule)
    assert not same({"ids": ["A-1"]}, {"ids": ["B-7"]}, rule, known={"order": "A-1"})
    assert not same({"ids": ["4711"]}, {"ids": [12]}, rule)


@pytest.mark.parametrize(
    ("legacy", "candidate", "fields", "expected"),
    [
        ("one  two\n", " one two", {}, True),
        ("one two", "onetwo", {}, False),
        ("Gr\u00fc\u00dfe", "Gru\u0308\u00dfe", {}, True),
        ("one  two", "one two", {"whitespace": "keep"}, False),
        ("Hello", "hello", {}, False),
        ("Hello", "hello", {"case": "fold"}, True),
        ("\ufb01ne", "fine", {}, False),
        ("\ufb01ne", "fine", {"form": "NFKC"}, True),
        (f"job  {UUID_A}", f"job {UUID_B}", {}, True),
        (f"job  {UUID_A}", f"task {UUID_B}", {}, False),
        ("1", 1, {}, False),
    ],
)
def test_text_is_words(legacy: JSON, candidate: JSON, fields: dict[str, Any], expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, TextRule(*NOTE, **fields)) is expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "without", "expected"),
    [
        ("https://x.test/a?b=1&c=2", "https://x.test/a?c=2&b=1", (), True),
        ("https://X.test:443/a", "https://x.test/a", (), True),
        ("https://x.test", "https://x.test/", (), True),
        ("https://x.test/a%2fb?q=a+b", "https://x.test/a%2Fb?q=a%20b", (), True),
        ("https://x.test/a/b", "https://x.test/a%2Fb", (), False),
        ("https://x.test/A", "https://x.test/a", (), False),
        ("https://x.test/?b=1&b=2", "https://x.test/?b=2&b=1", (), False),
        ("https://x.test/?b=1", "https://x.test/?b=2", (), False),
        ("https://x.test/?b=1&utm_source=a", "https://x.test/?utm_source=b&b=1", (), False),
        ("https://x.test/?b=1&utm_source=a", "https://x.test/?utm_source=b&b=1", ("utm_*",), True),
        ("https://x.test/?b=1&utm_source=a", "https://x.test/?b=1", ("utm_*",), True),
        (f"https://x.test/{UUID_A}?b=1&c=2", f"https://x.test/{UUID_B}?c=2&b=1", (), True),
        # an amount among what is left out by a pattern stays
        ("https://x.test/?p_amount=1", "https://x.test/?p_amount=2", ("p_*",), False),
        ("https://[x", "https://[y", (), False),
    ],
)
def test_url_is_read_as_one(legacy: str, candidate: str, without: tuple[str, ...], expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, UrlRule(*NOTE, without=without)) is expected


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        (["a", "b"], ["b", "a"], True),
        (["a", "b"], ["a"], False),
        # an item that is there twice is not there once
        (["a", "a", "b"], ["b", "a"], False),
        ([{"n": 1}, {"n": 2}], [{"n": 2}, {"n": 1}], True),
        ([UUID_A, "x"], ["x", UUID_B], True),
    ],
)
def test_a_set_has_no_order(legacy: JSON, candidate: JSON, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, SetRule(*NOTE)) is expected


def test_a_set_of_moments_is_the_same_in_the_order_in_which_it_stands() -> None:
    # Paired by what they say, the candidate's first would be legacy's last.
    legacy: list[JSON] = [{"at": LEGACY_START}, {"at": CANDIDATE_START}]
    candidate: list[JSON] = [{"at": CANDIDATE_START}, {"at": 2 * CANDIDATE_START - LEGACY_START}]
    assert same({"note": legacy}, {"note": candidate})
    assert same({"note": legacy}, {"note": candidate}, SetRule(*NOTE))


def test_recipients_may_be_a_set_for_that_hides_nobody() -> None:
    rule = SetRule("effect", "$.to")
    assert same({"to": ["a@x.test", "b@x.test"]}, {"to": ["b@x.test", "a@x.test"]}, rule)
    assert not same({"to": ["a@x.test", "b@x.test"]}, {"to": ["b@x.test", "b@x.test"]}, rule)


def test_a_list_is_paired_by_its_keys_and_compared_within() -> None:
    rule = KeyedListRule("effect", "$.lines", by=("$.sku", "$.size"))
    one: dict[str, JSON] = {"sku": "A", "size": 1, "n": 1}
    two: dict[str, JSON] = {**one, "size": 2}
    assert same({"lines": [one, two]}, {"lines": [two, one]}, rule)
    assert not same({"lines": [one, two]}, {"lines": [{**two, "n": 2}, one]}, rule)
    assert not same({"lines": [one, two]}, {"lines": [two]}, rule)


def test_what_a_list_is_paired_by_may_be_left_out_of_the_comparison() -> None:
    listed = KeyedListRule("effect", "$.lines", by=("$.ref",))
    one: dict[str, JSON] = {"ref": 1, "n": 1}
    two: dict[str, JSON] = {"ref": 2, "n": 2}
    for path in ("$.lines[*].ref", "$..ref"):
        ignored = IgnoreRule("effect", path, "r")
        assert same({"lines": [one, two]}, {"lines": [two, one]}, listed, ignored)
        assert same({"lines": [one, two]}, {"lines": [{**one, "ref": 3}, two]}, listed, ignored)
        assert not same({"lines": [one, two]}, {"lines": [{**two, "n": 1}, one]}, listed, ignored)


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ('{"a": 1, "b": [1]}', '{"b":[1.0],"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ('{"a": 1}', '{"a": 1', False),
        ('{"total": 1}', '{"total": 1}', True),
        # a text that happens to be JSON of no structure is text
        ("1.0", "1", False),
    ],
)
def test_json_in_a_text_is_compared_as_json(legacy: str, candidate: str, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, EmbeddedJsonRule(*NOTE)) is expected


def test_rules_reach_into_json_that_was_in_a_text_and_in_a_text_within() -> None:
    rules = (
        EmbeddedJsonRule(*NOTE),
        EmbeddedJsonRule("effect", "$.note.inner"),
        NumberRule("effect", "$.note.inner.score", absolute=1),
        SetRule("effect", "$.note.tags"),
    )
    legacy, candidate = '{"inner": "{\\"score\\": 1}", "tags": [1, 2]}', '{"tags": [2, 1], "inner": "{\\"score\\": 2}"}'
    assert same({"note": legacy}, {"note": candidate}, *rules)
    assert not same({"note": legacy}, {"note": candidate}, *rules[:3])
    assert not same({"note": legacy}, {"note": candidate}, rules[0], rules[2], rules[3])


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("a", 7, True),
        ({"a": 1}, {"b": 2}, True),
        (None, None, True),
        ("a", None, False),
        # what is protected stays so
        ({"total": 1}, {"total": 2}, False),
    ],
)
def test_presence_asks_only_whether_something_is_there(legacy: JSON, candidate: JSON, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, PresenceRule(**at())) is expected
    assert not same({"note": legacy}, {}, PresenceRule(**at()))


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [("v1.2", "v1.10", True), ("v1.2", "1.10", False), ("v1.2", 12, False), ("x", "x", True)],
)
def test_a_pattern_takes_what_is_of_one_form(legacy: JSON, candidate: JSON, expected: bool) -> None:
    assert same({"note": legacy}, {"note": candidate}, PatternRule(**at(regex=r"v\d+\.\d+"))) is expected


@pytest.mark.parametrize(
    ("rule", "fields", "key"),
    [
        (NumberRule, {}, "relative"),
        (NumberRule, {"absolute": -1}, "absolute"),
        (MoneyRule, {"unit": "cents"}, "unit"),
        (MoneyRule, {"currency": "currency"}, "currency"),
        (TimestampRule, {"tolerance": -1}, "tolerance"),
        (TimestampRule, {"timezone": "Europe/Nowhere"}, "timezone"),
        (TextRule, {"case": "lower"}, "case"),
        (UrlRule, {"without": ("*",)}, "without"),
        (UrlRule, {"without": ("amount",)}, "without"),
        (KeyedListRule, {}, "by"),
        (KeyedListRule, {"by": ("sku",)}, "by"),
        (PatternRule, {}, "regex"),
        (PatternRule, {"regex": "("}, "regex"),
        (PatternRule, {"regex": r"(?s).*"}, "regex"),
        (PatternRule, {"regex": "a+", "reason": " "}, "reason"),
        (PresenceRule, {"reason": ""}, "reason"),
        (ExactRule, {"scope": "run"}, "scope"),
        (ExactRule, {"path": "note"}, "path"),
    ],
)
def test_a_rule_that_says_nothing_is_refused_by_the_name_of_its_field(
    rule: type[ValueRule], fields: dict[str, Any], key: str
) -> None:
    with pytest.raises(RuleError) as raised:
        rule(**at(**fields))
    assert raised.value.key == key
    assert raised.value.expected

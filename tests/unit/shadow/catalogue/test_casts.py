"""Casts are strict: what does not fit is an error, never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.catalogue.casts import CASTS, CastFailed, kind_of


@pytest.mark.parametrize(
    ("cast", "value", "expected"),
    [
        ("string", "a", "a"),
        ("string", 12, "12"),
        ("string", 9007199254740993, "9007199254740993"),
        ("string", 1.5, "1.5"),
        ("string", True, "true"),
        ("integer", "-7", -7),
        ("integer", 3.0, 3),
        ("number", "1.25", 1.25),
        ("number", "12", 12),
        # the whole numbers of 64 bits, signed or not, and no others: these are what JSON is stored with
        ("integer", "18446744073709551615", 2**64 - 1),
        ("integer", "-9223372036854775808", -(2**63)),
        ("number", "18446744073709551615", 2**64 - 1),
        ("boolean", "FALSE", False),
        ("boolean", 1, True),
        ("time", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("time", "2026-01-02T03:04:05.123456-05:00", "2026-01-02T08:04:05.123456Z"),
        # epoch seconds, milliseconds, and Slack's text of seconds
        ("time", 1767323045, "2026-01-02T03:04:05.000Z"),
        ("time", 1767323045678, "2026-01-02T03:04:05.678Z"),
        ("time", "1767323045", "2026-01-02T03:04:05.000Z"),
    ],
)
def test_a_value_that_fits_is_cast(cast: str, value: Any, expected: Any) -> None:
    made = CASTS[cast](value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("cast", "value"),
    [
        ("string", None),
        ("string", [1]),
        ("string", float("nan")),
        ("integer", 1.5),
        ("integer", "1.0"),
        ("integer", True),
        ("integer", ""),
        ("integer", "1\n"),
        ("number", "1,5"),
        ("number", "1e999"),
        ("number", float("inf")),
        ("number", False),
        ("boolean", "yes"),
        ("boolean", 2),
        ("boolean", 1.0),
        # no offset: nobody knows which instant it means
        ("time", "2026-01-02T03:04:05"),
        ("time", "2026-01-02"),
        ("time", "soon"),
        ("time", 1e30),
        ("time", True),
        ("time", None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_kind(cast: str, value: Any) -> None:
    with pytest.raises(CastFailed) as caught:
        CASTS[cast](value)
    assert caught.value.found == kind_of(value)


@pytest.mark.parametrize("cast", ["integer", "number"])
@pytest.mark.parametrize("value", ["18446744073709551616", "-9223372036854775809", "1" * 30, 2**64])
def test_a_whole_number_that_could_not_be_stored_is_refused(cast: str, value: Any) -> None:
    with pytest.raises(CastFailed, match="expected a whole number of 64 bits"):
        CASTS[cast](value)


def test_a_fraction_beyond_64_bits_is_no_integer_and_still_a_number() -> None:
    with pytest.raises(CastFailed, match="64 bits"):
        CASTS["integer"](1e30)
    assert CASTS["number"](1e30) == 1e30

"""Text that PostgreSQL can keep, and keys made of any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.intake.storable import LONGEST, key_of, storable, storable_or_none


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("order/created", True),
        ("größe", True),
        ("\U0001f600", True),
        ("a\x00b", False),  # NUL
        ("\ud800", False),  # half a character
        ("x" * LONGEST, True),
        ("x" * (LONGEST + 1), False),  # no index row holds it
        ("ü" * (LONGEST // 2), True),
        ("\U0001f600" * (LONGEST // 2), False),  # few characters, but too many bytes
    ],
)
def test_what_fits_a_column(text: str, fits: bool) -> None:
    assert storable(text) is fits
    assert storable_or_none(text) == (text if fits else None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("id", "a:b", "c"), ("id", "a", "b:c")),
        (("id", "a\\:b"), ("id", "a:b")),
        (("id", "a\\", "b"), ("id", "a:b")),
        (("id", "a:b"), ("id", "a", "b")),
    ],
)
def test_keys_of_other_parts_differ(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert key_of(*first) != key_of(*second)


_parts = st.lists(st.text(alphabet=":\\ab", max_size=4), min_size=1, max_size=3)


@given(_parts, _parts)
def test_a_key_tells_its_parts_apart(first: list[str], second: list[str]) -> None:
    assert (key_of(*first) == key_of(*second)) is (first == second)


@given(st.lists(st.text(max_size=400), min_size=1, max_size=3))
def test_a_key_of_anything_fits(parts: list[str]) -> None:
    assert storable(key_of(*parts))

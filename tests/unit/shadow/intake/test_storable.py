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
        ("x" * (LONGEST + 1), False),  # no index row holds it
    ],
)
def test_what_fits_a_column(text: str, fits: bool) -> None:
    assert storable(text) is fits
    assert storable_or_none(text) == (text if fits else None)


@given(st.lists(st.text(max_size=400), min_size=1, max_size=3))
def test_a_key_of_anything_fits(parts: list[str]) -> None:
    assert storable(key_of(*parts))

"""Which paths are protected: decided by names."""

from __future__ import annotations

import pytest

from comparators.path import Parts
from comparators.protected import is_protected, words


@pytest.mark.parametrize(
    "parts",
    [
        ("body", "value"),
        ("body", "value", "amount"),
        ("body", "total", "raw"),
        ("lines", 0, "price_cents"),
        ("to", 0, "name"),
        ("tenantId",),
    ],
)
def test_amounts_and_parties_are_protected(parts: Parts) -> None:
    assert is_protected(parts)


@pytest.mark.parametrize(
    "parts",
    [
        ("body", "content", 0, "value", "lines", 0),  # a part of a mail: an id in its text may be born in the run
        ("body", "content", 0, "value", "links", 0),
        ("metadata", "values", "run_id"),
    ],
)
def test_a_member_that_only_holds_a_value_says_nothing_of_what_is_in_it(parts: Parts) -> None:
    assert not is_protected(parts)


def test_the_letters_of_an_id_are_no_words() -> None:
    assert words("01B6CPADF7P2S547QEWGWCA5CC") == ()
    assert words("fees_of_0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f") == ("fees", "of")

"""What looks generated, and what does not."""

from __future__ import annotations

import secrets
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators.generated import Token, may_correspond, take_apart


@pytest.mark.parametrize(
    "identifier",
    [
        "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f",
        "0190D5F2-7C1A-7D3E-9B5F-1A2B3C4D5E6F",
        "01J8Z3K4M5N6P7Q8R9S0T1V2W3",
        # Trigger.dev
        "run_cm2x9k4p10001abc9def",
        # Stripe and the like
        "tr_1QK2bXLkdIwHu7ixUEJbR8qf",
        "cs_test_a1B2c3D4e5F6",
        "po_4f9a81c2d3e4b5a6",
        # MongoDB
        "507f1f77bcf86cd799439011",
        # a UUID without dashes
        "c0ffee00c0de4aaa9bbbdeadbeef0001",
        # cuid, also with few changes between letters and digits
        "cqncttuzzqocybx097lt70ubq",
        # nanoid-like
        "V1StGXR8Z5jdHi6BmyT7a",
    ],
)
def test_an_id_is_recognised_alone_and_in_a_text(identifier: str) -> None:
    assert [token.text for token in take_apart(identifier).tokens] == [identifier]
    taken = take_apart(f"transfer {identifier}, done (see /x/{identifier})")
    assert [token.text for token in taken.tokens] == [identifier, identifier]
    assert taken.pieces == ("transfer ", ", done (see /x/", ")")


@pytest.mark.parametrize(
    "text",
    [
        "already_reviewed",
        "creator_applications",
        "#creator-applications",
        # campaigns, articles, orders: entities
        "utm_campaign2024",
        "sku_redshirt01",
        "order_8209829119461545",
        "450789469",
        "82098291194616",
        "gid://shopify/Order/5678901234567",
        "2026-03-02",
        # a hash of an address, as Meta wants it; a checksum
        "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        # an MD5 that is no UUID by its version
        "0cc175b9c0f1b6a831c399e269772661",
        "customerorders20261126001",
        "internationalization",
        "INTERNATIONALIZATIONS12345",
        "99999999999999999999999999",
    ],
)
def test_a_word_a_slug_a_number_or_a_hash_is_not_taken_for_an_id(text: str) -> None:
    assert take_apart(text).tokens == ()


@settings(max_examples=200, deadline=None)
@given(st.text() | st.builds(lambda a, b: f"{a} {uuid4()} {b}", st.text(), st.text()))
def test_a_text_taken_apart_can_be_put_together(text: str) -> None:
    assert take_apart(text).filled(lambda token: token.text) == text


@pytest.mark.parametrize("prefix", ["tr", "msg", "evt", "run"])
def test_hexadecimal_ids_of_a_usual_length_are_recognised(prefix: str) -> None:
    for _ in range(200):
        identifier = f"{prefix}_{secrets.token_hex(12)}".replace("_", "_a", 1)[:-1]  # digits alone are a number
        assert take_apart(identifier).tokens, identifier
        assert take_apart(uuid4().hex).tokens


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        # the platforms' run ids
        ("run_cm2x9k4p10001abc9def", "01J8Z3K4M5N6P7Q8R9S0T1V2W3", True),
        ("tr_4f9a81c2d3e4b5a6", "tr_00b1d2c3e4f5a697", True),
        ("0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "01J8Z3K4M5N6P7Q8R9S0T1V2W3", True),
        # another provider
        ("tr_4f9a81c2d3e4b5a6", "po_00b1d2c3e4f5a697", False),
        ("tr_4f9a81c2d3e4b5a6", "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", False),
        # a moment is no id
        ("2026-03-02T10:00:00Z", "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", False),
    ],
)
def test_only_ids_of_one_kind_may_correspond(legacy: str, candidate: str, expected: bool) -> None:
    (mine,), (theirs,) = take_apart(legacy).tokens, take_apart(candidate).tokens
    assert may_correspond(mine, theirs) is expected
    assert may_correspond(theirs, mine) is expected


def test_a_moment_in_a_text_is_a_token_of_its_own() -> None:
    (token,) = take_apart("sent at 2026-03-02T10:00:00.123Z.").tokens
    assert token == Token("2026-03-02T10:00:00.123Z", "instant")
    assert UUID(take_apart(f"x {UUID(int=5)}").tokens[0].text).int == 5

"""How Inngest's signing key is sent."""

from __future__ import annotations

import pytest

from shadow.catalogue.signing_key import hashed_signing_key


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # sha256 of the bytes 12 34
        ("signkey-test-1234", "signkey-test-3a103a4e5729ad68c02a678ae39accfbc0ae208096437401b7ceab63cca0622f"),
        ("1234", "3a103a4e5729ad68c02a678ae39accfbc0ae208096437401b7ceab63cca0622f"),
    ],
)
def test_a_signing_key_is_sent_hashed(key: str, hashed: str) -> None:
    assert hashed_signing_key(key) == hashed


def test_a_signing_key_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="expected hexadecimal digits") as caught:
        hashed_signing_key("signkey-prod-notahexkey")
    assert "notahexkey" not in str(caught.value)

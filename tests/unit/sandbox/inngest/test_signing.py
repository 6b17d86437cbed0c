"""Signatures and bearer tokens agree with the official SDK and with RFC 8785."""

from __future__ import annotations

from typing import Any

import jcs  # type: ignore[import-untyped]  # ships neither stubs nor py.typed
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inngest._internal import net, server_lib

from sandbox.inngest.signing import canonical, hashed_key, is_authorised, signature

KEY = "0123456789abcdef"
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_the_canonical_form_is_that_of_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == jcs.canonicalize(orjson.loads(orjson.dumps(value)))


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=3))
def test_the_official_sdk_accepts_the_signature(value: dict[str, Any]) -> None:
    body = canonical(value)
    verdict = net.validate_request_sig(
        body=body,
        headers={"x-inngest-signature": signature(body, KEY, 1_795_484_223)},
        mode=server_lib.ServerKind.CLOUD,
        signing_key=KEY,
        signing_key_fallback=None,
    )
    assert verdict == KEY


def test_a_prefixed_key_is_signed_with_as_it_stands_and_so_refused_by_the_sdk() -> None:
    body = canonical({})
    verdict = net.validate_request_sig(
        body=body,
        headers={"x-inngest-signature": signature(body, f"signkey-test-{KEY}", 1)},
        mode=server_lib.ServerKind.CLOUD,
        signing_key=f"signkey-test-{KEY}",
        signing_key_fallback=None,
    )
    assert isinstance(verdict, Exception)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (f"Bearer {KEY}", True),  # raw
        (f"Bearer {hashed_key(KEY)}", True),  # as SDKs send it
        (f"Bearer signkey-prod-{hashed_key(KEY)}", True),  # hashed, prefix kept
        (f"bearer {KEY}", True),  # the scheme knows no case
        (f"Basic {KEY}", False),
        ("Bearer deadbeef", False),
        ("Bearer ", False),
        (None, False),
    ],
)
def test_callers_prove_themselves_with_the_raw_or_the_hashed_key(header: str | None, accepted: bool) -> None:
    assert is_authorised(header, KEY) is accepted


def test_a_key_that_is_not_hex_is_refused_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match="hex of even length"):
        hashed_key("not-hex")

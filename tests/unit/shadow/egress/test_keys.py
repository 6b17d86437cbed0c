"""Where a call may carry its egress key, in the order in which it is looked for."""

from __future__ import annotations

import base64

import pytest

from shadow.catalogue.outside import Credential
from shadow.egress.keys import offered

HEADER = Credential.model_validate({"header": "X-Access-Token", "secret": "real"})
QUERY = Credential.model_validate({"query": "api_key", "secret": "real"})


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer k", ["k"]),
        ("bearer  k ", ["k"]),
        ("k", ["k"]),
        ("token k", ["k"]),
        (basic("k:"), ["k"]),
        (basic(":k"), ["k"]),
        (basic("user:k"), ["k", "user"]),
        (basic("user:k:l"), ["k:l", "user"]),
        ("Basic !!!", []),
        ("", []),
    ],
)
def test_a_header_may_hold_it_in_several_ways(value: str, expected: list[str]) -> None:
    assert list(offered({"authorization": value}, {}, None, None)) == expected
    assert list(offered({"x-access-token": value}, {}, HEADER, None)) == expected


def test_our_own_header_comes_first_then_the_credentials_place_then_authorization_then_the_path() -> None:
    headers = {"authorization": "Bearer a", "x-access-token": "c", "x-shadow-key": "o"}
    assert list(offered(headers, {"api_key": "q"}, HEADER, "p")) == ["o", "c", "a", "p"]
    assert list(offered(headers, {"api_key": "q"}, QUERY, "p")) == ["o", "q", "a", "p"]
    assert list(offered({}, {"api_key": ["q", "r"]}, QUERY, None)) == []

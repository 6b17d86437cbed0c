"""What probes make of what they read, without any database or target."""

from __future__ import annotations

import pytest

from shadow.effects.probes import Finding, filled, findings
from shadow.effects.sql_reading import CannotRead

ROWS = [{"id": 7, "shop": "acme", "paid": True}, {"id": 8, "shop": "acme", "paid": False}]


def test_rows_with_an_identity_are_an_effect_each() -> None:
    assert findings(ROWS, ["id"]) == [Finding("7", ROWS[0]), Finding("8", ROWS[1])]
    assert [found.identity for found in findings(ROWS, ["shop", "id"])] == ['["acme",7]', '["acme",8]']
    assert findings([], ["id"]) == []


def test_without_an_identity_all_rows_are_one() -> None:
    assert findings(ROWS, []) == [Finding(None, {"rows": ROWS})]
    assert findings([], []) == [Finding(None, {"rows": []})]


def test_an_identity_that_was_not_selected_is_told() -> None:
    with pytest.raises(CannotRead, match="found no 'order', expected all of order"):
        findings(ROWS, ["order"])


@pytest.mark.parametrize(
    ("request_", "parameters", "expected"),
    [
        ("GET /v1/customers/{id}", {"id": 7}, ("GET", "/v1/customers/7", "")),
        ("GET /v1/customers/{id}", {"id": "a/../b?c"}, ("GET", "/v1/customers/a%2F..%2Fb%3Fc", "")),
        ("GET /v1/search?q={q}", {"q": "a&b"}, ("GET", "/v1/search", "q=a%26b")),
        ("HEAD /v1/search", {"q": "a b", "none": None}, ("HEAD", "/v1/search", "q=a+b")),
    ],
)
def test_parameters_take_their_places(request_: str, parameters: dict[str, object], expected: tuple[str, ...]) -> None:
    assert filled(request_, parameters) == expected


@pytest.mark.parametrize("parameters", [{}, {"id": None}, {"id": ""}, {"id": ".."}])
def test_a_place_that_would_be_empty_or_climb_is_not_asked_for(parameters: dict[str, object]) -> None:
    with pytest.raises(CannotRead):
        filled("GET /v1/customers/{id}", parameters)

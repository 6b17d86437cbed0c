"""Money, incentives, messages and attribution, on which both versions rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.commerce.attribution import MODELS, weights
from sandbox.commerce.messages import incentive_percent, review_request
from sandbox.commerce.money import cents, share, units

TOUCHPOINTS = [
    {"channel": "email", "occurred_at": "2026-11-10T00:00:00Z"},
    {"channel": "google", "occurred_at": "2026-11-17T00:00:00Z"},
    {"channel": "direct", "occurred_at": "2026-11-24T00:00:00Z"},
]


@given(st.integers(min_value=0, max_value=10**12))
def test_cents_survive_the_way_to_units_and_back(amount: int) -> None:
    assert cents(units(amount)) == amount


@pytest.mark.parametrize(("amount", "percent", "expected"), [(1000, 5, 50), (1010, 5, 51), (999, 8, 80), (0, 12, 0)])
def test_a_share_is_rounded_half_up(amount: int, percent: int, expected: int) -> None:
    assert share(amount, percent) == expected


@pytest.mark.parametrize(("sequence", "percent"), [(1, 5), (2, 10), (3, 15), (4, 15)])
def test_the_incentive_grows_with_the_sequence(sequence: int, percent: int) -> None:
    assert incentive_percent(sequence) == percent


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("first_touch", [1.0, 0.0, 0.0]),
        ("last_touch", [0.0, 0.0, 1.0]),
        ("linear", [1.0, 1.0, 1.0]),
        # half for every week of age
        ("time_decay", [0.25, 0.5, 1.0]),
        ("position_based", [0.4, 0.2, 0.4]),
    ],
)
def test_each_model_weighs_touchpoints_in_its_way(model: str, expected: list[float]) -> None:
    assert weights(model, TOUCHPOINTS, "2026-11-24T00:00:00Z") == pytest.approx(expected)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_weights_never_add_up_to_nothing(model: str, count: int) -> None:
    assert sum(weights(model, TOUCHPOINTS[:count], "2026-11-24T00:00:00Z")) > 0


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of first_touch"):
        weights("magic", TOUCHPOINTS, "2026-11-24T00:00:00Z")


def test_a_review_request_escapes_what_people_wrote() -> None:
    tenant = {"name": "Birch & Bloom", "mail_from": "hello@shop.example"}
    order = {"id": "7", "number": 1, "customer_email": "ada@example.com", "customer_name": "Ada <O'Neill>"}
    message = review_request(tenant, order, [{"quantity": 2, "title": 'Mug "Søren"'}], 2, 10)
    assert message.to == "ada@example.com"
    assert message.subject == "Birch & Bloom: your order #1"
    assert "Ada &lt;O&#x27;Neill&gt;" in message.html
    assert "<li>2 x Mug &quot;Søren&quot;</li>" in message.html
    assert "10% off at Birch &amp; Bloom" in message.html

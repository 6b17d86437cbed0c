"""By which key a ramp decides about an event."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.catalogue import Route, parse
from shadow.intake.ramp_keys import ramp_key
from tests.unit.shadow.catalogues import TEXT

WITH_ENTITY = TEXT.replace(
    "    event: payout/approved\n", "    event: payout/approved\n    cutover: {entity: $.payout}\n"
)


def route(text: str = WITH_ENTITY) -> Route:
    catalogue = parse(text, "small.yaml", {})
    return catalogue.routes[catalogue.tasks["pay"].route]


@pytest.mark.parametrize(
    ("tenant", "data", "inherited", "kept"),
    [
        ("acme", {"payout": "p1"}, None, None),  # the tenant is the key, and is kept already
        (None, {"payout": "p1"}, None, "p1"),
        (None, {"payout": 17}, None, "17"),
        (None, {}, None, None),  # no key at all
        (None, {"payout": None}, None, None),
        (None, {"payout": True}, None, None),
        (None, {"payout": {"id": 1}}, None, None),
        (None, {"payout": ""}, None, None),
        (None, {"payout": "x" * 5000}, None, None),  # can't be kept
        ("acme", {}, "globex", "globex"),  # a child follows its root
        ("acme", {}, "acme", None),
        (None, {"payout": "p1"}, "acme", "acme"),
    ],
)
def test_the_key_is_the_roots_else_the_tenant_else_the_entity(
    tenant: str | None, data: dict[str, Any], inherited: str | None, kept: str | None
) -> None:
    assert ramp_key(route(), tenant, data, inherited) == kept


def test_without_a_declared_entity_an_event_without_tenant_has_no_key() -> None:
    assert ramp_key(route(TEXT), None, {"payout": "p1"}) is None

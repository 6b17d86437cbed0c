"""What doors do in a ramp: each event goes where its key says, and what is stored says why."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase, Ramp
from shadow.intake.arrival import Stage
from tests.unit.api.front.listener import Listener
from tests.unit.api.front.test_webhook import github, shopify
from tests.unit.shadow.catalogues import TEXT

_PAYOUT = "    event: payout/approved\n"
WITH_ENTITY = TEXT.replace(_PAYOUT, _PAYOUT + "    cutover: {entity: $.payout}\n")


def ramping(text: str = TEXT, share: int = 0, allow: tuple[str, ...] = ("acme", "p1")) -> Listener:
    front = Listener(parse(text, "small.yaml", {}), phase=Phase.RAMP)
    front.routing.ramp = Ramp(share, frozenset(allow))
    return front


async def sent(front: Listener, *events: dict[str, Any]) -> None:
    body = [{"name": "payout/approved", "data": data} for data in events]
    answer = await front.client.post("/e/producer-key", json=body)
    assert answer.status_code == 200, answer.text


async def test_each_event_of_a_request_goes_where_its_own_key_says() -> None:
    front = ramping()
    await sent(front, {"tenantId": "acme"}, {"tenantId": "globex"}, {"tenantId": "acme"}, {})
    assert [[dispatch.side.value for dispatch in one.dispatches] for one in front.accepted] == [
        ["candidate"],
        ["legacy", "candidate"],
        ["candidate"],
        ["legacy", "candidate"],  # without a key: as in shadow
    ]
    decisions = [one.decision for one in front.accepted]
    assert [decision.authority.value for decision in decisions if decision] == [
        "candidate",
        "legacy",
        "candidate",
        "legacy",
    ]


async def test_events_without_a_tenant_go_by_the_declared_entity() -> None:
    front = ramping(WITH_ENTITY)
    await sent(front, {"payout": "p1"}, {"payout": "p2"}, {"payout": "p1", "tenantId": "globex"})
    assert [(one.ramp_key, one.decision and one.decision.authority) for one in front.accepted] == [
        ("p1", Side.CANDIDATE),
        ("p2", Side.LEGACY),
        (None, Side.LEGACY),  # its tenant decides, and is stored already
    ]


@pytest.mark.parametrize(("share", "side"), [(99, Side.LEGACY), (100, Side.CANDIDATE)])
async def test_what_has_no_key_moves_at_the_end(share: int, side: Side) -> None:
    front = ramping(share=share)
    answer = await front.client.post("/webhooks/shopify", **shopify(b'{"id":1}'))
    assert answer.status_code == 202
    (arrival,) = front.accepted
    assert arrival.decision is not None
    assert arrival.decision.authority is side


@pytest.mark.parametrize(
    ("phase", "stages"),
    [
        (Phase.SHADOW, [Stage.FORWARD, Stage.DELIVER]),
        (Phase.LIVE, [Stage.DELIVER]),  # the app would do the work a second time
    ],
)
async def test_a_webhook_that_is_legacys_start_is_not_passed_on_where_legacy_gets_nothing(
    phase: Phase, stages: list[Stage]
) -> None:
    front = Listener(phase=phase)
    answer = await front.client.post("/webhooks/forwarding", **github(b'{"ref":"x"}'))
    assert answer.status_code == 202
    (arrival,) = front.accepted
    assert [dispatch.stage for dispatch in arrival.dispatches] == stages
    assert len(front.requests) == (Stage.FORWARD in stages)
    assert orjson.loads(arrival.data) == {"ref": "x"}

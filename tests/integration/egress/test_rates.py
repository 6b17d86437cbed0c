"""A key that makes more calls than the catalogue lets it: the call is not made, and the worker is told when it may."""

from __future__ import annotations

from shadow.access.rates import Rates
from shadow.catalogue.model import Side
from tests.integration.egress.world import World


async def test_a_call_too_many_is_not_made_and_may_come_again(world: World) -> None:
    world.gateway.rates = Rates(0.001, burst=1)
    twins = await world.twins()
    first = await twins.call(Side.LEGACY, json={"requestId": "wd_1"})
    second = await twins.call(Side.LEGACY, json={"requestId": "wd_2"})
    assert (first.status_code, second.status_code) == (201, 429)
    assert int(second.headers["retry-after"]) > 0
    assert second.headers["x-shadow-gateway"] == "wait"
    assert len(world.books.calls) == 1
    other = await twins.call(Side.CANDIDATE, json={"requestId": "wd_1"})
    assert other.status_code != 429, "another key is not held back"
    world.gateway.rates = None
    assert (await twins.call(Side.LEGACY, json={"requestId": "wd_2"})).status_code == 201

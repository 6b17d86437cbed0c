"""Names that others give are names below a platform's resources, and never ways out of them."""

from __future__ import annotations

import httpx
import pytest

from shadow.catalogue.model import InngestPlatform, TriggerPlatform
from shadow.platforms import inngest_api, trigger_api
from shadow.platforms.climbing import climbs
from shadow.platforms.inngest_api import InngestApi
from shadow.platforms.trigger_api import TriggerApi
from tests.unit.shadow.platforms.platforms import Wire, catalogue

CLIMBING = ["..", ".", "../../admin", "a/../../b", "..\\b", "a\\.."]
FINE = ["run_1", "...", "a..b", "..a", "packets/a.json", "a b", "%252e"]


@pytest.mark.parametrize("name", ["..", "a/../b", "a%2F..%2Fb", "%2e%2E", "a%5c..", "."])
def test_a_path_climbs_however_that_is_written(name: str) -> None:
    assert climbs(f"/api/v3/runs/{name}")
    assert climbs(f"/api/v3/runs/{name}/cancel?a=b")


@pytest.mark.parametrize("path", ["/api/v3/runs/run_1", "/api/v1/runs?after=../..", "/a/.../b", "/a/..b/c.", "/"])
def test_others_do_not(path: str) -> None:
    assert not climbs(path)


@pytest.mark.parametrize("name", CLIMBING)
async def test_no_platform_is_asked_for_a_name_that_is_nobodys(name: str) -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"data": {}}))
    legacy, candidate = catalogue().platforms["trigger"], catalogue().platforms["inngest"]
    assert isinstance(legacy, TriggerPlatform)
    assert isinstance(candidate, InngestPlatform)
    trigger, inngest = TriggerApi(legacy, wire.client), InngestApi(candidate, wire.client)
    for asked in (trigger.retrieve(name), trigger.trace(name), trigger.packet_url(name)):
        with pytest.raises(trigger_api.Refused, match="404"):
            await asked
    for read in (inngest.run(name), inngest.trace(name), inngest.event(name), inngest.event_runs(name)):
        with pytest.raises(inngest_api.Refused, match="404"):
            await read
    assert (await trigger.cancel(name)).status == 404
    assert (await inngest.cancel(name)).status == 404
    assert wire.requests == []


@pytest.mark.parametrize("name", FINE)
async def test_other_names_are_asked_for_as_one_segment(name: str) -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"id": "x"}))
    platform = catalogue().platforms["trigger"]
    assert isinstance(platform, TriggerPlatform)
    await TriggerApi(platform, wire.client).retrieve(name)
    assert wire.requests[0].url.raw_path.count(b"/") == 4

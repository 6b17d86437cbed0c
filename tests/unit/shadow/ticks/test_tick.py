"""How runs tell of their tick."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shadow.ticks.tick import Tick, of_payload, of_timer

TWO = datetime(2026, 6, 1, 2, tzinfo=UTC)
PAYLOAD = {"scheduleId": "sched_1", "type": "DECLARATIVE", "timestamp": "2026-06-01T02:00:00.000Z", "upcoming": []}


def test_legacys_payload_names_the_nominal_time() -> None:
    assert of_payload("metrics", PAYLOAD, tenants=False) == Tick("metrics", TWO)


def test_a_schedule_of_each_tenant_has_ticks_of_its_own() -> None:
    told = {**PAYLOAD, "externalId": "acme"}
    assert of_payload("metrics", told, tenants=True) == Tick("metrics", TWO, "acme")
    assert of_payload("metrics", told, tenants=False) == Tick("metrics", TWO)
    assert of_payload("metrics", PAYLOAD, tenants=True) is None


@pytest.mark.parametrize("payload", [None, [], "text", {}, {"timestamp": 1780279200}, {"timestamp": "soon"}])
def test_a_payload_that_names_none_is_of_no_tick(payload: Any) -> None:
    assert of_payload("metrics", payload, tenants=False) is None


def test_the_candidates_timer_names_the_scheduled_time_however_late_it_fires() -> None:
    data = {"cron": "0 2 * * *", "scheduledAt": "2026-06-01T02:00:00Z", "fireAt": "2026-06-01T02:00:07Z"}
    assert of_timer("metrics", "2026-06-01T02:00:00Z", data) == Tick("metrics", TWO)


def test_an_older_timer_names_it_by_its_id_alone() -> None:
    assert of_timer("metrics", "2026-06-01T02:00:00Z", {"cron": "0 2 * * *"}) == Tick("metrics", TWO)


@pytest.mark.parametrize(("event_id", "data"), [(None, None), ("01J", {"cron": "* * * * *"}), ("", [])])
def test_a_timer_that_names_none_is_of_no_tick(event_id: str | None, data: Any) -> None:
    assert of_timer("metrics", event_id, data) is None


def test_its_key_is_the_same_whoever_makes_it() -> None:
    local = TWO.astimezone(datetime.fromisoformat("2026-06-01T04:00:00+02:00").tzinfo)
    assert Tick("metrics", local).key == Tick("metrics", TWO).key == "metrics@2026-06-01T02:00:00Z"
    assert Tick("metrics", TWO, "acme").key == "metrics@2026-06-01T02:00:00Z/acme"

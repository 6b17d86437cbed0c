"""Schedules and the cron expressions behind them (reference 5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev, TaskContext
from sandbox.trigger_dev.cron import Cron

from .conftest import Clients, retrieve

NEW = {"task": "hello", "cron": "0 2 * * *", "deduplicationKey": "nightly"}


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("0 2 * * *", "UTC", "2026-11-24T01:59", "2026-11-24T02:00"),
        # Strictly after.
        ("0 2 * * *", "UTC", "2026-11-24T02:00", "2026-11-25T02:00"),
        ("*/5 * * * *", "UTC", "2026-11-24T02:03", "2026-11-24T02:05"),
        ("0 9 * * 1-5", "UTC", "2026-11-27T10:00", "2026-11-30T09:00"),
        ("0 0 * * 7", "UTC", "2026-11-24T00:00", "2026-11-29T00:00"),
        ("30 8 1 jan *", "UTC", "2026-11-24T00:00", "2027-01-01T08:30"),
        # Both day fields restricted: either will do.
        ("0 0 13 * fri", "UTC", "2026-11-24T00:00", "2026-11-27T00:00"),
        ("0 0 29 2 *", "UTC", "2026-11-24T00:00", "2028-02-29T00:00"),
        ("0 2 * * *", "Europe/Berlin", "2026-11-24T00:00", "2026-11-24T01:00"),
        ("0 2 * * *", "America/New_York", "2026-11-24T00:00", "2026-11-24T07:00"),
    ],
)
def test_the_next_due_minute(expression: str, zone: str, after: str, due: str) -> None:
    found = Cron.parse(expression).next_after(datetime.fromisoformat(after).replace(tzinfo=UTC), zone)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_a_date_that_never_comes_is_never_due() -> None:
    assert Cron.parse("0 0 31 2 *").next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("* * * *", "5 fields, found 4"),
        ("60 * * * *", "'minute' allows 0 to 59"),
        ("* * * foo *", "'month'"),
        ("* 5-3 * * *", "'hour'"),
        ("*/0 * * * *", "'minute'"),
    ],
)
def test_a_bad_expression_names_its_field(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Cron.parse(expression)


async def test_a_schedule_lives_over_the_api(dev: httpx.AsyncClient) -> None:
    made = (await dev.post("/api/v1/schedules", json=NEW)).json()
    assert (made["type"], made["task"], made["active"], made["timezone"]) == ("IMPERATIVE", "hello", True, "UTC")
    assert made["generator"]["expression"] == "0 2 * * *"
    assert made["nextRun"].endswith("T02:00:00.000Z")
    path = f"/api/v1/schedules/{made['id']}"
    assert (await dev.get(path)).json() == made
    stopped = (await dev.post(f"{path}/deactivate")).json()
    assert (stopped["active"], stopped["nextRun"]) == (False, None)
    assert (await dev.post(f"{path}/activate")).json() == made
    changed = (await dev.put(path, json={"task": "flaky", "cron": "0 3 * * *"})).json()
    assert (changed["task"], changed["generator"]["expression"]) == ("flaky", "0 3 * * *")
    listed = (await dev.get("/api/v1/schedules")).json()
    assert listed == {"data": [changed], "pagination": {"currentPage": 1, "totalPages": 1, "count": 1}}
    assert (await dev.delete(path)).json() == {"id": made["id"]}
    assert (await dev.get(path)).status_code == 404


async def test_the_same_deduplication_key_changes_the_schedule(dev: httpx.AsyncClient) -> None:
    first = (await dev.post("/api/v1/schedules", json=NEW)).json()
    second = (await dev.post("/api/v1/schedules", json={**NEW, "cron": "0 4 * * *"})).json()
    assert first["id"] == second["id"]
    assert second["generator"]["expression"] == "0 4 * * *"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**NEW, "cron": "never"}, 422),
        ({**NEW, "timezone": "Mars/Olympus"}, 422),
        ({"task": "hello", "cron": "* * * * *"}, 400),
    ],
)
async def test_bad_schedules_are_refused(dev: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    assert (await dev.post("/api/v1/schedules", json=body)).status_code == status


async def test_a_declared_schedule_belongs_to_its_environment_and_cannot_be_changed(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, prod: httpx.AsyncClient
) -> None:
    in_dev, in_prod = pretend.schedule("hello", "0 2 * * *")
    assert (await dev.get(f"/api/v1/schedules/{in_prod}")).status_code == 404
    assert (await prod.get(f"/api/v1/schedules/{in_prod}")).json()["type"] == "DECLARATIVE"
    refused = await dev.put(f"/api/v1/schedules/{in_dev}", json={"task": "hello", "cron": "0 3 * * *"})
    assert refused.status_code == 422


async def test_a_fired_schedule_hands_its_task_dates(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    payloads: list[Any] = []

    async def task(payload: Any, context: TaskContext) -> None:
        payloads.append(payload)

    pretend.task("nightly", task)
    schedule_id = pretend.schedule("nightly", "0 2 * * *")[0]
    nominal = datetime(2026, 11, 24, 2, tzinfo=UTC)
    pretend.fire(schedule_id, nominal)
    run_id = pretend.fire(schedule_id, datetime(2026, 11, 25, 2, tzinfo=UTC))
    await pretend.settled()
    first, second = payloads
    assert (first["timestamp"], "lastTimestamp" in first) == (nominal, False)
    assert second["lastTimestamp"] == nominal
    assert first["upcoming"][0] == datetime(2026, 11, 25, 2, tzinfo=UTC)
    shown = await retrieve(dev, run_id)
    assert shown["schedule"]["id"] == schedule_id
    assert "idempotencyKey" not in shown
    listed = (await dev.get("/api/v1/runs", params={"filter[schedule]": schedule_id})).json()["data"]
    assert [item["taskKind"] for item in listed] == ["SCHEDULED", "SCHEDULED"]
    with pytest.raises(LookupError):
        pretend.fire("sched_nope")


async def test_time_zones_need_no_key(pretend: PretendTriggerDev, clients: Clients) -> None:
    answer = await clients(pretend, None).get("/api/v1/timezones")
    assert answer.status_code == 200
    assert "timezones" in answer.json()

"""What people are told of ticks: by the API, as gauges, and in the task's report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.cutover.decision import Phase
from shadow.observe.metrics import exposition
from shadow.reports import formats, parity
from shadow.reports.figures import gauges, read_installation
from shadow.reports.formats import Report
from shadow.reports.ticks import counts_by_task
from shadow.store.database import Database
from shadow.ticks.expecting import TickLoop
from tests.integration.ticks.clock import CATALOGUE, FIVE, Clock

SECOND = timedelta(seconds=1)


@pytest.fixture
async def clock(database: Database) -> Clock:
    """Of four ticks one was missed, one doubled, one late, and one is waited for."""
    clock = Clock(database)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    last = now - timedelta(minutes=now.minute % 5)
    await clock.moved(Phase.SHADOW, last - 9 * FIVE, source=Phase.LEGACY)
    loop = TickLoop(database, CATALOGUE)
    await loop.once(last - 3 * FIVE - SECOND)
    await clock.legacy("run_1", last - 2 * FIVE)
    await clock.legacy("run_2", last - 2 * FIVE)
    await loop.once(last + SECOND)
    await clock.legacy("run_late", last - FIVE)
    return clock


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    secret, _token = await issue(database.engine, "tests", [Scope.READ])
    transport = httpx.ASGITransport(control_app(ControlServices(database, CATALOGUE)), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://control", headers=headers) as client:
        yield client


async def test_the_newest_ticks_come_with_whose_they_were_and_what_came_of_them(
    clock: Clock, client: httpx.AsyncClient
) -> None:
    told = (await client.get("/v1/tasks/metrics/ticks")).json()
    assert (told["expression"], told["timezone"]) == ("*/5 * * * *", "UTC")
    states = [(tick["state"], tick["doubled"], tick["authority"], tick["legacy_runs"]) for tick in told["items"]]
    assert states == [
        ("waiting", False, "legacy", 0),
        ("late", False, "legacy", 1),
        ("run", True, "legacy", 2),
        ("missed", False, "legacy", 0),
    ]
    assert told["counts"] == {"waiting": 1, "run": 1, "late": 1, "missed": 1, "doubled": 1}
    page = await client.get("/v1/tasks/metrics/ticks", params={"limit": 1, "before": told["items"][1]["nominal_at"]})
    assert page.json()["items"] == [told["items"][2]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tasks/none/ticks", 404),
        ("/v1/tasks/metrics/ticks?before=2026-05-01T02:00:00", 422),
        ("/v1/tasks/metrics/ticks?befor=now", 422),
    ],
)
async def test_what_is_not_there_or_can_not_be_meant(client: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await client.get(path)).status_code == status


async def test_gauges_and_the_report_say_the_same(clock: Clock, database: Database) -> None:
    installation = await read_installation(database.engine, CATALOGUE)
    text = exposition("", gauges(installation))[0].decode()
    assert 'shadow_ticks{state="missed",task="metrics"} 1.0' in text
    assert 'shadow_ticks{state="run",task="reminders"} 0.0' in text
    assert 'shadow_ticks_doubled{task="metrics"} 1.0' in text
    async with database.engine.connect() as connection:
        counts = (await counts_by_task(connection, ["metrics"]))["metrics"]
    found = await parity.parity(database.engine, CATALOGUE, "metrics")
    report = Report(parity=found, signatures=[], ticks=counts)
    assert "| ticks missed, 30 days | 1 |" in formats.as_markdown(report)
    assert "1 ticks of the last 30 days were doubled" in formats.as_junit(report)
    assert "ticks" not in formats.as_junit(Report(parity=found, signatures=[]))

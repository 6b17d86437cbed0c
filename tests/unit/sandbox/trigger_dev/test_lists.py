"""The run list: filters, the default week, cursors (reference 3.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev

from .conftest import trigger


async def _list(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/api/v1/runs", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture
async def seeded(pretend: PretendTriggerDev, dev: httpx.AsyncClient, prod: httpx.AsyncClient) -> None:
    """Four development runs, oldest first: hello, fails, flaky, a delayed hello; and one in production."""
    await trigger(dev, "hello", tags=["a", "b"])
    await trigger(dev, "fails", tags=["b"])
    await trigger(dev, "flaky", test=True)
    await pretend.settled()
    await trigger(dev, "hello", delay="1h")
    await trigger(prod, "hello")


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("query", "tasks"),
    [
        ({}, ["hello", "flaky", "fails", "hello"]),
        ({"filter[status]": "COMPLETED"}, ["flaky", "hello"]),
        ({"filter[status]": "FAILED,DELAYED"}, ["hello", "fails"]),
        ({"filter[taskIdentifier]": "flaky,fails"}, ["flaky", "fails"]),
        ({"filter[tag]": "a"}, ["hello"]),
        ({"filter[tag]": "a,b"}, ["fails", "hello"]),
        ({"filter[isTest]": "true"}, ["flaky"]),
        ({"filter[queue]": "task/fails"}, ["fails"]),
        ({"filter[version]": "20261124.1"}, ["flaky", "fails", "hello"]),
        ({"filter[createdAt][period]": "1d", "filter[taskIdentifier]": "fails"}, ["fails"]),
        ({"filter[createdAt][from]": "2100-01-01"}, []),
        ({"filter[createdAt][to]": "2020-01-01"}, []),
        ({"filter[createdAt][from]": "0", "filter[taskIdentifier]": "fails"}, ["fails"]),
    ],
)
async def test_filters_select(dev: httpx.AsyncClient, query: dict[str, str], tasks: list[str]) -> None:
    assert [item["taskIdentifier"] for item in (await _list(dev, **query))["data"]] == tasks


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"page[size]": "0"}, "Number must be greater than or equal to 1"),
        ({"page[size]": "x"}, "Expected number, received nan"),
        ({"filter[isTest]": "maybe"}, "Invalid value for isTest: maybe"),
        ({"filter[createdAt][from]": "yesterday"}, "Invalid date"),
    ],
)
async def test_bad_queries_are_refused(dev: httpx.AsyncClient, query: dict[str, str], message: str) -> None:
    answer = await dev.get("/api/v1/runs", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Query Error"
    assert answer.json()["details"][0]["message"] == message


async def test_a_walk_through_the_pages_meets_every_run_once(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    ids = [await trigger(dev, "hello") for _ in range(7)]
    pages = [await _list(dev, **{"page[size]": 3})]
    while "next" in pages[-1]["pagination"]:
        pages.append(await _list(dev, **{"page[size]": 3, "page[after]": pages[-1]["pagination"]["next"]}))
    assert [item["id"] for page in pages for item in page["data"]] == list(reversed(ids))
    assert [len(page["data"]) for page in pages] == [3, 3, 1]
    assert "previous" not in pages[0]["pagination"]
    back = await _list(dev, **{"page[size]": 3, "page[before]": pages[2]["pagination"]["previous"]})
    assert back["data"] == pages[1]["data"]


async def test_new_runs_do_not_shift_the_next_page(dev: httpx.AsyncClient) -> None:
    ids = [await trigger(dev, "hello", delay="1h") for _ in range(4)]
    first = await _list(dev, **{"page[size]": 2})
    await trigger(dev, "hello", delay="1h")
    second = await _list(dev, **{"page[size]": 2, "page[after]": first["pagination"]["next"]})
    assert [item["id"] for item in second["data"]] == [ids[1], ids[0]]


async def test_an_unreadable_cursor_is_ignored(dev: httpx.AsyncClient) -> None:
    await trigger(dev, "hello")
    assert len((await _list(dev, **{"page[after]": "garbage"}))["data"]) == 1


async def test_without_a_time_filter_the_list_goes_back_seven_days(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "hello")
    await pretend.settled()
    run = pretend._platform.runs.get(run_id)
    assert run is not None
    run.created_at = datetime.now(UTC) - timedelta(days=8)
    assert (await _list(dev))["data"] == []
    assert len((await _list(dev, **{"filter[createdAt][period]": "9d"}))["data"]) == 1

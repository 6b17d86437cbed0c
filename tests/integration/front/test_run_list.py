"""The list of runs when some are Trigger.dev's and others were issued: one list, newest first, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from shadow.cutover.decision import Phase
from tests.integration.front.door import Door
from tests.integration.front.world import KEY


async def _pages(door: Door, query: str, *, size: int) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while True:
        read = await door.get(f"/api/v1/runs?page[size]={size}{query}{after}")
        yield read
        if "next" not in read["pagination"]:
            return
        after = f"&page[after]={quote(read['pagination']['next'])}"


@pytest.fixture
async def mixed(door: Door) -> list[str]:
    """Runs of both sides in turns, the newest first."""
    runs = []
    for number in range(9):
        door.world.routing.phase = Phase.LIVE if number % 3 else Phase.LEGACY
        options = {"tags": ["odd" if number % 2 else "even"], **({"delay": "1h"} if number == 4 else {})}
        runs.append((await door.trigger({"payload": {"n": number}, "options": options}))["id"])
        # Within a millisecond the order would be anybody's.
        await door.world.rows("SELECT pg_sleep(0.002)")
    await door.world.trigger.settled()
    return runs[::-1]


async def test_while_nothing_was_issued_trigger_dev_lists(door: Door) -> None:
    run = (await door.trigger())["id"]
    read = await door.get("/api/v1/runs?page[size]=1")
    assert [item["id"] for item in read["data"]] == [run]
    assert door.world.requests[-1].extensions["target"].endswith(b"/api/v1/runs?page[size]=1")


@pytest.mark.parametrize("size", [1, 2, 4, 9, 25])
async def test_every_run_is_listed_once_newest_first(door: Door, mixed: list[str], size: int) -> None:
    pages = [page async for page in _pages(door, "", size=size)]
    assert [item["id"] for page in pages for item in page["data"]] == mixed
    assert all(len(page["data"]) == size for page in pages[:-1])


async def test_a_list_is_gone_through_backwards_too(door: Door, mixed: list[str]) -> None:
    pages = [page async for page in _pages(door, "", size=4)]
    assert "previous" not in pages[0]["pagination"]
    for place in (2, 1):
        before = quote(pages[place]["pagination"]["previous"])
        read = await door.get(f"/api/v1/runs?page[size]=4&page[before]={before}")
        assert [item["id"] for item in read["data"]] == mixed[(place - 1) * 4 : place * 4]


async def test_what_is_started_meanwhile_shifts_no_page(door: Door, mixed: list[str]) -> None:
    first = await door.get("/api/v1/runs?page[size]=3")
    for phase in (Phase.LIVE, Phase.LEGACY):
        door.world.routing.phase = phase
        await door.trigger()
    second = await door.get(f"/api/v1/runs?page[size]=9&page[after]={quote(first['pagination']['next'])}")
    assert [item["id"] for item in (*first["data"], *second["data"])] == mixed


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("&filter[tag]=odd", (1, 3, 5, 7)),
        ("&filter[status]=DELAYED", (4,)),
        ("&filter[status]=QUEUED,COMPLETED", (0, 1, 2, 3, 5, 6, 7, 8)),
        ("&filter[taskIdentifier]=hello", tuple(range(9))),
        ("&filter[taskIdentifier]=fails", ()),
        ("&filter[createdAt][period]=1d", tuple(range(9))),
        ("&filter[createdAt][to]=1000", ()),
    ],
)
async def test_filters_hold_for_both_sides(door: Door, mixed: list[str], query: str, places: tuple[int, ...]) -> None:
    listed = [item["id"] async for page in _pages(door, query, size=2) for item in page["data"]]
    assert listed == [run for run in mixed if 8 - mixed.index(run) in places]


async def test_an_issued_run_is_listed_as_trigger_dev_lists_its_own(door: Door, mixed: list[str]) -> None:
    read = await door.get("/api/v1/runs")
    theirs, ours = ({len(item["id"]) == 36: item for item in read["data"]}[issued] for issued in (False, True))
    assert {"payload", "output", "relatedRuns"}.isdisjoint(ours)
    assert set(ours) - set(theirs) == set()


async def test_a_mistake_is_trigger_devs_to_refuse(door: Door, mixed: list[str]) -> None:
    for query in ("page[size]=0", "filter[status]=WRONG"):
        answer = await door.world.client.get(f"/api/v1/runs?{query}", headers=KEY)
        assert (answer.status_code, answer.json()["error"]) == (400, "Query Error")

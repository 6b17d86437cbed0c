"""What the platforms' APIs list, by answers of the shapes in the transcripts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shadow.catalogue.draft import ListedFunction, ListedSchedule, ListedTask
from shadow.catalogue.listing import ListingFailed, candidate_listing, legacy_listing
from shadow.catalogue.model import Flow


def run(task: str, created: str) -> dict[str, Any]:
    return {"id": "run_1", "status": "COMPLETED", "taskIdentifier": task, "createdAt": created, "tags": []}


def schedule(task: str, *, active: bool = True) -> dict[str, Any]:
    generator = {"type": "CRON", "expression": "0 2 * * *", "description": "At 02:00"}
    return {
        "id": "sched_1",
        "type": "DECLARATIVE",
        "task": task,
        "active": active,
        "generator": generator,
        "timezone": "UTC",
    }


def trigger(request: httpx.Request) -> httpx.Response:
    """Two pages of runs and two of schedules."""
    assert request.headers["authorization"] == "Bearer tr_key"
    query = request.url.params
    if request.url.path == "/api/v1/runs":
        assert (query["page[size]"], query["filter[createdAt][period]"]) == ("100", "30d")
        if "page[after]" not in query:
            data = [run("hello", "2026-11-24T01:00:52.686Z"), run("hello", "2026-11-24T00:00:00.000Z")]
            return httpx.Response(200, json={"data": data, "pagination": {"next": "cursor1"}})
        assert query["page[after]"] == "cursor1"
        return httpx.Response(
            200, json={"data": [run("fails", "2026-11-23T00:00:00.000Z")], "pagination": {"previous": "c"}}
        )
    assert request.url.path == "/api/v1/schedules"
    assert query["perPage"] == "100"
    page = int(query["page"])
    data = [schedule("hello") if page == 1 else schedule("nightly", active=False)]
    return httpx.Response(200, json={"data": data, "pagination": {"currentPage": page, "totalPages": 2, "count": 2}})


def client(handler: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(handler))


async def test_legacy_tasks_are_those_that_ran_and_those_with_a_schedule() -> None:
    async with client(trigger) as http:
        listing = await legacy_listing(http, "http://trigger.test/", "tr_key")
    assert listing.complete
    assert listing.tasks == (
        ListedTask("fails", datetime(2026, 11, 23, tzinfo=UTC)),
        ListedTask("hello", datetime(2026, 11, 24, 1, 0, 52, 686000, tzinfo=UTC)),
        ListedTask("nightly"),
    )
    assert listing.schedules == (
        ListedSchedule("hello", "0 2 * * *"),
        ListedSchedule("nightly", "0 2 * * *", active=False),
    )


async def test_a_list_longer_than_the_limit_is_said_to_be_incomplete() -> None:
    async with client(trigger) as http:
        listing = await legacy_listing(http, "http://trigger.test", "tr_key", max_pages=1)
    assert not listing.complete
    assert [task.id for task in listing.tasks] == ["hello"]


def functions(*configs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"internal_id": "24e38039", "id": config["slug"], "name": "n", "config": config} for config in configs]


async def test_functions_are_a_bare_array_with_triggers_and_flow_control() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/apps/commerce/functions"
        assert (
            request.headers["authorization"]
            == f"Bearer signkey-prod-{hashlib.sha256(bytes.fromhex('abcd')).hexdigest()}"
        )
        return httpx.Response(
            200,
            json=functions(
                {"slug": "commerce-pay", "triggers": [{"event": "payout/approved"}, {"event": "payout/again"}]},
                {"slug": "commerce-daily", "triggers": [{"cron": "0 2 * * *"}], "idempotency": "event.data.id"},
                {"slug": "commerce-all", "triggers": [], "debounce": {"period": "1m"}, "batchEvents": {"maxSize": 2}},
            ),
        )

    async with client(answer) as http:
        listing = await candidate_listing(http, "http://inngest.test", "commerce", "signkey-prod-abcd")
    assert listing.functions == (
        ListedFunction("commerce-pay", ("payout/approved", "payout/again")),
        # an idempotency expression is a rate limit of one a day
        ListedFunction("commerce-daily", crons=("0 2 * * *",), flow=(Flow.RATE_LIMIT,)),
        ListedFunction("commerce-all", flow=(Flow.DEBOUNCE, Flow.BATCH)),
    )


async def test_a_dev_server_is_asked_without_a_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        return httpx.Response(200, json=[])

    async with client(answer) as http:
        assert (await candidate_listing(http, "http://inngest.test", "commerce", None)).functions == ()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(401, text="Authentication failed"), "found status 401, expected 200"),
        # with its cache on, the platform tells errors with status 200
        (httpx.Response(200, json={"error": "no such app", "status": 404}), "found no such app, expected a list"),
        (httpx.Response(200, json={"data": None}), "found no list, expected a list"),
        (httpx.Response(200, html="<html>"), "found text/html; charset=utf-8, expected JSON"),
    ],
)
async def test_an_answer_that_is_no_list_is_told(response: httpx.Response, message: str) -> None:
    async with client(lambda _: response) as http:
        with pytest.raises(ListingFailed, match=r"^GET http://inngest.test/v1/apps/commerce/functions: ") as caught:
            await candidate_listing(http, "http://inngest.test", "commerce", "abcd")
    assert message in str(caught.value)
    assert "abcd" not in str(caught.value)


async def test_a_platform_that_cannot_be_reached_is_told() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with client(refuse) as http:
        with pytest.raises(ListingFailed, match=r"GET http://trigger\.test/api/v1/runs: refused"):
            await legacy_listing(http, "http://trigger.test", "tr_key")
